"""What the scripts of the pages are given: the tables, the metrics by entry, the plots."""

from collections.abc import Mapping, Sequence
from typing import Any

from cscbench.publishing.board.records import Board, BoardEntry, Cell, RankedTrack, RunEntry
from cscbench.publishing.site import figures
from cscbench.publishing.site.entry_summary import EntrySummary, Value
from cscbench.publishing.site.figures import Groups
from cscbench.publishing.site.points import drifts, points
from cscbench.runs.turns import TurnSummary
from cscbench.values import Confusion, StrategySet

Json = dict[str, Any]


class StringTable:
    """Long texts that many cells share, each once."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def number(self, text: str) -> int:
        return self.known.setdefault(text, len(self.known))


def board_payload(board: Board, ranked: Sequence[RankedTrack], facts: Mapping[str, EntrySummary]) -> Json:
    """`data/board.js`: the tables of all tracks, and what filters ask of an entry."""
    signatures = StringTable()
    lower = {name for own in facts.values() for name, value in own.values.items() if not value.higher_is_better}
    tracks = [_track(own, facts, signatures, lower) for own in ranked]
    return {
        "name": board.name,
        "baseline": board.baseline,
        "entries": {own.slug: _entry(own) for own in facts.values()},
        "tracks": tracks,
        "signatures": list(signatures.known),
    }


def _entry(facts: EntrySummary) -> Json:
    return {
        "name": facts.name,
        "reported": facts.reported,
        "family": facts.family,
        "parameters": facts.parameters,
        "lora": facts.lora,
        "adapter": facts.adapter,
        "languages": facts.languages,
        "context": facts.context,
        "condition": facts.condition or "",
        "turns": facts.turns,
        "source": facts.source,
    }


def _track(ranked: RankedTrack, facts: Mapping[str, EntrySummary], signatures: StringTable, lower: set[str]) -> Json:
    return {
        "id": ranked.track.id,
        "title": ranked.track.title,
        "context": ranked.track.context,
        "condition": ranked.track.condition,
        "rank_by": ranked.track.rank_by,
        "columns": [{"metric": own.metric, "title": own.title, "lower": own.metric in lower} for own in ranked.columns],
        "notes": ranked.notes,
        "blocks": [
            {
                "title": block.title,
                "reported": block.reported,
                "rows": [
                    {
                        "entry": facts[row.entry].slug,
                        "partial": row.partial,
                        "cells": [_cell(cell, signatures) for cell in row.cells],
                    }
                    for row in block.rows
                ],
            }
            for block in ranked.blocks
        ],
    }


def _cell(cell: Cell | None, signatures: StringTable) -> list[Any] | None:
    """[value, low, high, number of its signature, rank, tie group, why it is apart]"""
    if cell is None:
        return None
    signature = signatures.number(cell.signature) if cell.signature else -1
    values = [None if own is None else round(own, 3) for own in (cell.value, cell.low, cell.high)]
    return [*values, signature, cell.rank, cell.tie_group, cell.not_ranked_because]


def metrics_payload(facts: Mapping[str, EntrySummary]) -> Json:
    """`data/metrics.js`: every metric of every entry, for the page that compares two."""
    signatures = StringTable()
    entries = {
        own.slug: {
            name: [
                *(None if x is None else round(x, 3) for x in (value.value, value.low, value.high)),
                signatures.number(value.signature),
                not value.higher_is_better,
            ]
            for name, value in own.values.items()
        }
        for own in facts.values()
    }
    return {"entries": entries, "signatures": list(signatures.known)}


def plots_payload(
    board: Board,
    placed: Sequence[BoardEntry],
    ranked: Sequence[RankedTrack],
    facts: Mapping[str, EntrySummary],
    reduced: Mapping[str, TurnSummary],
    strategies: StrategySet,
) -> Json:
    """`data/plots.js`: the figures of each track; null where there is nothing to draw."""
    entries = {own.entry.id: own.entry for own in placed}
    runs = [facts[name] for name, entry in entries.items() if isinstance(entry, RunEntry)]
    with_confusion = [
        {"slug": own.slug, "name": own.name, "context": own.context, "condition": own.condition}
        for own in runs
        if _confusion_of(entries[own.id])
    ]
    return {
        "tracks": [
            {
                "id": own.track.id,
                "title": own.track.title,
                "figures": _figures(own, entries, facts, reduced, strategies),
            }
            for own in ranked
        ],
        "confusion": with_confusion,
        # The board's and the task's own words, under the keys that stand in the figures.
        "words": {
            **{f"metric.{own.metric}": own.title for own in board.columns},
            **{f"stage.{own.code}": {"en": own.en, "zh": own.zh} for own in strategies.stages},
        },
    }


def _figures(
    ranked: RankedTrack,
    entries: Mapping[str, Any],
    facts: Mapping[str, EntrySummary],
    reduced: Mapping[str, TurnSummary],
    strategies: StrategySet,
) -> Json:
    found = points(ranked, facts)
    metric = f"@@metric.{ranked.track.rank_by}"
    rows = [row.entry for block in ranked.blocks for row in block.rows]
    judged = [(facts[name].name, reduced[name].stars) for name in rows if name in reduced and reduced[name].stars]
    staged = [
        Groups(facts[name].name, values)
        for name in rows
        if (values := _stages(entries[name], ranked.track.rank_by, strategies))
    ]
    return {
        "size": figures.against_size(found, metric),
        "cost": figures.against_cost(found, metric),
        "time": figures.against_time(found, metric),
        "stages": figures.stages(staged, metric),
        "sizes": figures.sizes(found, metric),
        "drift": figures.drift(drifts(ranked, facts.values()), metric),
        "stars": figures.stars(judged),
    }


def _stages(entry: Any, metric: str, strategies: StrategySet) -> tuple[tuple[str, Value], ...]:
    if not isinstance(entry, RunEntry):
        return ()
    rows = {row.name: row for row in entry.results.known_tables.by_stage}
    order = [stage.code for stage in strategies.stages]
    return tuple(
        (code, Value(found.value, found.low, found.high))
        for code in order
        if code in rows and (found := rows[code].metrics.get(metric))
    )


def _confusion_of(entry: Any) -> Confusion | None:
    return entry.results.known_tables.confusion if isinstance(entry, RunEntry) else None


def confusion_payload(entry: RunEntry, strategies: StrategySet) -> Json | None:
    """`data/c/SLUG.js`: a run's confusion matrix as a figure."""
    names = {own.code: figures.plotly_text(f"{own.code} {own.en} {own.zh}") for own in strategies.strategies}
    return figures.confusion(_confusion_of(entry), names)
