"""What the benchmarks share: the very prompts of a run, how many of their tokens are unique, and what was written."""

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
    """One call of transformers' `generate`: a row's prompt, and the ids written after it, each."""

    prompts: tuple[Ids, ...]
    written: tuple[Ids, ...]


def plays(plan: Plan, sampling: Sampling) -> list[Play]:
    """The plan's dialogues in gold context: what is asked does not depend on what is answered."""
    protocol = Protocol(Context.GOLD, sampling)
    return [play(dialogue, plan.prompts[dialogue.language], protocol) for dialogue in plan.dialogues]


def requests(plan: Plan) -> list[Request]:
    """Every request of a plan in gold context, in order."""
    return [request for one in plays(plan, plan.sampling) for request in _asked(one)]


def _asked(one: Play) -> Iterator[Request]:
    try:
        request = next(one)
        while True:
            yield request
            request = one.send(Reply(""))
    except StopIteration:
        return


def prompt_ids(chat: Chat, asked: Sequence[Request]) -> list[Ids]:
    """The token ids that an adapter with this chat reads for each request."""
    return [chat.encode(request.messages, request.sampling.max_tokens).ids for request in asked]


def unique_tokens(prompts: Sequence[Ids]) -> int:
    """Nodes of the trie of all prompts: the least that any engine must compute, each distinct prefix once."""
    total, last = 0, Ids()
    for ids in sorted(prompts):  # neighbours share the most
        shared = next((n for n, (a, b) in enumerate(zip(last, ids, strict=False)) if a != b), min(len(last), len(ids)))
        total += len(ids) - shared
        last = ids
    return total


def replies_in(out: Path) -> dict[str, Reply]:
    """The replies of the one run below `out`, by request; stops where one failed."""
    (path,) = out.rglob(REPLIES)
    stored = [msgspec.json.decode(line, type=StoredReply) for line in path.read_bytes().splitlines()]
    for one in stored:
        if one.reply.error:
            raise SystemExit(f"{one.id} failed: {one.reply.error}")
    return {one.id: one.reply for one in stored}


@contextmanager
def recorded() -> Iterator[list[Batch]]:
    """Every batch of replies that transformers' `generate` writes meanwhile, in order.

    A call for one new token is not one: with it the adapter reads a prefix that several prompts share.
    """
    from transformers import GenerationMixin

    batches: list[Batch] = []
    own = GenerationMixin.generate

    def generate(network: Any, *, input_ids: Any, attention_mask: Any, generation_config: Any, **settings: Any) -> Any:
        output = own(
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
    """Where two records first part, in words; empty where batches, prompts and every written id are the same."""
    if [batch.prompts for batch in left] != [batch.prompts for batch in right]:
        return f"the batches were composed differently ({len(left)} and {len(right)}): nothing can be said"
    for number, (one, other) in enumerate(zip(left, right, strict=True), 1):
        for row, (a, b) in enumerate(zip(one.written, other.written, strict=True), 1):
            if a != b:
                at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
                return f"batch {number} of {len(left)}, row {row}: the replies part at token {at + 1}"
    return ""
