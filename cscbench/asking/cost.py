"""What replies cost: tokens, time, memory, money, energy. What is not known is None, never 0."""

import math
from collections.abc import Callable, Iterable, Sequence

from cscbench.asking.store import StoredReply, effective_replies
from cscbench.values import Count, Frozen, Number, Price, Reply


class Usage(Frozen, frozen=True):
    """What the replies that the results rest on add up to, one a request: the same for equal runs.

    Tokens are None where the adapter did not count them. `cut` replies ended at `max_tokens`; of `dropped` ones the
    oldest messages had been left out.
    """

    requests: Count
    failed: Count
    tokens_in: Count | None
    tokens_out: Count | None
    cut: Count
    dropped: Count


class Session(Frozen, frozen=True):
    """A line of sessions.jsonl: what one process took so far; the last line of a session (`started`) counts.

    `wall_seconds` passed with at least one request in flight. `devices` are those of `LoadedAdapter`. Peaks are in
    bytes; `energy_note` says what the joules cover, or why there are none. `ended` is false in the last line of a
    process that was killed.
    """

    started: str
    wall_seconds: float
    devices: tuple[str, ...]
    peak_memory: int | None
    peak_device_memory: int | None
    energy_joules: float | None
    energy_note: str
    ended: bool


class Cost(Frozen, frozen=True):
    """What a run took, over all its sessions: equal runs differ in it.

    `requests` and tokens count all that was asked, also what failed or was lost and was asked again. `tokens_reused`
    of the `tokens_in` were found in a cache, `tokens_computed` were not. `model_seconds` is the replies' own time,
    which overlaps where requests wait side by side; `device_seconds` is wall time x devices. `amount` is in `currency`,
    at the card's price. Of each of `killed` sessions the last seconds are missing (`cscbench.asking.meter`).
    """

    requests: Count
    tokens_in: Count | None
    tokens_out: Count | None
    tokens_reused: Count | None
    tokens_computed: Count | None
    sessions: Count
    killed: Count
    wall_seconds: Number | None
    model_seconds: Number | None
    devices: Count | None
    device_seconds: Number | None
    peak_memory: Count | None
    peak_device_memory: Count | None
    energy_joules: Number | None
    energy_note: str
    amount: Number | None
    currency: str | None


def charge(price: Price, tokens_in: int, tokens_out: int) -> float:
    """What this many tokens cost, in the price's currency."""
    return (tokens_in * price.input + tokens_out * price.output) / 1_000_000


def usage_of(lines: Sequence[StoredReply]) -> Usage:
    """What the lines of a replies.jsonl came to, each request counted once."""
    replies = [line.reply for line in effective_replies(lines).values()]
    return Usage(
        requests=len(replies),
        failed=sum(1 for reply in replies if reply.error),
        tokens_in=_total(replies, _tokens_in),
        tokens_out=_total(replies, _tokens_out),
        cut=sum(1 for reply in replies if reply.finish_reason == "length"),
        dropped=sum(1 for reply in replies if reply.dropped),
    )


def cost_of(lines: Sequence[StoredReply], sessions: Iterable[Session], price: Price | None) -> Cost:
    """What all sessions of a run took, from replies.jsonl and sessions.jsonl."""
    replies = [line.reply for line in lines]
    tokens_in, tokens_out = _total(replies, _tokens_in), _total(replies, _tokens_out)
    reused = _total(replies, lambda reply: reply.tokens_reused)
    last = list({session.started: session for session in sessions}.values())
    return Cost(
        requests=len(replies),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens_reused=reused,
        tokens_computed=None if tokens_in is None or reused is None else tokens_in - reused,
        sessions=len(last),
        killed=sum(1 for session in last if not session.ended),
        wall_seconds=_sum(session.wall_seconds for session in last),
        # Those who do not time their replies leave 0.
        model_seconds=_sum(reply.seconds for reply in replies) or None,
        devices=max((len(session.devices) for session in last), default=0) or None,
        device_seconds=_sum(s.wall_seconds * len(s.devices) if s.devices else None for s in last),
        peak_memory=max((s.peak_memory for s in last if s.peak_memory is not None), default=None),
        peak_device_memory=max((s.peak_device_memory for s in last if s.peak_device_memory is not None), default=None),
        energy_joules=_sum(session.energy_joules for session in last),
        energy_note=_energy_note(last),
        amount=None
        if price is None or tokens_in is None or tokens_out is None
        else charge(price, tokens_in, tokens_out),
        currency=price.currency if price else None,
    )


def _total(replies: Iterable[Reply], count: Callable[[Reply], int | None]) -> int | None:
    """A sum over replies; None where one that was answered has no count, or none was answered."""
    counts = [(count(reply), reply.error) for reply in replies]
    if any(found is None and not error for found, error in counts) or all(error for _, error in counts):
        return None
    return sum(found or 0 for found, _ in counts)


def _tokens_in(reply: Reply) -> int | None:
    """No prompt is empty: 0 says that nobody counted."""
    return reply.tokens_in or None


def _tokens_out(reply: Reply) -> int | None:
    """A ranked reply is not written, and an empty one may have no token; any other has some."""
    return None if reply.text and not reply.tokens_out and not reply.choice_logprobs else reply.tokens_out


def _sum(values: Iterable[float | None]) -> float | None:
    """A sum, the same in any order; None where one is not known, or there is none."""
    found = list(values)
    known = [value for value in found if value is not None]
    return round(math.fsum(known), 6) if found and len(known) == len(found) else None


def _energy_note(sessions: Sequence[Session]) -> str:
    """The first reason why energy is not known, else what it covers."""
    unknown = [session.energy_note for session in sessions if session.energy_joules is None]
    return next(iter([*unknown, *(session.energy_note for session in sessions)]), "nothing was recorded")
