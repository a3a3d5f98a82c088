"""vLLM's asynchronous engine in its own thread and event loop, with a reliable shutdown."""

import asyncio
import multiprocessing
import signal
import subprocess
import sys
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from itertools import count
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, TypeVar

import psutil
from vllm.inputs import tokens_input
from vllm.v1.engine.async_llm import AsyncLLM

T = TypeVar("T")

# vLLM itself kills its processes after 5 seconds, which leaves shared memory behind.
_SHUTDOWN_S = 60.0


def _kill(process: Any) -> None:
    """Kill a vLLM process and its descendants, which would otherwise log errors about its end."""
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(process.pid)
        for descendant in (*top.children(recursive=True), top):
            descendant.kill()


class Engine:
    """A running engine. It can be used from any event loop and from synchronous code.

    Its thread and the processes started from it block SIGINT: Ctrl-C only reaches the main thread, which then closes
    the engine.
    """

    def __init__(self, args: Any) -> None:
        """Start an engine with these `AsyncEngineArgs`, which takes seconds to minutes.

        Raises:
            Exception: whatever vLLM raises if the model does not load; none of its processes is left running.
        """
        resource_tracker.ensure_running()  # here, because starting it unblocks SIGINT in the calling thread
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="vllm", daemon=True)
        self._request_ids = count()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("guard.py"))],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._thread.start()
        try:
            self.llm = self._start(args)
        except BaseException:
            self._stop()
            raise

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _start(self, args: Any) -> Any:
        """Build the engine; guard its processes from the start, and kill them if the engine does not start."""

        async def build() -> Any:
            return AsyncLLM.from_engine_args(args)

        existing = set(multiprocessing.active_children())
        guarded: set[Any] = set()
        building = self._submit(build())
        try:
            while not building.done():
                wait([building], timeout=0.1)
                started = set(multiprocessing.active_children()) - existing - guarded
                for process in started:
                    print(process.pid, file=self._guard.stdin, flush=True)
                guarded |= started
        except BaseException:  # Ctrl-C
            while not building.done():
                for process in set(multiprocessing.active_children()) - existing:
                    _kill(process)
                wait([building], timeout=0.1)
            raise
        return building.result()

    def _submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def ask(self, ids: Sequence[int], sampling: Any, lora: Any = None) -> Any:
        """Return the final `RequestOutput` for a prompt of token ids; may be awaited in any event loop.

        Raises:
            Exception: vLLM's; EngineDeadError if its process has ended.
        """
        return await asyncio.wrap_future(self._submit(self._last_output(ids, sampling, lora)))

    def ask_now(self, ids: Sequence[int], sampling: Any, lora: Any = None) -> Any:
        """`ask` for synchronous callers."""
        return self._submit(self._last_output(ids, sampling, lora)).result()

    async def _last_output(self, ids: Sequence[int], sampling: Any, lora: Any) -> Any:
        name = str(next(self._request_ids))
        outputs = self.llm.generate(tokens_input(list(ids)), sampling, name, lora_request=lora)
        return [output async for output in outputs][-1]

    def add_lora(self, lora: Any) -> None:
        """Load LoRA weights.

        Raises:
            Exception: vLLM's, if they do not fit.
        """
        self._submit(self.llm.add_lora(lora)).result()

    def close(self) -> None:
        """Stop the engine, its processes and its thread."""

        async def end() -> None:
            handler = self.llm.output_handler
            self.llm.shutdown(timeout=_SHUTDOWN_S)
            if handler is not None:
                with suppress(asyncio.CancelledError):
                    await handler

        self._submit(end()).result()
        del self.llm  # otherwise it shuts down again at exit, when half of its modules are gone
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._guard.kill()  # before its input ends: no process is left to kill
        self._guard.communicate()
