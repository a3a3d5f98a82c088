"""Batched decoding with transformers' `generate`: one adapter for greedy and sampled runs."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from cscbench.adapters.chat import Chat, Encoded, WindowError
from cscbench.records import Frozen, Reply, Request, Sampling

# Ticks of the event loop without a new request after which all that are coming have come: between two replies a play
# does no I/O, so whoever will ask has asked.
_SETTLED_TICKS = 3


class _Waiting(Frozen, frozen=True):
    request: Request
    future: asyncio.Future[Reply]


class _Ready(Frozen, frozen=True):
    request: Request
    encoded: Encoded


def _still_wanted(waiting: Sequence[_Waiting]) -> list[_Waiting]:
    """Those whose asker has not gone: a cancelled one must not sink its batch mates."""
    return [one for one in waiting if not one.future.done()]


def _decoding(waiting: _Waiting) -> Sampling:
    """The settings that one `generate` has in common for all its rows: all but the seed."""
    return msgspec.structs.replace(waiting.request.sampling, seed=0)


class HfAdapter:
    """Collects pending requests and answers up to `batch_size` of them in one `generate`."""

    def __init__(self, model: Any, chat: Chat, batch_size: int) -> None:
        self._model, self._chat, self._batch_size = model, chat, batch_size
        self._pending: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None

    async def generate(self, request: Request) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending.append(_Waiting(request, future))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        return await future

    def close(self) -> None:
        """Let go of the model."""
        self._model = None

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
        """The first that are pending and decode alike; sorted, so that a batch does not depend on who woke first."""
        self._pending = sorted(_still_wanted(self._pending), key=lambda waiting: waiting.request.id)
        like = [waiting for waiting in self._pending if _decoding(waiting) == _decoding(self._pending[0])]
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
        from jinja2 import TemplateError

        replies: dict[str, Reply] = {}
        ready: list[_Ready] = []
        for request in requests:
            try:
                ready.append(_Ready(request, self._chat.encode(request.messages, request.sampling.max_tokens)))
            except WindowError as error:
                replies[request.id] = Reply("", error=str(error))
            except TemplateError as error:
                replies[request.id] = Reply("", error=f"the chat template refuses this prompt: {error}")
        if ready:
            for item, reply in zip(ready, self._decode_within_memory(ready), strict=True):
                replies[item.request.id] = reply
        return [replies[request.id] for request in requests]

    def _decode_within_memory(self, ready: Sequence[_Ready]) -> list[Reply]:
        """Half the batch, and half again, where the accelerator's memory does not hold it whole."""
        import torch

        try:
            return self._decode(ready)
        except torch.OutOfMemoryError as error:
            if len(ready) == 1:
                return [Reply("", error=f"out of memory on one request: {error}")]
        torch.cuda.empty_cache()
        half = len(ready) // 2
        return [*self._decode_within_memory(ready[:half]), *self._decode_within_memory(ready[half:])]

    def _decode(self, ready: Sequence[_Ready]) -> list[Reply]:
        import torch

        started = time.monotonic()
        tokenizer, sampling = self._chat.tokenizer, ready[0].request.sampling
        # Masked on the left and cut off on the right: any token will do.
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else next(iter(self._chat.ends), 0)
        width = max(len(item.encoded.ids) for item in ready)
        ids = torch.full((len(ready), width), pad, dtype=torch.long)
        mask = torch.zeros((len(ready), width), dtype=torch.long)
        for row, item in enumerate(ready):
            ids[row, width - len(item.encoded.ids) :] = torch.tensor(item.encoded.ids)
            mask[row, width - len(item.encoded.ids) :] = 1
        stops = (*sampling.stop, *self._chat.stops)
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                generation_config=self._config(sampling, pad, stops),
                logits_processor=_sampler(sampling, [item.request.sampling.seed for item in ready]),
                tokenizer=tokenizer if stops else None,
            )
        seconds = (time.monotonic() - started) / len(ready)
        rows = output[:, width:].tolist()
        return [self._reply(item, row, stops, seconds) for item, row in zip(ready, rows, strict=True)]

    def _config(self, sampling: Sampling, pad: int, stops: Sequence[str]) -> Any:
        """Our settings and no others: a checkpoint's own repetition penalty or top-k must not slip in."""
        from transformers import GenerationConfig

        config = GenerationConfig(
            max_new_tokens=sampling.max_tokens,
            do_sample=False,
            eos_token_id=list(self._chat.ends) or None,
            pad_token_id=pad,
            stop_strings=list(stops) or None,
        )
        self._model.generation_config = config
        return config

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self._chat.tokenizer.decode(tokens, skip_special_tokens=True))

    def _reply(self, item: _Ready, row: Sequence[int], stops: Sequence[str], seconds: float) -> Reply:
        end = next((n for n, token in enumerate(row) if token in self._chat.ends), None)
        kept = row if end is None else row[:end]
        text = self._text(kept)
        cuts = [at for stop in stops if (at := text.find(stop)) >= 0]
        if cuts:
            text = text[: min(cuts)]
            # What follows in the row is padding up to the longest of the batch: no token of this reply.
            kept = next(row[:n] for n in range(1, len(row) + 1) if any(stop in self._text(row[:n]) for stop in stops))
            end = None
        return Reply(
            text=text.strip(),
            tokens_in=len(item.encoded.ids),
            tokens_out=len(kept) + (end is not None),
            seconds=seconds,
            finish_reason="stop" if end is not None or cuts else "length",
            dropped=item.encoded.dropped,
        )


def _sampler(sampling: Sampling, seeds: Sequence[int]) -> Any:
    """None for greedy decoding, else processors after which the largest score is the sampled token.

    Adding Gumbel noise to log-probabilities and taking the maximum samples from them (Gumbel 1954; the Gumbel-max
    trick). Each row has a generator of its own, so that a request's sample does not depend on its batch.
    """
    if sampling.temperature == 0:
        return None
    import torch
    from transformers import LogitsProcessor, LogitsProcessorList
    from transformers.generation import TemperatureLogitsWarper, TopPLogitsWarper

    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    class GumbelNoise(LogitsProcessor):  # type: ignore[misc]
        def __call__(self, _ids: Any, scores: Any) -> Any:
            uniform = torch.stack([torch.rand(scores.shape[-1], generator=own) for own in generators])
            noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
            return scores.float() + noise.to(scores.device)

    processors = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    processors.append(GumbelNoise())
    return processors
