"""Check a board's entries: problems that prevent publishing, and notes on what its pages do not rank."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cscbench.asking import store
from cscbench.publishing.board.boards import entry_files, finished_run, read_entry, run_entries, run_problems
from cscbench.publishing.board.rank import rank
from cscbench.publishing.board.records import Board, BoardEntry, RankedTrack, ReportedEntry, RunEntry
from cscbench.scoring.bootstrap import Resampling
from cscbench.values import Frozen, UserError

# Values are stored in full precision; a recomputed value differs only by the order of summation.
_CLOSE = 1e-6


class Checked(Frozen, frozen=True):
    """The result of a check: `problems` must be fixed before publishing; `notes` say what the pages do not rank."""

    entries: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def check(board: Board, folder: Path) -> Checked:
    """Check every entry of a board against its turns."""
    entries: list[BoardEntry] = []
    problems: list[str] = []
    for path in entry_files(folder):
        try:
            entries.append(read_entry(path))
        except UserError as error:
            problems.append(str(error))
    hashes = Counter(entry.results.run.hash for entry, _ in run_entries(entries))
    for listed in entries:
        entry = listed.entry
        entry_problems = (
            _reported_problems(board, entry)
            if isinstance(entry, ReportedEntry)
            else _run_problems(board, listed, hashes)
        )
        problems += [f"{entry.id}: {problem}" for problem in entry_problems]
    notes: list[str] = []
    if not problems:
        notes = _notes(rank(board, entries, Resampling()))
    return Checked(len(entry_files(folder)), tuple(problems), tuple(notes))


def _reported_problems(board: Board, entry: ReportedEntry) -> list[str]:
    problems = []
    if entry.task != board.task:
        problems.append(f"`task` is {entry.task!r}; the board's task is {board.task!r}")
    names = [value.metric for value in entry.values]
    known = {column.metric for column in board.columns}
    problems += [f"`values`: {name!r} is not a column of the board" for name in names if name not in known]
    problems += [f"`values` lists {name!r} twice" for name in sorted({n for n in names if names.count(n) > 1})]
    if not entry.source:
        problems.append("`source` is empty: name the publication that reports these values")
    if entry.context not in {track.context for track in board.tracks}:
        problems.append(f"`context`: the board has no track with context {entry.context.value!r}")
    return problems


def _run_problems(board: Board, listed: BoardEntry, hashes: Counter[str]) -> list[str]:
    entry = listed.entry
    if not isinstance(entry, RunEntry) or listed.folder is None:
        return []
    problems = run_problems(board, entry.results)
    run_hash = entry.results.run.hash
    if hashes[run_hash] > 1:
        problems.append(f"another entry holds the same run ({run_hash})")
    try:
        problems += _turn_problems(entry, listed.folder)
    except UserError as error:
        problems.append(str(error))
    return problems


def _turn_problems(entry: RunEntry, folder: Path) -> list[str]:
    """Return where the entry's values differ from those of the turns in its folder."""
    run = finished_run(entry, folder)
    if run.record.hash != entry.results.run.hash:
        return [f"{folder / store.RUN} belongs to another run ({run.record.hash})"]
    problems = []
    if len(run.pairs) != entry.results.counts.turns:
        problems.append(
            f"{len(run.pairs)} turns in {folder / store.PREDICTIONS}, {entry.results.counts.turns} in the entry"
        )
    values = {metric.name: metric.value for metric in entry.results.metrics}
    for scorer in run.scorers:
        for sums in () if run.scores_nothing(scorer) else run.metric_sums(scorer):
            name, recomputed = sums.spec.name, sums.value()
            if name in values and not abs(values[name] - recomputed) < _CLOSE:
                problems.append(f"{name} is {values[name]:.4f}, but {recomputed:.4f} computed from its turns")
    return problems


def _notes(ranked: Sequence[RankedTrack]) -> list[str]:
    notes = []
    for of_track in ranked:
        name = f"track {of_track.track.id}"
        runs = [block for block in of_track.blocks if not block.reported]
        if len(runs) > 1:
            notes.append(f"{name}: {len(runs)} sets of dialogues, each ranked separately")
        for row in (row for block in runs for row in block.rows):
            cells = [cell for cell in row.cells if cell is not None and cell.not_ranked_because]
            notes += [f"{name}: {row.entry}: {cell.metric} not ranked: {cell.not_ranked_because}" for cell in cells]
        notes += [f"{name}: {note}" for note in of_track.notes]
    return notes
