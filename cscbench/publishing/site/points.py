"""Select what plots show: the entries of a track as points, and the pairs among them."""

from collections.abc import Iterable, Mapping, Sequence

from cscbench.publishing.board.records import RankedTrack
from cscbench.publishing.site.entry_summary import EntrySummary, Value
from cscbench.values import Context, Frozen


class Point(Frozen, frozen=True):
    """An entry with its value of the track's ranking metric; only points of the same `block` are comparable."""

    summary: EntrySummary
    block: int
    value: Value


class ContextGap(Frozen, frozen=True):
    """One model's values in gold and generated context, over the same data."""

    name: str
    reported: bool
    gold: Value
    generated: Value


def points(ranked: RankedTrack, summaries: Mapping[str, EntrySummary]) -> list[Point]:
    """Return the entries of a track that have its ranking metric, in the order of the table."""
    metric = ranked.track.rank_by
    return [
        Point(summaries[row.entry], number, summaries[row.entry].values[metric])
        for number, block in enumerate(ranked.blocks)
        for row in block.rows
        if metric in summaries[row.entry].values
    ]


def lora_pairs(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    """Pair each base model with the tuned models of the same family, size and block."""
    bases = {_pairing_key(point): point for point in points if not point.summary.lora}
    return [
        (base, tuned)
        for tuned in points
        if tuned.summary.lora
        and tuned.summary.family
        and tuned.summary.parameters > 0
        and (base := bases.get(_pairing_key(tuned))) is not None
    ]


def _pairing_key(point: Point) -> tuple[str, float, int]:
    return point.summary.family, point.summary.parameters, point.block


def context_gaps(ranked: RankedTrack, summaries: Iterable[EntrySummary]) -> list[ContextGap]:
    """Return the models that have the track's metric in both contexts, the largest loss first."""
    metric = ranked.track.rank_by
    models: dict[tuple[object, ...], dict[Context, EntrySummary]] = {}
    for entry in summaries:
        if metric in entry.values and entry.condition in (ranked.track.condition, None):
            model = (entry.reported, entry.name, entry.source, entry.task, entry.data, entry.turns)
            models.setdefault(model, {})[entry.context] = entry
    gaps = []
    for contexts in models.values():
        if len(contexts) == 2:
            gold, generated = contexts[Context.GOLD], contexts[Context.GENERATED]
            gaps.append(ContextGap(gold.name, gold.reported, gold.values[metric], generated.values[metric]))
    return sorted(gaps, key=lambda gap: (gap.generated.value - gap.gold.value, gap.name))
