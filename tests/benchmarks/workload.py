"""Shared by the benchmarks: the exact prompts of a run, their number of unique tokens, and the generated tokens."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from cscbench.asking.plays import Play, Protocol, play
from cscbench.asking.store import REPLIES, StoredReply
from cscbench.models.chat import Chat
from cscbench.runs.plan import Plan
from cscbench.values import Context, Frozen, Reply, Request, Sampling

Ids = tuple[int, ...]


class Batch(Frozen, frozen=True):
    """One call of transformers' `generate`: the prompt and the generated ids of each row."""

    prompts: tuple[Ids, ...]
    written: tuple[Ids, ...]


def plays(plan: Plan, sampling: Sampling) -> list[Play]:
    """The plan's dialogues in gold context, in which requests do not depend on replies."""
    protocol = Protocol(Context.GOLD, sampling)
    return [play(dialogue, plan.prompts[dialogue.language], protocol) for dialogue in plan.dialogues]


def requests(plan: Plan) -> list[Request]:
    """Every request of a plan in gold context, in order."""
    return [request for playing in plays(plan, plan.sampling) for request in _requests_of(playing)]


def _requests_of(playing: Play) -> Iterator[Request]:
    try:
        request = next(playing)
        while True:
            yield request
            request = playing.send(Reply(""))
    except StopIteration:
        return


def prompt_ids(chat: Chat, asked: Sequence[Request]) -> list[Ids]:
    """The token ids that an adapter with this chat reads for each request."""
    return [chat.encode(request.messages, request.sampling.max_tokens).ids for request in asked]


def unique_tokens(prompts: Sequence[Ids]) -> int:
    """The number of nodes in the trie of all prompts: any engine must compute each distinct prefix at least once."""
    total, last = 0, Ids()
    for ids in sorted(prompts):  # neighbours share the most
        shared = next((n for n, (a, b) in enumerate(zip(last, ids, strict=False)) if a != b), min(len(last), len(ids)))
        total += len(ids) - shared
        last = ids
    return total


def replies_in(out: Path) -> dict[str, Reply]:
    """Return the replies of the only run below `out` by request; exit if one failed."""
    (path,) = out.rglob(REPLIES)
    stored = [msgspec.json.decode(row, type=StoredReply) for row in path.read_bytes().splitlines()]
    for line in stored:
        if line.reply.error:
            raise SystemExit(f"{line.id} failed: {line.reply.error}")
    return {line.id: line.reply for line in stored}


@contextmanager
def recorded() -> Iterator[list[Batch]]:
    """Record every batch of replies that transformers' `generate` produces in the `with` block, in order.

    Calls for one new token do not count: with them the adapter computes a prefix that several prompts share.
    """
    from transformers import GenerationMixin

    batches: list[Batch] = []
    original = GenerationMixin.generate

    def generate(network: Any, *, input_ids: Any, attention_mask: Any, generation_config: Any, **settings: Any) -> Any:
        output = original(
            network,
            input_ids=input_ids,
            attention_mask=attention_mask,
            generation_config=generation_config,
            **settings,
        )
        if generation_config.max_new_tokens > 1:
            rows = zip(input_ids, attention_mask.bool(), strict=True)
            prompts = tuple(tuple(ids[mask].tolist()) for ids, mask in rows)
            batches.append(Batch(prompts, tuple(map(tuple, output[:, input_ids.shape[1] :].tolist()))))
        return output

    with mock.patch.object(GenerationMixin, "generate", generate):
        yield batches


def difference(left: Sequence[Batch], right: Sequence[Batch]) -> str:
    """Describe where two records first differ; empty if batches, prompts and all generated ids are the same."""
    if [batch.prompts for batch in left] != [batch.prompts for batch in right]:
        return f"the batches differ in composition ({len(left)} and {len(right)} batches) and cannot be compared"
    for number, (batch, counterpart) in enumerate(zip(left, right, strict=True), 1):
        for row, (a, b) in enumerate(zip(batch.written, counterpart.written, strict=True), 1):
            if a != b:
                at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
                return f"batch {number} of {len(left)}, row {row}: the replies diverge at token {at + 1}"
    return ""
