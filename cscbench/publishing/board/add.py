"""A run becomes an entry of a board: its results with provenance, and its turns next to them."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from cscbench.asking import files
from cscbench.publishing.board.boards import ENTRIES, OF_RUN, read_entry
from cscbench.publishing.board.records import ENTRY_SCHEMA, Board, BoardEntry, RunEntry
from cscbench.runs.finished import load
from cscbench.runs.reproduce import command_of
from cscbench.runs.results import Results
from cscbench.values import UserError


def add(board: Board, folder: Path, run_folder: Path, replace: bool = False) -> Path:
    """Write the entry of a run into the board in `folder`, and give its file. The same run again changes nothing.

    The entry and its turns are one set: an entry without its turns, or with those of another run, is never there.

    Raises:
        UserError: the run is unfinished, partial, of another task, in no track, or there already with other content.
    """
    entry = entry_of(board, run_folder)
    entries = folder / ENTRIES
    path = entries / f"{entry.id}.json"
    turns = {f"{entry.id}/{name}": _content(run_folder / name) for name in OF_RUN}
    if not replace:
        _keep(path, entry, turns)
    files.write_set(entries, {**turns, path.name: files.json_bytes(msgspec.to_builtins(entry))})
    return path


def entry_of(board: Board, run_folder: Path) -> RunEntry:
    """A finished run as an entry of a board.

    Raises:
        UserError: the run is unfinished, partial, of another task, or in no track.
    """
    run = load(run_folder)
    results = run.scored()
    _check(board, run_folder, results)
    return RunEntry(
        schema=ENTRY_SCHEMA,
        id=results.run.name,
        added=results.timing.finished,
        command=command_of(run.record, results),
        commit=run.record.environment.commit,
        results=results,
    )


def with_unpublished_runs(board: Board, placed: Sequence[BoardEntry], runs: Sequence[Path]) -> tuple[BoardEntry, ...]:
    """A board's entries and runs that are not added; one that is there already counts once.

    Raises:
        UserError: as `entry_of`.
    """
    there = {own.entry.id for own in placed}
    further = [BoardEntry(entry_of(board, run), run) for run in runs]
    return (*placed, *(own for own in further if own.entry.id not in there))


def _check(board: Board, run_folder: Path, found: Results) -> None:
    if found.task.name != board.task:
        raise UserError(f"{run_folder}: a run on {found.task.name}: board {board.name} is of {board.task}")
    if not found.run.complete:
        raise UserError(
            f"{run_folder}: {found.counts.failed} of {found.counts.turns} replies failed: a board takes whole runs. "
            "The same `cscbench run` asks for them again"
        )
    played = (found.protocol.context, found.protocol.condition)
    if played not in {(track.context, track.condition) for track in board.tracks}:
        known = ", ".join(f"{track.context} {track.condition}" for track in board.tracks)
        raise UserError(f"{run_folder}: board {board.name} has no track for {' '.join(played)}; it has {known}")


def _content(path: Path) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot read: {error.strerror}: `cscbench score {path.parent}` writes it anew"
        ) from None


def _keep(path: Path, entry: RunEntry, turns: dict[str, bytes]) -> None:
    """What is published is not changed by accident."""
    there = [name for name in turns if files.exists(path.parent / name)]
    same = not files.exists(path) or read_entry(path).entry == entry
    if not same or any(turns[name] != files.read(path.parent / name) for name in there):
        raise UserError(f"{path}: is there already with other content: --replace puts this run in its place")
