"""The Hugging Face adapter: collects what is pending, and answers it in batches."""

import asyncio
import logging
from collections.abc import Sequence

import msgspec
import torch
from jinja2 import TemplateError

from cscbench.models.chat import WindowError
from cscbench.models.hf.decode import Model, Ready, write
from cscbench.models.hf.rank import rank
from cscbench.values import Frozen, Reply, Request, Sampling

log = logging.getLogger("cscbench")

# Ticks of the event loop without a new request after which all that are coming have come: between two replies a play
# does no I/O, so whoever will ask has asked.
_SETTLED_TICKS = 3


class _Waiting(Frozen, frozen=True):
    request: Request
    future: asyncio.Future[Reply]


def _still_wanted(waiting: Sequence[_Waiting]) -> list[_Waiting]:
    """Those whose asker has not gone: a cancelled one must not sink its batch mates."""
    return [one for one in waiting if not one.future.done()]


def _alike(request: Request) -> tuple[bool, Sampling]:
    """What the rows of one batch have in common: ranked or written, and all settings but the seed."""
    return bool(request.choices), msgspec.structs.replace(request.sampling, seed=0)


def _place(request: Request) -> tuple[str, int, str]:
    return request.thread, request.turn, request.id


class HfAdapter:
    """Collects pending requests and answers up to `batch_size` of them together.

    Out of memory, it forgets what it kept, then halves the batch for good: no request is lost.
    """

    def __init__(self, model: Model, batch_size: int) -> None:
        self._model, self._batch_size = model, batch_size
        self._pending: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None

    async def generate(self, request: Request) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending.append(_Waiting(request, future))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        return await future

    def close(self) -> None:
        """Let go of what earlier requests computed."""
        self._forget()

    async def _flush(self) -> None:
        while self._pending:
            await self._settle()
            batch = self._next_batch()
            try:
                replies = await asyncio.to_thread(self._answer, [waiting.request for waiting in batch])
            except Exception as error:
                for waiting in _still_wanted(batch):
                    waiting.future.set_exception(error)
                continue
            for waiting, reply in zip(batch, replies, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(reply)
            await self._settle()
        self._flusher = None

    def _next_batch(self) -> list[_Waiting]:
        """The first that are pending and decode alike; in order of turns, whoever woke first: each extends the last."""
        self._pending = sorted(_still_wanted(self._pending), key=lambda one: _place(one.request))
        like = [one for one in self._pending if _alike(one.request) == _alike(self._pending[0].request)]
        batch = like[: self._batch_size]
        taken = {id(waiting) for waiting in batch}
        self._pending = [waiting for waiting in self._pending if id(waiting) not in taken]
        return batch

    async def _settle(self) -> None:
        quiet, count = 0, len(self._pending)
        while quiet < _SETTLED_TICKS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._pending) == count else 0
            count = len(self._pending)

    def _answer(self, requests: Sequence[Request]) -> list[Reply]:
        """Replies in the order of the requests; one that does not fit the window fails alone."""
        replies: dict[str, Reply] = {}
        ready: list[Ready] = []
        for request in requests:
            try:
                if request.choices:
                    replies[request.id] = self._rank(request)
                else:
                    encoded = self._model.chat.encode(request.messages, request.sampling.max_tokens)
                    ready.append(Ready(request, encoded))
            except WindowError as error:
                replies[request.id] = Reply("", error=str(error))
            except TemplateError as error:
                replies[request.id] = Reply("", error=f"the chat template refuses this prompt: {error}")
        replies |= {item.request.id: reply for item, reply in zip(ready, self._write(ready), strict=True)}
        return [replies[request.id] for request in requests]

    def _rank(self, request: Request) -> Reply:
        encoded = self._model.chat.choice_ids(request.messages, request.choices, request.sampling.max_tokens)
        try:
            return rank(self._model, request, encoded)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
        self._forget()
        return rank(self._model, request, encoded)

    def _write(self, ready: Sequence[Ready]) -> list[Reply]:
        replies: list[Reply] = []
        while len(replies) < len(ready):
            batch = ready[len(replies) : len(replies) + self._batch_size]
            try:
                replies += write(self._model, batch)
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                held = self._forget()
                if len(batch) > 1:
                    self._batch_size = len(batch) // 2
                    log.warning("out of memory on a batch of %d: going on with %d", len(batch), self._batch_size)
                elif not held:
                    replies.append(Reply("", error=f"out of memory on one request: {error}"))
        return replies

    def _forget(self) -> bool:
        """Free what earlier requests computed; whether there was any."""
        self._model.memory.clear()
        held = self._model.prefixes is not None and self._model.prefixes.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return held


def _out_of_memory(error: RuntimeError) -> bool:
    """An accelerator says so by type, a CPU by message."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)
