"""What the plots are drawn from: entries of one track as points, and the pairs among them."""

from collections.abc import Iterable, Mapping, Sequence

from cscbench.publishing.board.records import RankedTrack
from cscbench.publishing.site.entry_summary import EntrySummary, Value
from cscbench.values import Context, Frozen


class Point(Frozen, frozen=True):
    """An entry with its value in the metric that its track ranks by; `block` says what it may be compared with."""

    facts: EntrySummary
    block: int
    value: Value


class ContextGap(Frozen, frozen=True):
    """One model's value with the gold history and with its own words for it, over the same data."""

    name: str
    reported: bool
    gold: Value
    generated: Value


def points(ranked: RankedTrack, facts: Mapping[str, EntrySummary]) -> list[Point]:
    """The entries of a track that have the metric it ranks by, in the order of the table."""
    metric = ranked.track.rank_by
    return [
        Point(facts[row.entry], number, facts[row.entry].values[metric])
        for number, block in enumerate(ranked.blocks)
        for row in block.rows
        if metric in facts[row.entry].values
    ]


def lora_pairs(found: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Each base model with its tuned ones: one family, one size, one block. Nothing is paired across blocks."""
    bases = {(own.facts.family, own.facts.parameters, own.block): own for own in found if not own.facts.lora}
    return [
        (base, own)
        for own in found
        if own.facts.lora
        and own.facts.family
        and own.facts.parameters > 0
        and (base := bases.get((own.facts.family, own.facts.parameters, own.block))) is not None
    ]


def drifts(ranked: RankedTrack, facts: Iterable[EntrySummary]) -> list[ContextGap]:
    """Models that have the track's metric in both contexts, the largest loss first."""
    metric = ranked.track.rank_by
    found: dict[tuple[object, ...], dict[Context, EntrySummary]] = {}
    for own in facts:
        if metric in own.values and own.condition in (ranked.track.condition, None):
            what = (own.reported, own.name, own.source, own.task, own.data, own.turns)
            found.setdefault(what, {})[own.context] = own
    both = [pair for pair in found.values() if len(pair) == 2]
    drift = [
        ContextGap(gold.name, gold.reported, gold.values[metric], pair[Context.GENERATED].values[metric])
        for pair in both
        for gold in (pair[Context.GOLD],)
    ]
    return sorted(drift, key=lambda own: (own.generated.value - own.gold.value, own.name))
