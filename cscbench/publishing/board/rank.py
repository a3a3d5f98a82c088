"""Rank a board's entries, with ties: only values measured the same way on the same dialogues are ranked together."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from cscbench.comparing.pairing import pair_runs
from cscbench.publishing.board.boards import finished_run, run_entries
from cscbench.publishing.board.records import (
    Bilingual,
    Block,
    Board,
    BoardEntry,
    Cell,
    RankedRow,
    RankedTrack,
    ReportedEntry,
    RunEntry,
    Track,
)
from cscbench.runs.finished import FinishedRun
from cscbench.scoring.bootstrap import Resampling
from cscbench.scoring.metric_sums import MetricSums, can_differ, tie_groups
from cscbench.values import Metric, UserError

REPORTED = Bilingual(en="Reported by the paper, not run here", zh="论文报告，未在此运行")


# Metric sums by metric and entry of a block.
Sums = Mapping[str, Mapping[str, MetricSums]]


def rank(board: Board, entries: Sequence[BoardEntry], resampling: Resampling) -> tuple[RankedTrack, ...]:
    """Rank the tracks of a board.

    Raises:
        UserError: an entry's turns are missing or damaged.
    """
    return tuple(_track(board, track, entries, resampling) for track in board.tracks)


def _track(board: Board, track: Track, entries: Sequence[BoardEntry], resampling: Resampling) -> RankedTrack:
    groups: defaultdict[str, list[tuple[RunEntry, Path]]] = defaultdict(list)
    for entry, folder in run_entries(entries):
        protocol = entry.results.protocol
        if (protocol.context, protocol.condition) == (track.context, track.condition):
            groups[_dialogues_of(finished_run(entry, folder))].append((entry, folder))
    blocks, notes = [], []
    for members in sorted(groups.values(), key=lambda members: (-len(members), members[0][0].id)):
        sums, missing = _sums(members)
        notes += missing
        runs = [entry for entry, _ in members]
        blocks.append(Block(_title(runs[0]), False, _sorted(board, track, _rows(board, runs, sums, resampling.seed))))
    reported = _reported(board, track, entries)
    if reported:
        blocks.append(Block(REPORTED, True, _sorted(board, track, reported)))
    return RankedTrack(track, board.columns, tuple(blocks), tuple(dict.fromkeys(notes)))


def _dialogues_of(run: FinishedRun) -> str:
    """Return the hash of every turn's position and reference; comparable entries have the same hash."""
    turns = sorted((*turn, pair.reference, pair.reference_strategy) for turn, pair in run.pairs.items())
    return sha256(msgspec.json.encode(turns)).hexdigest()


def _title(entry: RunEntry) -> Bilingual:
    counts, languages = entry.results.counts, "+".join(entry.results.task.languages)
    return Bilingual(
        en=f"{counts.dialogues:,} dialogues, {counts.turns:,} turns ({languages})",
        zh=f"{counts.dialogues:,} 段对话，{counts.turns:,} 轮（{languages}）",
    )


def _sums(members: Sequence[tuple[RunEntry, Path]]) -> tuple[Sums | None, list[str]]:
    """Return the sums of complete runs, and why the ties of any scorer are unknown.

    The sums are None if there are too many runs for the number of dialogues to show any difference.
    """
    runs = {entry.id: finished_run(entry, folder).read_all() for entry, folder in members if entry.results.run.complete}
    sums: defaultdict[str, dict[str, MetricSums]] = defaultdict(dict)
    first = members[0][0].results
    clusters = first.data.clusters or first.counts.dialogues
    if len(runs) < 2 or clusters < 2:
        return sums, []
    if not can_differ(len(runs), clusters):
        return None, [f"{len(runs)} runs on {clusters} dialogues: too few to show any difference"]
    notes = []
    pairing = pair_runs(tuple(runs.values()))
    for (entry_id, run), turns in zip(runs.items(), pairing.turns, strict=True):
        for scorer in run.scorers:
            if run.scores_nothing(scorer):
                continue
            try:
                metrics = run.metric_sums(scorer, turns, pairing.clusters)
            except UserError as error:
                notes.append(f"ties of {scorer} are unknown: {error}")
                continue
            for metric in metrics:
                sums[metric.spec.name][entry_id] = msgspec.structs.replace(metric, run=entry_id)
    return sums, notes


def _rows(board: Board, entries: Sequence[RunEntry], sums: Sums | None, seed: int) -> list[RankedRow]:
    columns = [_column(column.metric, entries, sums, seed) for column in board.columns]
    return [
        RankedRow(entry.id, tuple(cells[entry.id] for cells in columns), not entry.results.run.complete)
        for entry in entries
    ]


def _column(name: str, entries: Sequence[RunEntry], sums: Sums | None, seed: int) -> dict[str, Cell | None]:
    """Return one metric of a block; only cells with the most common signature are ranked."""
    values = {
        entry.id: next((metric for metric in entry.results.metrics if metric.name == name), None) for entry in entries
    }
    known = {entry: value for entry, value in values.items() if value is not None}
    signatures = Counter(value.signature for value in known.values())
    if not signatures:
        return dict.fromkeys(values)
    usual = min(signatures, key=lambda signature: (-signatures[signature], signature))
    partial = {entry.id for entry in entries if not entry.results.run.complete}
    ranked = {e: v for e, v in known.items() if v.signature == usual and e not in partial}
    order = sorted(ranked, key=lambda e: ((-1 if ranked[e].higher_is_better else 1) * ranked[e].value, e))
    groups = _tie_groups(order, None if sums is None else sums.get(name, {}), seed)
    cells: dict[str, Cell | None] = dict.fromkeys(values)
    for entry, value in known.items():
        reason = "partial: replies failed" if entry in partial else _difference(value.signature, usual)
        cells[entry] = Cell(
            metric=name,
            value=value.value,
            low=value.low,
            high=value.high,
            signature=value.signature,
            rank=_rank(entry, order, ranked) if entry in ranked else None,
            tie_group=groups.get(entry),
            not_ranked_because="" if entry in ranked else reason,
        )
    return cells


def _rank(entry: str, order: Sequence[str], ranked: Mapping[str, Metric]) -> int:
    """Return the rank, counted from 1; equal values share a rank."""
    return 1 + next(at for at, rival in enumerate(order) if ranked[rival].value == ranked[entry].value)


def _difference(signature: str, usual: str) -> str:
    """Return the parts of a signature that the usual one does not have, in words."""
    differing = [part for part in signature.split("|") if part not in usual.split("|")]
    return "measured differently" + (f": {', '.join(differing)}" if differing else "")


def _tie_groups(order: Sequence[str], sums: Mapping[str, MetricSums] | None, seed: int) -> Mapping[str, int]:
    """Return tie groups as `compare` forms them: all tied if `sums` is None, none if an entry's sums are missing."""
    if sums is None:
        return dict.fromkeys(order, 1)
    return tie_groups([sums[entry] for entry in order], seed) if len(order) > 1 and set(order) <= set(sums) else {}


def _reported(board: Board, track: Track, entries: Sequence[BoardEntry]) -> list[RankedRow]:
    """Return the reported rows; they belong to the first track of their context, as their condition is unknown."""
    if track != next(candidate for candidate in board.tracks if candidate.context is track.context):
        return []
    rows = []
    for entry in (listed.entry for listed in entries):
        if isinstance(entry, ReportedEntry) and entry.context is track.context:
            values = {value.metric: value.value for value in entry.values}
            cells = [Cell(c.metric, values[c.metric]) if c.metric in values else None for c in board.columns]
            rows.append(RankedRow(entry.id, tuple(cells)))
    return rows


def _sorted(board: Board, track: Track, rows: Sequence[RankedRow]) -> tuple[RankedRow, ...]:
    """Sort rows by the track's metric, ranked ones first, then by name."""
    at = [column.metric for column in board.columns].index(track.rank_by)

    def sort_key(row: RankedRow) -> tuple[bool, float, float, str]:
        cell = row.cells[at]
        if cell is None:
            return True, 0, 0, row.entry
        return False, cell.rank if cell.rank is not None else 1e9, -cell.value, row.entry

    return tuple(sorted(rows, key=sort_key))
