"""The engine: many plays in flight, replies put on disk as they come, known replies handed over at once."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from cscbench.asking.budget import Budget, BudgetSpent, no_budget
from cscbench.asking.progress import Progress
from cscbench.asking.store import KnownReplies, ReplyLog, request_key
from cscbench.models.backend import LoadedAdapter
from cscbench.values.asking import Reply, Request
from cscbench.values.errors import UserError

log = logging.getLogger("cscbench")

T = TypeVar("T")
# Yields a request, is sent its reply, and returns what it made of them: predictions, or a judge's ratings.
Play = Generator[Request, Reply, tuple[T, ...]]

# An adapter that has never answered and failed this often in a row is broken; asking on would only waste time.
_GIVE_UP_AFTER = 16


class _Desk:
    """Answers requests from disk, else from the adapter, loading it on the first need."""

    def __init__(
        self,
        known: KnownReplies,
        log_file: ReplyLog,
        load: Callable[[], LoadedAdapter],
        bar: Progress,
        budget: Budget,
    ) -> None:
        self._known, self._log, self._load, self._bar, self._budget = known, log_file, load, bar, budget
        self._loaded: LoadedAdapter | None = None
        self._failed_in_a_row = 0
        self._traced = False
        self._ever_answered = bool(known.replies)

    def known(self, request: Request) -> Reply | None:
        return self._known.replies.get((request.id, request_key(request)))

    async def ask(self, request: Request) -> Reply:
        reply = self.known(request)
        if reply is not None:
            self._bar.skip()
        else:
            held = await self._budget.hold(request)
            reply = await self._generate(request)
            self._log.append(request, reply)
            self._budget.settle(held, reply)
            self._bar.step()
        return reply

    async def _generate(self, request: Request) -> Reply:
        if self._loaded is None:
            with _interruptible():
                self._loaded = self._load()
        try:
            reply = _as_stored(await self._loaded.adapter.generate(request))
        except UserError:
            raise
        except Exception as error:
            # One bad sample never sinks a run: it is recorded as failed, and asked again by the next command.
            # One traceback shows the fault; hundreds would hide it.
            log.error("the adapter failed on request %s: %r", request.id, error, exc_info=not self._traced)
            self._traced = True
            reply = Reply("", error=f"{type(error).__name__}: {error}")
        self._failed_in_a_row = self._failed_in_a_row + 1 if reply.error else 0
        self._ever_answered = self._ever_answered or not reply.error
        if not self._ever_answered and self._failed_in_a_row >= _GIVE_UP_AFTER:
            raise UserError(f"the first {_GIVE_UP_AFTER} requests all failed; the last: {reply.error}")
        return reply

    async def leave(self) -> None:
        if self._loaded is not None and self._loaded.leave is not None:
            await self._loaded.leave()

    def close(self) -> None:
        if self._loaded is not None:
            self._loaded.adapter.close()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end work that blocks the event loop: asyncio.run would heed the first one when the loop goes on."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _as_stored(reply: object) -> Reply:
    """The reply as its line on disk will give it back; raises where a third party's is none that can be stored."""
    return msgspec.json.decode(msgspec.json.encode(reply), type=Reply)


async def _drive(play: Play[T], desk: _Desk) -> tuple[T, ...]:
    """One play, from its first request to what it returns."""
    try:
        request = next(play)
        while True:
            request = play.send(await desk.ask(request))
    except StopIteration as done:  # at once, where a dialogue has nothing to ask
        found: tuple[T, ...] = done.value
        return found


async def _worker(plays: Iterator[tuple[int, Play[T]]], desk: _Desk, done: dict[int, tuple[T, ...]]) -> None:
    for number, play in plays:
        try:
            done[number] = await _drive(play, desk)
        except BudgetSpent:
            return  # quietly: what others have in flight is paid for and comes back


def play_all(
    plays: Sequence[Play[T]],
    known: KnownReplies,
    log_file: ReplyLog,
    load: Callable[[], LoadedAdapter],
    concurrency: int,
    bar: Progress,
    budget: Budget | None = None,
) -> tuple[T, ...]:
    """Play every dialogue, `concurrency` at a time, in order. Returns what the plays return, in their order.

    Each play waits for its own replies only. A known reply comes without waiting, so after a kill every dialogue that
    was in flight is back at the same request before anything new is asked, and a batching adapter forms the same
    batches as the unkilled run.

    Raises:
        UserError: the adapter cannot be loaded, always fails, or a reply cannot be written.
        BudgetSpent: the budget does not allow a request; those that it allowed were answered.
    """
    budget = budget or no_budget()
    desk = _Desk(known, log_file, load, bar, budget)
    done: dict[int, tuple[T, ...]] = {}

    async def main() -> None:
        queue = iter(enumerate(plays))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(plays))):
                    group.create_task(_worker(queue, desk, done))
        finally:
            await desk.leave()

    try:
        asyncio.run(main())
    except BaseExceptionGroup as group:
        _, rest = group.split(UserError)
        raise (group.exceptions[0] if rest is None else group) from None
    finally:
        desk.close()
    budget.check()
    return tuple(one for number in sorted(done) for one in done[number])
