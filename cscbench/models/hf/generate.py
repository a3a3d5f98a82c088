"""The Hugging Face adapter: it collects pending requests and answers them in batches."""

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

# After so many event-loop ticks without a new request, no more will come: a play does no I/O between receiving a reply
# and sending its next request.
_SETTLED_TICKS = 3


class _Waiting(Frozen, frozen=True):
    request: Request
    future: asyncio.Future[Reply]


def _not_cancelled(pending: Sequence[_Waiting]) -> list[_Waiting]:
    """Drop cancelled requests: they must not fail the rest of their batch."""
    return [waiting for waiting in pending if not waiting.future.done()]


def _batch_key(request: Request) -> tuple[bool, Sampling]:
    """What the rows of a batch have in common: whether they are ranked, and all settings but the seed."""
    return bool(request.choices), msgspec.structs.replace(request.sampling, seed=0)


def _turn_order(request: Request) -> tuple[str, int, str]:
    return request.thread, request.turn, request.id


class HfAdapter:
    """Collects pending requests and answers up to `batch_size` of them together.

    If memory runs out, it clears its cache and halves the batch size for good; no request is lost.
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
        """Free the cached states."""
        self._clear_cache()

    async def _flush(self) -> None:
        while self._pending:
            await self._settle()
            batch = self._next_batch()
            try:
                replies = await asyncio.to_thread(self._answer, [waiting.request for waiting in batch])
            except Exception as error:
                for waiting in _not_cancelled(batch):
                    waiting.future.set_exception(error)
                continue
            for waiting, reply in zip(batch, replies, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(reply)
            await self._settle()
        self._flusher = None

    def _next_batch(self) -> list[_Waiting]:
        """Take the first pending requests with the same batch key, in the order of turns: each extends the last."""
        self._pending = sorted(_not_cancelled(self._pending), key=lambda waiting: _turn_order(waiting.request))
        key = _batch_key(self._pending[0].request)
        batch = [waiting for waiting in self._pending if _batch_key(waiting.request) == key][: self._batch_size]
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
        """Return replies in the order of the requests; a request that does not fit the window fails alone."""
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
                replies[request.id] = Reply("", error=f"the chat template rejects this prompt: {error}")
        replies |= {item.request.id: reply for item, reply in zip(ready, self._write(ready), strict=True)}
        return [replies[request.id] for request in requests]

    def _rank(self, request: Request) -> Reply:
        encoded = self._model.chat.choice_ids(request.messages, request.choices, request.sampling.max_tokens)
        try:
            return rank(self._model, request, encoded)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
        self._clear_cache()
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
                cleared = self._clear_cache()
                if len(batch) > 1:
                    self._batch_size = len(batch) // 2
                    log.warning("out of memory on a batch of %d: continuing with %d", len(batch), self._batch_size)
                elif not cleared:
                    replies.append(Reply("", error=f"out of memory on one request: {error}"))
        return replies

    def _clear_cache(self) -> bool:
        """Free the cached states; return whether there were any."""
        self._model.memory.clear()
        cleared = self._model.prefixes is not None and self._model.prefixes.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return cleared


def _out_of_memory(error: RuntimeError) -> bool:
    """Recognize the error by its type on an accelerator, by its message on a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)
