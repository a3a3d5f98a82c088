"""Decode a batch with transformers' `generate`, starting from cached states."""

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
    """A loaded model with its tokenizer's chat; `prefixes` is None if nothing is reused.

    Its `memory` holds one batch at a time.
    """

    network: Any
    chat: Chat
    prefixes: PrefixCache | None
    memory: Memory

    @property
    def pad(self) -> int:
        """The padding token: any will do, because padding is masked on the left and cut off on the right."""
        token = self.chat.tokenizer.pad_token_id
        return token if token is not None else next(iter(self.chat.ends), 0)


class Ready(Frozen, frozen=True):
    """A request and its token ids."""

    request: Request
    encoded: Encoded


class Known(Frozen, frozen=True):
    """A row with its cached prefix; `computed` of its ids, at least those not cached, were computed for it."""

    row: BatchRow
    computed: int


def find_cached(model: Model, prompts: Sequence[Sequence[int]]) -> list[Known]:
    """Return a row with its cached prefix for each prompt; compute what several share and the cache lacks first."""
    ids = [np.array(prompt, dtype=np.int64) for prompt in prompts]
    if model.prefixes is None:
        return [Known(BatchRow(prompt), len(prompt)) for prompt in ids]
    extra = [0] * len(ids)
    for prefix in shared_prefixes(ids, [model.prefixes.find(prompt)[1] for prompt in ids]):
        snapshot, held = model.prefixes.find(prefix)
        first = next(index for index, prompt in enumerate(ids) if np.array_equal(prompt[: len(prefix)], prefix))
        extra[first] += len(prefix) - held
        prefill(model, [BatchRow(prefix, snapshot, held)], [hashlib.sha256(prefix.tobytes()).hexdigest()])
    rows = [BatchRow(prompt, *model.prefixes.find(prompt)) for prompt in ids]
    return [
        Known(row, min(len(row.ids), len(row.ids) - row.held + more)) for row, more in zip(rows, extra, strict=True)
    ]


def prefill(model: Model, rows: Sequence[BatchRow], keys: Sequence[str]) -> None:
    """Compute what rows lack, and cache it under their keys."""
    batch = assemble(rows, model.pad, 1, model.memory)
    _generate(model, batch, _config(model, Sampling(max_tokens=1), ()), None, ())
    cache_rows(model, batch, [()] * len(rows), keys)


def cache_rows(model: Model, batch: Batch, tokens: Sequence[Sequence[int]], keys: Sequence[str]) -> None:
    """Cache the states of a batch's rows and of the generated `tokens` that the model has read.

    If several rows have the same key, as turns of one dialogue do, cache the longest.
    """
    if model.prefixes is None:
        return
    lengths = [len(row.ids) + len(generated) for row, generated in zip(batch.rows, tokens, strict=True)]
    longest = {key: index for index, key in sorted(enumerate(keys), key=lambda pair: lengths[pair[0]])}
    for key, index in longest.items():
        model.prefixes.put(key, extract_row(batch, index, tokens[index]))


def write(model: Model, ready: Sequence[Ready]) -> list[Reply]:
    """Answer requests with the same settings; return their replies in order."""
    started = time.monotonic()
    sampling = ready[0].request.sampling
    stops = (*sampling.stop, *model.chat.stops)
    known = find_cached(model, [item.encoded.ids for item in ready])
    batch = assemble([match.row for match in known], model.pad, sampling.max_tokens, model.memory)
    sampler = _sampler(sampling, [item.request.sampling.seed for item in ready])
    rows = _generate(model, batch, _config(model, sampling, stops), sampler, stops)
    cuts = [model.chat.cut(row, sampling.stop) for row in rows]
    # The model wrote the last token of a reply but never read it.
    read = [cut.tokens[: len(row) - 1] for cut, row in zip(cuts, rows, strict=True)]
    cache_rows(model, batch, read, [item.request.thread for item in ready])
    seconds = (time.monotonic() - started) / len(ready)
    return [
        Reply(
            text=cut.text,
            tokens_in=len(item.encoded.ids),
            tokens_out=cut.count,
            tokens_reused=len(item.encoded.ids) - match.computed,
            seconds=seconds,
            finish_reason="stop" if cut.stopped else "length",
            dropped=item.encoded.dropped,
        )
        for item, match, cut in zip(ready, known, cuts, strict=True)
    ]


def _generate(model: Model, batch: Batch, config: Any, sampler: Any, stops: Sequence[str]) -> list[list[int]]:
    """Return the generated ids, one list for each row, padded to the longest."""
    network = model.network
    network.generation_config = config  # otherwise generate() merges the checkpoint's own settings into ours
    with torch.inference_mode():
        output = network.generate(
            input_ids=batch.ids.to(network.device),
            attention_mask=batch.mask.to(network.device),
            past_key_values=batch.cache if model.prefixes is not None else None,
            generation_config=config,
            logits_processor=sampler,
            tokenizer=model.chat.tokenizer if stops else None,
        )
    rows: list[list[int]] = output[:, batch.width :].tolist()
    return rows


def _config(model: Model, sampling: Sampling, stops: Sequence[str]) -> Any:
    """Return our settings only: a checkpoint's own repetition penalty or top-k must not apply."""
    return GenerationConfig(
        max_new_tokens=sampling.max_tokens,
        do_sample=False,
        eos_token_id=list(model.chat.ends) or None,
        pad_token_id=model.pad,
        stop_strings=list(stops) or None,
    )


class _GumbelNoise(LogitsProcessor):  # type: ignore[misc]
    """Adds noise that makes the largest score a sample (Gumbel 1954; the Gumbel-max trick).

    Each row has its own generator, so that a request's sample does not depend on its batch.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, _ids: Any, scores: Any) -> Any:
        uniform = torch.stack([torch.rand(scores.shape[-1], generator=generator) for generator in self._generators])
        noise = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return scores.float() + noise.to(scores.device)


def _sampler(sampling: Sampling, seeds: Sequence[int]) -> Any:
    """Return None for greedy decoding, else processors after which the largest score is the sampled token."""
    if sampling.temperature == 0:
        return None
    processors = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    processors.append(_GumbelNoise(seeds))
    return processors
