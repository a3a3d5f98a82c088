"""Rank a request's choices by likelihood."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from cscbench.models.chat import EncodedChoices
from cscbench.models.hf.batch import BatchRow, assemble
from cscbench.models.hf.decode import Model, find_cached, prefill
from cscbench.values import Reply, Request


def rank(model: Model, request: Request, encoded: EncodedChoices) -> Reply:
    """Return a request's most likely choice (ties go to the first) and each choice's mean log-probability per token.

    The prompt is computed once and cached; the choices are one batch of a few columns. A sum instead of the mean would
    favor short names (this normalizes by tokens, as `acc_norm` does by bytes).
    """
    started = time.monotonic()
    known = find_cached(model, [encoded.ids])[0]
    if model.prefixes is not None and len(known.row.ids) - known.row.held > 1:
        prefill(model, [known.row], [request.thread])
    scores = _scores(model, encoded)
    best = int(np.argmax(scores))
    return Reply(
        text=request.choices[best],
        tokens_in=len(encoded.ids),
        tokens_reused=len(encoded.ids) - known.computed,
        seconds=time.monotonic() - started,
        finish_reason="stop",
        dropped=encoded.dropped,
        choice_logprobs=tuple(scores),
    )


def _scores(model: Model, encoded: EncodedChoices) -> list[float]:
    prompt = np.array(encoded.ids, dtype=np.int64)
    prefix, held = (None, 0) if model.prefixes is None else model.prefixes.find(prompt)
    rows = [BatchRow(np.array([*encoded.ids, *choice], dtype=np.int64), prefix, held) for choice in encoded.choices]
    batch = assemble(rows, model.pad, 0, model.memory)
    positions = (batch.mask.cumsum(-1) - 1).clamp(min=0)
    new = slice(batch.known, batch.width)
    device = model.network.device
    with torch.inference_mode():
        logits = model.network(
            input_ids=batch.ids[:, new].to(device),
            attention_mask=batch.mask.to(device),
            position_ids=positions[:, new].to(device),
            past_key_values=batch.cache if model.prefixes is not None else None,
        ).logits
    return [_mean_logprob(row, choice) for row, choice in zip(logits, encoded.choices, strict=True)]


def _mean_logprob(logits: Any, choice: Sequence[int]) -> float:
    """Mean log-probability of the tokens at the end of a row; the logits of a column are for the next one."""
    logprobs = logits[-len(choice) - 1 : -1].float().log_softmax(-1)
    return float(logprobs.gather(-1, torch.tensor(choice, device=logprobs.device)[:, None]).mean())
