"""vLLM's asynchronous engine on a thread and an event loop of its own, and its end in every case."""

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

# vLLM's own patience with its processes is 5 seconds; one that is killed leaves shared memory behind.
_END_S = 60.0


def _kill(process: Any) -> None:
    """Kill a process of vLLM's with those that it started: they would complain that it has gone."""
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(process.pid)
        for one in (*top.children(recursive=True), top):
            one.kill()


class Engine:
    """A started engine. It answers any event loop, and synchronous callers.

    Its thread blocks SIGINT, and so do the processes that start from it: Ctrl-C reaches the main thread alone, which
    then closes the engine.
    """

    def __init__(self, args: Any) -> None:
        """Start the engine of these `AsyncEngineArgs`: seconds to minutes.

        Raises:
            Exception: whatever vLLM raises where the model does not load; nothing of it is left running.
        """
        resource_tracker.ensure_running()  # now: starting it unblocks SIGINT in the thread that does
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="vllm", daemon=True)
        self._numbers = count()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("guard.py"))],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._thread.start()
        try:
            self.llm = self._started(args)
        except BaseException:
            self._stop()
            raise

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _started(self, args: Any) -> Any:
        """The engine; its processes are guarded from their first moment, and killed where it does not come up."""

        async def build() -> Any:
            return AsyncLLM.from_engine_args(args)

        others = set(multiprocessing.active_children())
        guarded: set[Any] = set()
        building = self._submit(build())
        try:
            while not building.done():
                wait([building], timeout=0.1)
                started = set(multiprocessing.active_children()) - others - guarded
                for process in started:
                    print(process.pid, file=self._guard.stdin, flush=True)
                guarded |= started
        except BaseException:  # Ctrl-C
            while not building.done():
                for process in set(multiprocessing.active_children()) - others:
                    _kill(process)
                wait([building], timeout=0.1)
            raise
        return building.result()

    def _submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def ask(self, ids: Sequence[int], sampling: Any, lora: Any = None) -> Any:
        """The whole `RequestOutput` for a prompt of token ids; to be awaited in any event loop.

        Raises:
            Exception: vLLM's; EngineDeadError where its process has gone.
        """
        return await asyncio.wrap_future(self._submit(self._final(ids, sampling, lora)))

    def ask_now(self, ids: Sequence[int], sampling: Any, lora: Any = None) -> Any:
        """`ask` for those who have no event loop."""
        return self._submit(self._final(ids, sampling, lora)).result()

    async def _final(self, ids: Sequence[int], sampling: Any, lora: Any) -> Any:
        name = str(next(self._numbers))
        outputs = self.llm.generate(tokens_input(list(ids)), sampling, name, lora_request=lora)
        return [output async for output in outputs][-1]

    def add_lora(self, lora: Any) -> None:
        """Load LoRA weights.

        Raises:
            Exception: vLLM's, where they do not fit.
        """
        self._submit(self.llm.add_lora(lora)).result()

    def close(self) -> None:
        """End the engine, its processes and its thread."""

        async def end() -> None:
            reading = self.llm.output_handler
            self.llm.shutdown(timeout=_END_S)
            if reading is not None:
                with suppress(asyncio.CancelledError):
                    await reading

        self._submit(end()).result()
        del self.llm  # or it would end itself once more, when half of its modules are gone
        self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._guard.kill()  # before its input ends: there is nobody left to kill
        self._guard.communicate()
