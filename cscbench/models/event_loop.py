"""Run coroutines where an event loop may already be running, as in a notebook."""

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

# How long an interrupt waits for work in another thread to clean up.
_CLEANUP_S = 10.0


def run_in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in this thread, or in another thread if this one already runs an event loop; return its result."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    return run_in_thread_loop(work)


def run_in_thread_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in an event loop in a new thread and return its result; an interrupt cancels it.

    The thread is a daemon, so that a second interrupt ends the process without waiting for it.
    """
    outcome: Future[T] = Future()
    tasks: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def cancellable() -> T:
        if (task := asyncio.current_task()) is not None:
            tasks.append((asyncio.get_running_loop(), task))
        return await work

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(cancellable()))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        with interruptible():
            return outcome.result()
    except KeyboardInterrupt:
        for loop, task in tasks:
            with suppress(RuntimeError):  # the loop has already ended
                loop.call_soon_threadsafe(task.cancel)
        thread.join(_CLEANUP_S)
        raise


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end work that blocks the event loop: asyncio.run would only react once the loop runs again."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
