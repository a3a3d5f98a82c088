"""The engine: runs many plays concurrently, and takes each request to the desk of its role."""

import asyncio
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TypeVar

from cscbench.asking.budget import BudgetSpent
from cscbench.asking.desk import Desk
from cscbench.models.event_loop import run_in_loop
from cscbench.values import Reply, Request, UserError

T = TypeVar("T")
# Yields requests, receives their replies, and returns a result: a transcript, or a judge's ratings.
Play = Generator[Request, Reply, T]


def play_all(plays: Sequence[Play[T]], desks: Mapping[str, Desk], concurrency: int) -> tuple[T, ...]:
    """Run all plays in order, `concurrency` at a time, and return their results in order.

    `desks` are by role; they are closed at the end. Each play waits for its own replies only. Stored replies return
    without waiting. Thus, after a kill, every dialogue that was in flight reaches the same request before any new
    request is sent, and a batching adapter forms the same batches as in an uninterrupted run. If an event loop is
    already running (as in a notebook), the plays run in a separate thread with its own loop.

    Raises:
        UserError: a model cannot be loaded, always fails, or a reply cannot be written.
        BudgetSpent: the budget does not allow a request; all earlier requests were answered.
    """
    results: dict[int, T] = {}
    try:
        run_in_loop(_play_in_loop(plays, desks, concurrency, results))
    except BaseExceptionGroup as group:
        raise _first_cause(group) from None
    finally:
        for desk in desks.values():
            desk.close()
    for desk in desks.values():
        desk.account.budget.check()
    return tuple(results[index] for index in sorted(results))


async def _play_in_loop(
    plays: Sequence[Play[T]], desks: Mapping[str, Desk], concurrency: int, results: dict[int, T]
) -> None:
    queue = iter(enumerate(plays))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(plays))):
                group.create_task(_worker(queue, desks, results))
    finally:
        for desk in desks.values():
            await desk.aclose()


async def _worker(plays: Iterator[tuple[int, Play[T]]], desks: Mapping[str, Desk], results: dict[int, T]) -> None:
    for index, play in plays:
        try:
            results[index] = await _drive(play, desks)
        except BudgetSpent:
            return  # quietly: requests in flight are paid for, and still return


async def _drive(play: Play[T], desks: Mapping[str, Desk]) -> T:
    """Run one play from its first request to its result."""
    try:
        request = next(play)
        while True:
            request = play.send(await desks[request.role].ask(request))
    except StopIteration as stop:  # at once, if a dialogue has no requests
        result: T = stop.value
        return result


def _first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error to show: a bug before a user error, and an error of all workers only once."""
    _, bugs = group.split(UserError)
    distinct = {id(error): error for error in (bugs or group).exceptions}
    return next(iter(distinct.values())) if len(distinct) == 1 or bugs is None else bugs
