"""Entries to ranked tables: only what was measured alike on the same dialogues is ranked together, and ties are said.

Two entries tie where their paired difference over dialogues is within its noise. All entries share the same resamples,
so the error of any difference is the spread of the difference of two columns of draws.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cscbench.asking import store
from cscbench.comparing.agree.scores import side_sums
from cscbench.comparing.agree.sides import Side
from cscbench.publishing.board.boards import run_entries
from cscbench.publishing.board.records import (
    Block,
    Board,
    Cell,
    Placed,
    RankedRow,
    RankedTrack,
    ReportedEntry,
    RunEntry,
    Track,
    Words,
)
from cscbench.runs import results
from cscbench.scoring.bootstrap import Resampling, resample_weights
from cscbench.scoring.paired import SIGNIFICANCE, standard_error
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen
from cscbench.values.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REPORTED = Words(en="Reported by the paper, not run here", zh="论文报告，未在此运行")


class Drawn(Frozen, frozen=True):
    """One metric of one entry: its value in each resample of the dialogues, which are the same for all of a block."""

    draws: "NDArray[np.float64]"
    dialogues: int


Draws = Mapping[str, Mapping[str, Drawn]]


def rank(board: Board, placed: Sequence[Placed], how: Resampling) -> tuple[RankedTrack, ...]:
    """The board's tracks, ranked.

    Raises:
        UserError: an entry's turns are missing or damaged.
    """
    return tuple(_track(board, track, placed, how) for track in board.tracks)


def _track(board: Board, track: Track, placed: Sequence[Placed], how: Resampling) -> RankedTrack:
    groups: defaultdict[str, list[tuple[RunEntry, Path]]] = defaultdict(list)
    for entry, folder in run_entries(placed):
        protocol = entry.results.protocol
        if (protocol.context, protocol.condition) == (track.context, track.condition):
            groups[_dialogues_of(folder)].append((entry, folder))
    blocks, notes = [], []
    for own in sorted(groups.values(), key=lambda own: (-len(own), own[0][0].id)):
        draws, missing = _draws(own, how)
        notes += missing
        rows = _sorted(board, track, _rows(board, [entry for entry, _ in own], draws))
        blocks.append(Block(_title(own[0][0]), False, rows))
    reported = _reported(board, track, placed)
    if reported:
        blocks.append(Block(REPORTED, True, _sorted(board, track, reported)))
    return RankedTrack(track, board.columns, tuple(blocks), tuple(dict.fromkeys(notes)))


def _dialogues_of(folder: Path) -> str:
    """What two entries must share to be compared: every turn's place and reference."""
    pairs = results.read_pairs(folder)
    turns = sorted((pair.dialogue, pair.turn, pair.reference, pair.reference_strategy) for pair in pairs)
    return sha256(msgspec.json.encode(turns)).hexdigest()


def _title(entry: RunEntry) -> Words:
    counts, languages = entry.results.counts, "+".join(entry.results.task.languages)
    return Words(
        en=f"{counts.dialogues:,} dialogues, {counts.turns:,} turns ({languages})",
        zh=f"{counts.dialogues:,} 段对话，{counts.turns:,} 轮（{languages}）",
    )


def side_of(entry: RunEntry, folder: Path) -> Side:
    """An entry as the side of a comparison.

    Raises:
        UserError: its run.json or scores are missing or damaged.
    """
    return Side(store.read_run(folder), {}, None, entry.results, results.read_scores(folder))


def _draws(own: Sequence[tuple[RunEntry, Path]], how: Resampling) -> tuple[Draws, list[str]]:
    """By entry and metric; and for each scorer whose sums cannot be had, why its ties are not known."""
    found: dict[str, dict[str, Drawn]] = {}
    notes = []
    weights: NDArray[np.float64] | None = None
    for entry, folder in own:
        side = side_of(entry, folder)
        turns = tuple(sorted(side.scores.turns)) if side.scores else ()
        mine = found.setdefault(entry.id, {})
        for name in entry.results.scoring.scorers:
            try:
                scorer, sums = side_sums(name, side, turns, "")
            except UserError as error:
                notes.append(f"ties of {name} are not known: {error}")
                continue
            if weights is None or weights.shape[1] != len(sums):
                weights = resample_weights(len(sums), how)
            values = scorer.summarise(weights @ sums)
            mine.update({spec.name: Drawn(values[:, at], len(sums)) for at, spec in enumerate(scorer.metrics)})
    return found, notes


def _rows(board: Board, entries: Sequence[RunEntry], draws: Draws) -> list[RankedRow]:
    columns = [_column(column.metric, entries, draws) for column in board.columns]
    return [
        RankedRow(entry.id, tuple(cells[entry.id] for cells in columns), not entry.results.run.complete)
        for entry in entries
    ]


def _column(name: str, entries: Sequence[RunEntry], draws: Draws) -> dict[str, Cell | None]:
    """One metric of a block: ranked among the cells of the most common signature, the others apart."""
    values = {entry.id: next((own for own in entry.results.metrics if own.name == name), None) for entry in entries}
    known = {entry: value for entry, value in values.items() if value is not None}
    signatures = Counter(value.signature for value in known.values())
    if not signatures:
        return dict.fromkeys(values)
    usual = min(signatures, key=lambda signature: (-signatures[signature], signature))
    partial = {entry.id for entry in entries if not entry.results.run.complete}
    ranked = {e: v for e, v in known.items() if v.signature == usual and e not in partial}
    order = sorted(ranked, key=lambda e: ((-1 if ranked[e].higher_is_better else 1) * ranked[e].value, e))
    groups = _groups(name, order, ranked, draws)
    cells: dict[str, Cell | None] = dict.fromkeys(values)
    for entry, value in known.items():
        apart = "partial: replies failed" if entry in partial else _difference(value.signature, usual)
        cells[entry] = Cell(
            metric=name,
            value=value.value,
            low=value.low,
            high=value.high,
            signature=value.signature,
            rank=_rank(entry, order, ranked) if entry in ranked else None,
            tie_group=groups.get(entry),
            apart="" if entry in ranked else apart,
        )
    return cells


def _rank(entry: str, order: Sequence[str], ranked: Mapping[str, Metric]) -> int:
    """From 1; equal values share a rank."""
    return 1 + next(at for at, other in enumerate(order) if ranked[other].value == ranked[entry].value)


def _difference(signature: str, usual: str) -> str:
    """The parts of a signature that the usual one does not have."""
    own = [part for part in signature.split("|") if part not in usual.split("|")]
    return "measured otherwise: " + ", ".join(own) if own else "measured otherwise"


def _groups(name: str, order: Sequence[str], ranked: Mapping[str, Metric], draws: Draws) -> dict[str, int]:
    """Tie groups from the best down: a group ends at the first entry that differs from the group's best.

    Each entry is tested once, by a t test on the paired bootstrap's error; Bonferroni over the entries of the column.
    """
    from scipy import stats

    if any(name not in draws.get(entry, {}) for entry in order) or len(order) < 2:
        return {}
    found, first, group = {order[0]: 1}, order[0], 1
    for entry in order[1:]:
        best, mine = draws[first][name], draws[entry][name]
        error = standard_error(best.draws - mine.draws, best.dialogues) if best.dialogues > 1 else None
        if error is None or isnan(error):
            return {}
        difference = abs(ranked[first].value - ranked[entry].value)
        p = 2 * float(stats.t.sf(difference / error, best.dialogues - 1)) if error else float(difference == 0)
        if p < SIGNIFICANCE / (len(order) - 1):
            first, group = entry, group + 1
        found[entry] = group
    return found


def _reported(board: Board, track: Track, placed: Sequence[Placed]) -> list[RankedRow]:
    """Rows that were not run here, in the track of their context that comes first: their condition is not known."""
    if track != next(own for own in board.tracks if own.context is track.context):
        return []
    rows = []
    for own in placed:
        entry = own.entry
        if isinstance(entry, ReportedEntry) and entry.context is track.context:
            values = {value.metric: value.value for value in entry.values}
            cells = [Cell(c.metric, values[c.metric]) if c.metric in values else None for c in board.columns]
            rows.append(RankedRow(entry.id, tuple(cells)))
    return rows


def _sorted(board: Board, track: Track, rows: Sequence[RankedRow]) -> tuple[RankedRow, ...]:
    """By the track's metric, the ranked ones first; then by name."""
    at = [column.metric for column in board.columns].index(track.rank_by)

    def place(row: RankedRow) -> tuple[bool, float, float, str]:
        cell = row.cells[at]
        if cell is None:
            return True, 0, 0, row.entry
        return False, cell.rank if cell.rank is not None else 1e9, -cell.value, row.entry

    return tuple(sorted(rows, key=place))
