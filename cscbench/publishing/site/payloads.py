"""Build the data for the scripts of the pages: tables, metrics by entry, plots."""

from collections.abc import Mapping, Sequence
from typing import Any

from cscbench.publishing.board.records import Board, BoardEntry, Cell, RankedTrack, RunEntry
from cscbench.publishing.site import figures
from cscbench.publishing.site.entry_summary import EntrySummary, Value
from cscbench.publishing.site.figures import StageValues
from cscbench.publishing.site.points import context_gaps, points
from cscbench.runs.turns import TurnSummary
from cscbench.values import Confusion, StrategySet

Json = dict[str, Any]


class StringTable:
    """Numbers for long texts that many cells share."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def index(self, text: str) -> int:
        return self.known.setdefault(text, len(self.known))


def board_payload(board: Board, ranked: Sequence[RankedTrack], summaries: Mapping[str, EntrySummary]) -> Json:
    """Return `data/board.js`: the tables of all tracks, and what filters need to know about an entry."""
    signatures = StringTable()
    lower = {name for entry in summaries.values() for name, value in entry.values.items() if not value.higher_is_better}
    tracks = [_track(track, summaries, signatures, lower) for track in ranked]
    return {
        "name": board.name,
        "baseline": board.baseline,
        "entries": {entry.slug: _entry(entry) for entry in summaries.values()},
        "tracks": tracks,
        "signatures": list(signatures.known),
    }


def _entry(summary: EntrySummary) -> Json:
    return {
        "name": summary.name,
        "reported": summary.reported,
        "family": summary.family,
        "parameters": summary.parameters,
        "lora": summary.lora,
        "adapter": summary.adapter,
        "languages": summary.languages,
        "context": summary.context,
        "condition": summary.condition or "",
        "turns": summary.turns,
        "source": summary.source,
    }


def _track(
    ranked: RankedTrack, summaries: Mapping[str, EntrySummary], signatures: StringTable, lower: set[str]
) -> Json:
    return {
        "id": ranked.track.id,
        "title": ranked.track.title,
        "context": ranked.track.context,
        "condition": ranked.track.condition,
        "rank_by": ranked.track.rank_by,
        "columns": [
            {"metric": column.metric, "title": column.title, "lower": column.metric in lower}
            for column in ranked.columns
        ],
        "notes": ranked.notes,
        "blocks": [
            {
                "title": block.title,
                "reported": block.reported,
                "rows": [
                    {
                        "entry": summaries[row.entry].slug,
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
    """Return [value, low, high, signature number, rank, tie group, why it is not ranked]."""
    if cell is None:
        return None
    signature = signatures.index(cell.signature) if cell.signature else -1
    values = [None if bound is None else round(bound, 3) for bound in (cell.value, cell.low, cell.high)]
    return [*values, signature, cell.rank, cell.tie_group, cell.not_ranked_because]


def metrics_payload(summaries: Mapping[str, EntrySummary]) -> Json:
    """Return `data/metrics.js`: every metric of every entry, for the page that compares two models."""
    signatures = StringTable()
    entries = {
        entry.slug: {
            name: [
                *(None if bound is None else round(bound, 3) for bound in (value.value, value.low, value.high)),
                signatures.index(value.signature),
                not value.higher_is_better,
            ]
            for name, value in entry.values.items()
        }
        for entry in summaries.values()
    }
    return {"entries": entries, "signatures": list(signatures.known)}


def plots_payload(
    board: Board,
    entries: Sequence[BoardEntry],
    ranked: Sequence[RankedTrack],
    summaries: Mapping[str, EntrySummary],
    turns: Mapping[str, TurnSummary],
    strategies: StrategySet,
) -> Json:
    """Return `data/plots.js`: the figures of each track; null if there is nothing to draw."""
    by_id = {listed.entry.id: listed.entry for listed in entries}
    with_confusion = [
        {"slug": run.slug, "name": run.name, "context": run.context, "condition": run.condition}
        for name, entry in by_id.items()
        if _confusion_of(entry)
        for run in (summaries[name],)
    ]
    return {
        "tracks": [
            {
                "id": track.track.id,
                "title": track.track.title,
                "figures": _figures(track, by_id, summaries, turns, strategies),
            }
            for track in ranked
        ],
        "confusion": with_confusion,
        # Texts of the board and the task, by the keys that figures use.
        "words": {
            **{f"metric.{column.metric}": column.title for column in board.columns},
            **{f"stage.{stage.code}": {"en": stage.en, "zh": stage.zh} for stage in strategies.stages},
        },
    }


def _figures(
    ranked: RankedTrack,
    entries: Mapping[str, Any],
    summaries: Mapping[str, EntrySummary],
    turns: Mapping[str, TurnSummary],
    strategies: StrategySet,
) -> Json:
    drawn = points(ranked, summaries)
    metric = f"@@metric.{ranked.track.rank_by}"
    rows = [row.entry for block in ranked.blocks for row in block.rows]
    judged = [(summaries[name].name, turns[name].stars) for name in rows if name in turns and turns[name].stars]
    staged = [
        StageValues(summaries[name].name, values)
        for name in rows
        if (values := _stages(entries[name], ranked.track.rank_by, strategies))
    ]
    return {
        "size": figures.against_size(drawn, metric),
        "cost": figures.against_cost(drawn, metric),
        "time": figures.against_time(drawn, metric),
        "stages": figures.stages(staged, metric),
        "sizes": figures.sizes(drawn, metric),
        "drift": figures.drift(context_gaps(ranked, summaries.values()), metric),
        "stars": figures.stars(judged),
    }


def _stages(entry: Any, metric: str, strategies: StrategySet) -> tuple[tuple[str, Value], ...]:
    if not isinstance(entry, RunEntry):
        return ()
    rows = {row.name: row for row in entry.results.known_tables.by_stage}
    order = [stage.code for stage in strategies.stages]
    return tuple(
        (code, Value(estimate.value, estimate.low, estimate.high))
        for code in order
        if code in rows and (estimate := rows[code].metrics.get(metric))
    )


def _confusion_of(entry: Any) -> Confusion | None:
    return entry.results.known_tables.confusion if isinstance(entry, RunEntry) else None


def confusion_payload(entry: RunEntry, strategies: StrategySet) -> Json | None:
    """Return `data/c/SLUG.js`: a run's confusion matrix as a figure."""
    names = {label.code: figures.plotly_text(f"{label.code} {label.en} {label.zh}") for label in strategies.strategies}
    return figures.confusion(_confusion_of(entry), names)
