"""The engine: many plays in flight, each request taken to the desk of its role."""

import asyncio
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TypeVar

from cscbench.asking.budget import BudgetSpent
from cscbench.asking.desk import Desk
from cscbench.models.event_loop import run_in_loop
from cscbench.values import Reply, Request, UserError

T = TypeVar("T")
# Yields a request, is sent its reply, and returns what it made of them: a transcript, or a judge's ratings.
Play = Generator[Request, Reply, T]


def play_all(plays: Sequence[Play[T]], desks: Mapping[str, Desk], concurrency: int) -> tuple[T, ...]:
    """Play every dialogue, `concurrency` at a time, in order. Gives what each play returns, in their order.

    `desks` are by role; they are closed at the end. Each play waits for its own replies only. A known reply comes
    without waiting, so after a kill every dialogue that was in flight is back at the same request before anything new
    is asked, and a batching adapter forms the same batches as the unkilled run. It works inside a running event loop
    too (a notebook's): the plays then have a loop in a thread of their own.

    Raises:
        UserError: a model cannot be loaded, always fails, or a reply cannot be written.
        BudgetSpent: the budget does not allow a request; those that it allowed were answered.
    """
    done: dict[int, T] = {}
    try:
        run_in_loop(_play_in_loop(plays, desks, concurrency, done))
    except BaseExceptionGroup as group:
        raise _first_cause(group) from None
    finally:
        for desk in desks.values():
            desk.close()
    for desk in desks.values():
        desk.account.budget.check()
    return tuple(done[number] for number in sorted(done))


async def _play_in_loop(
    plays: Sequence[Play[T]], desks: Mapping[str, Desk], concurrency: int, done: dict[int, T]
) -> None:
    queue = iter(enumerate(plays))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(plays))):
                group.create_task(_worker(queue, desks, done))
    finally:
        for desk in desks.values():
            await desk.aclose()


async def _worker(plays: Iterator[tuple[int, Play[T]]], desks: Mapping[str, Desk], done: dict[int, T]) -> None:
    for number, play in plays:
        try:
            done[number] = await _drive(play, desks)
        except BudgetSpent:
            return  # quietly: what others have in flight is paid for and comes back


async def _drive(play: Play[T], desks: Mapping[str, Desk]) -> T:
    """One play, from its first request to what it returns."""
    try:
        request = next(play)
        while True:
            request = play.send(await desks[request.role].ask(request))
    except StopIteration as done:  # at once, where a dialogue has nothing to ask
        outcome: T = done.value
        return outcome


def _first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a person should see: a bug with its traceback before a user error, and one that hit all workers once."""
    _, bugs = group.split(UserError)
    distinct = {id(error): error for error in (bugs or group).exceptions}
    return next(iter(distinct.values())) if len(distinct) == 1 or bugs is None else bugs
