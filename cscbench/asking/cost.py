"""The cost of replies: tokens, time, memory, money, energy. An unknown amount is None, never 0."""

import math
from collections.abc import Callable, Iterable, Sequence

from cscbench.asking.store import StoredReply, effective_replies
from cscbench.values import Count, Frozen, Number, Price, Reply


class Usage(Frozen, frozen=True):
    """Totals over the replies that the results are based on, one per request; equal runs have equal usage.

    Tokens are None if the adapter did not count them. `cut` replies ended at `max_tokens`; `dropped` ones were made
    from prompts without their oldest messages.
    """

    requests: Count
    failed: Count
    tokens_in: Count | None
    tokens_out: Count | None
    cut: Count
    dropped: Count


class Session(Frozen, frozen=True):
    """A line of sessions.jsonl: the resources one process has used so far; a session's (`started`) last line counts.

    `wall_seconds` is the time with at least one request in flight. `devices` are those of `LoadedAdapter`. Peaks are in
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
    """The cost of a run over all its sessions; equal runs differ here.

    `requests` and tokens count every request, including those that failed or were lost and then repeated. Of
    `tokens_in`, a cache supplied `tokens_reused`; the others are `tokens_computed`. `model_seconds` sums the times of
    the replies, which overlap when requests run concurrently; `device_seconds` is wall time x devices. `amount` is in
    `currency`, at the card's price. The last seconds of each of the `killed` sessions are missing
    (`cscbench.asking.meter`).
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
    """Return what this many tokens cost, in the price's currency."""
    return (tokens_in * price.input + tokens_out * price.output) / 1_000_000


def usage_of(lines: Sequence[StoredReply]) -> Usage:
    """Add up the lines of a replies.jsonl, counting each request once."""
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
    """Return the cost of all sessions of a run, from replies.jsonl and sessions.jsonl."""
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
        # Adapters that do not time their replies report 0.
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
    """Sum over replies; None if an answered request has no count, or none was answered."""
    counts = [(count(reply), reply.error) for reply in replies]
    if any(tokens is None and not error for tokens, error in counts) or all(error for _, error in counts):
        return None
    return sum(tokens or 0 for tokens, _ in counts)


def _tokens_in(reply: Reply) -> int | None:
    """No prompt is empty: 0 means that the adapter does not count."""
    return reply.tokens_in or None


def _tokens_out(reply: Reply) -> int | None:
    """A ranked reply is not generated, and an empty one may have no tokens; any other has some."""
    return None if reply.text and not reply.tokens_out and not reply.choice_logprobs else reply.tokens_out


def _sum(values: Iterable[float | None]) -> float | None:
    """Sum independently of order; None if any value is unknown, or there are none."""
    terms = list(values)
    known = [value for value in terms if value is not None]
    return round(math.fsum(known), 6) if terms and len(known) == len(terms) else None


def _energy_note(sessions: Sequence[Session]) -> str:
    """Return the first reason why energy is unknown, or else what it covers."""
    unknown = [session.energy_note for session in sessions if session.energy_joules is None]
    return next(iter([*unknown, *(session.energy_note for session in sessions)]), "nothing was recorded")
