"""What is wrong with a board's entries, and what is merely shown apart."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cscbench.asking import store
from cscbench.publishing.board.boards import entry_files, finished_run, read_entry, run_entries
from cscbench.publishing.board.rank import rank
from cscbench.publishing.board.records import Board, BoardEntry, RankedTrack, ReportedEntry, RunEntry
from cscbench.scoring.bootstrap import Resampling
from cscbench.values import Frozen, UserError

# Values are written in full: what is computed again differs by the order of a sum at most.
_CLOSE = 1e-6


class Checked(Frozen, frozen=True):
    """`problems` keep a board from being published; `notes` say what its pages show apart."""

    entries: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def check(board: Board, folder: Path) -> Checked:
    """Read every entry of a board and compare it with its turns."""
    placed: list[BoardEntry] = []
    problems: list[str] = []
    for path in entry_files(folder):
        try:
            placed.append(read_entry(path))
        except UserError as error:
            problems.append(str(error))
    hashes = Counter(entry.results.run.hash for entry, _ in run_entries(placed))
    for own in placed:
        found = _reported(board, own.entry) if isinstance(own.entry, ReportedEntry) else _run(board, own, hashes)
        problems += [f"{own.entry.id}: {problem}" for problem in found]
    notes: list[str] = []
    if not problems:
        notes = _notes(rank(board, placed, Resampling()))
    return Checked(len(entry_files(folder)), tuple(problems), tuple(notes))


def _reported(board: Board, entry: ReportedEntry) -> list[str]:
    found = []
    if entry.task != board.task:
        found.append(f"`task` is {entry.task!r}, the board's {board.task!r}")
    names = [value.metric for value in entry.values]
    known = {column.metric for column in board.columns}
    found += [f"`values`: {name!r} is no column of the board" for name in names if name not in known]
    found += [f"`values`: {name!r} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if not entry.source:
        found.append("`source` is empty: who reported this?")
    if entry.context not in {track.context for track in board.tracks}:
        found.append(f"`context` {entry.context.value!r}: the board has no such track")
    return found


def _run(board: Board, own: BoardEntry, hashes: Counter[str]) -> list[str]:
    entry = own.entry
    if not isinstance(entry, RunEntry) or own.folder is None:
        return []
    found = entry.results
    problems = []
    if found.task.name != board.task:
        problems.append(f"a run on {found.task.name!r}, the board is of {board.task!r}")
    if not found.run.complete or found.counts.failed:
        problems.append(f"partial: {found.counts.failed} of {found.counts.turns} replies failed")
    if hashes[found.run.hash] > 1:
        problems.append(f"the same run ({found.run.hash}) is there under another id")
    played = (found.protocol.context, found.protocol.condition)
    if played not in {(track.context, track.condition) for track in board.tracks}:
        problems.append(f"no track for {' '.join(played)}")
    try:
        problems += _turns(entry, own.folder)
    except UserError as error:
        problems.append(str(error))
    return problems


def _turns(entry: RunEntry, folder: Path) -> list[str]:
    """Where the entry's numbers are not those of the turns beside it."""
    run = finished_run(entry, folder)
    if run.record.hash != entry.results.run.hash:
        return [f"{folder / store.RUN} is of another run ({run.record.hash})"]
    problems = []
    if len(run.pairs) != entry.results.counts.turns:
        problems.append(
            f"{len(run.pairs)} turns in {folder / store.PREDICTIONS}, {entry.results.counts.turns} in the entry"
        )
    values = {metric.name: metric.value for metric in entry.results.metrics}
    for scorer in run.scorers:
        for sums in () if run.scores_nothing(scorer) else run.metric_sums(scorer):
            name, again = sums.spec.name, sums.value()
            if name in values and not abs(values[name] - again) < _CLOSE:
                problems.append(f"{name} is {values[name]:.4f}, its turns give {again:.4f}")
    return problems


def _notes(ranked: Sequence[RankedTrack]) -> list[str]:
    found = []
    for one in ranked:
        runs = [block for block in one.blocks if not block.reported]
        if len(runs) > 1:
            found.append(f"track {one.track.id}: {len(runs)} sets of dialogues, each ranked by itself")
        for block in runs:
            cells = [
                (row.entry, cell)
                for row in block.rows
                for cell in row.cells
                if cell is not None and cell.not_ranked_because
            ]
            found += [
                f"track {one.track.id}: {entry}: {cell.metric} apart: {cell.not_ranked_because}"
                for entry, cell in cells
            ]
        found += [f"track {one.track.id}: {note}" for note in one.notes]
    return found
