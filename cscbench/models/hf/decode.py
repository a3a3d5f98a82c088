"""Decoding a batch with transformers' `generate`, from what earlier requests computed."""

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.generation import TemperatureLogitsWarper, TopPLogitsWarper

from cscbench.models.chat import Chat, Encoded
from cscbench.models.hf.batch import Batch, BatchRow, Memory, assemble, extract_row
from cscbench.models.hf.cache import PrefixCache, shared_prefixes
from cscbench.values import Frozen, Reply, Request, Sampling


class Model(Frozen, frozen=True):
    """A loaded model with its tokenizer's chat side; `prefixes` is None where nothing is reused.

    One batch at a time is in its `memory`.
    """

    network: Any
    chat: Chat
    prefixes: PrefixCache | None
    memory: Memory

    @property
    def pad(self) -> int:
        """Padding is masked on the left and cut off on the right: any token will do."""
        own = self.chat.tokenizer.pad_token_id
        return own if own is not None else next(iter(self.chat.ends), 0)


class Ready(Frozen, frozen=True):
    """A request and its token ids."""

    request: Request
    encoded: Encoded


class Known(Frozen, frozen=True):
    """A row with what a cache held of it; `computed` of its ids, at least those not held, were computed for it."""

    row: BatchRow
    computed: int


def find_cached(model: Model, prompts: Sequence[Sequence[int]]) -> list[Known]:
    """Rows for prompts, with what is known of them; what several share and none has is computed first."""
    ids = [np.array(prompt, dtype=np.int64) for prompt in prompts]
    if model.prefixes is None:
        return [Known(BatchRow(own), len(own)) for own in ids]
    extra = [0] * len(ids)
    for prefix in shared_prefixes(ids, [model.prefixes.find(own)[1] for own in ids]):
        snapshot, held = model.prefixes.find(prefix)
        first = next(number for number, own in enumerate(ids) if np.array_equal(own[: len(prefix)], prefix))
        extra[first] += len(prefix) - held
        prefill(model, [BatchRow(prefix, snapshot, held)], [hashlib.sha256(prefix.tobytes()).hexdigest()])
    rows = [BatchRow(own, *model.prefixes.find(own)) for own in ids]
    return [
        Known(row, min(len(row.ids), len(row.ids) - row.held + more)) for row, more in zip(rows, extra, strict=True)
    ]


def prefill(model: Model, rows: Sequence[BatchRow], keys: Sequence[str]) -> None:
    """Compute what rows lack, and keep it under their keys."""
    batch = assemble(rows, model.pad, 1, model.memory)
    _generate(model, batch, _config(model, Sampling(max_tokens=1), ()), None, ())
    cache_rows(model, batch, [()] * len(rows), keys)


def cache_rows(model: Model, batch: Batch, tokens: Sequence[Sequence[int]], keys: Sequence[str]) -> None:
    """Keep the states of a batch's rows, and of those generated tokens that the model has read.

    Of several rows with one key, turns of one dialogue, the longest.
    """
    if model.prefixes is None:
        return
    sizes = [len(row.ids) + len(more) for row, more in zip(batch.rows, tokens, strict=True)]
    longest = {key: number for number, key in sorted(enumerate(keys), key=lambda pair: sizes[pair[0]])}
    for key, number in longest.items():
        model.prefixes.keep(key, extract_row(batch, number, tokens[number]))


def write(model: Model, ready: Sequence[Ready]) -> list[Reply]:
    """Replies to requests that decode alike, in their order."""
    started = time.monotonic()
    sampling = ready[0].request.sampling
    stops = (*sampling.stop, *model.chat.stops)
    known = find_cached(model, [item.encoded.ids for item in ready])
    batch = assemble([one.row for one in known], model.pad, sampling.max_tokens, model.memory)
    sampler = _sampler(sampling, [item.request.sampling.seed for item in ready])
    rows = _generate(model, batch, _config(model, sampling, stops), sampler, stops)
    cut = [model.chat.cut(row, sampling.stop) for row in rows]
    # The last token of a reply was never read, only written.
    said = [one.tokens[: len(row) - 1] for one, row in zip(cut, rows, strict=True)]
    cache_rows(model, batch, said, [item.request.thread for item in ready])
    seconds = (time.monotonic() - started) / len(ready)
    return [
        Reply(
            text=one.text,
            tokens_in=len(item.encoded.ids),
            tokens_out=one.count,
            tokens_reused=len(item.encoded.ids) - own.computed,
            seconds=seconds,
            finish_reason="stop" if one.stopped else "length",
            dropped=item.encoded.dropped,
        )
        for item, own, one in zip(ready, known, cut, strict=True)
    ]


def _generate(model: Model, batch: Batch, config: Any, sampler: Any, stops: Sequence[str]) -> list[list[int]]:
    """The generated ids, a row each, padded to the longest."""
    network = model.network
    network.generation_config = config  # or generate() would merge the checkpoint's own into ours
    with torch.inference_mode():
        output = network.generate(
            input_ids=batch.ids.to(network.device),
            attention_mask=batch.mask.to(network.device),
            past_key_values=batch.cache if model.prefixes is not None else None,
            generation_config=config,
            logits_processor=sampler,
            tokenizer=model.chat.tokenizer if stops else None,
        )
    found: list[list[int]] = output[:, batch.width :].tolist()
    return found


def _config(model: Model, sampling: Sampling, stops: Sequence[str]) -> Any:
    """Our settings and no others: a checkpoint's own repetition penalty or top-k must not slip in."""
    return GenerationConfig(
        max_new_tokens=sampling.max_tokens,
        do_sample=False,
        eos_token_id=list(model.chat.ends) or None,
        pad_token_id=model.pad,
        stop_strings=list(stops) or None,
    )


class _GumbelNoise(LogitsProcessor):  # type: ignore[misc]
    """Noise after which the largest score is a sample (Gumbel 1954; the Gumbel-max trick).

    Each row has a generator of its own, so that a request's sample does not depend on its batch.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, _ids: Any, scores: Any) -> Any:
        uniform = torch.stack([torch.rand(scores.shape[-1], generator=own) for own in self._generators])
        noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return scores.float() + noise.to(scores.device)


def _sampler(sampling: Sampling, seeds: Sequence[int]) -> Any:
    """None for greedy decoding, else processors after which the largest score is the sampled token."""
    if sampling.temperature == 0:
        return None
    processors = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    processors.append(_GumbelNoise(seeds))
    return processors
