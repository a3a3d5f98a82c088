"""A run becomes an entry of a board: its results with provenance, and its turns beside them."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from cscbench.asking import store
from cscbench.publishing.board.boards import ENTRIES, OF_RUN, read_entry
from cscbench.publishing.board.records import ENTRY_SCHEMA, Board, Placed, RunEntry
from cscbench.runs import results
from cscbench.runs.reproduce import command_of
from cscbench.runs.results import Results
from cscbench.values.errors import UserError


def add(board: Board, folder: Path, run_folder: Path, replace: bool = False) -> Path:
    """Write the entry of a run into the board in `folder`, and give its file. The same run again changes nothing.

    Raises:
        UserError: the run is unfinished, partial, of another task, in no track, or there already with other content.
    """
    entry = entry_of(board, run_folder)
    path = folder / ENTRIES / f"{entry.id}.json"
    files = {path.with_suffix("") / name: _content(run_folder / name) for name in OF_RUN}
    if not replace:
        _keep(path, entry, files)
    try:
        path.with_suffix("").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store.trouble(path, error) from None
    for where, content in files.items():
        store.write_atomic(where, content)
    store.write_json(path, msgspec.to_builtins(entry))  # last: an entry without its turns is never there
    return path


def entry_of(board: Board, run_folder: Path) -> RunEntry:
    """A finished run as an entry of a board.

    Raises:
        UserError: the run is unfinished, partial, of another task, or in no track.
    """
    found, run = results.read(run_folder), store.read_run(run_folder)
    _check(board, run_folder, found)
    return RunEntry(
        schema=ENTRY_SCHEMA,
        id=found.run.name,
        added=found.timing.finished,
        command=command_of(run, found),
        commit=run.environment.commit,
        results=found,
    )


def beside(board: Board, placed: Sequence[Placed], runs: Sequence[Path]) -> tuple[Placed, ...]:
    """A board's entries and runs that are not added; one that is there already counts once.

    Raises:
        UserError: as `entry_of`.
    """
    there = {own.entry.id for own in placed}
    further = [Placed(entry_of(board, run), run) for run in runs]
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
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot read: {error.strerror}: `cscbench score {path.parent}` writes it anew"
        ) from None


def _keep(path: Path, entry: RunEntry, files: dict[Path, bytes]) -> None:
    """What is published is not changed by accident."""
    there = {where: where.read_bytes() for where in files if where.exists()}
    same = not path.exists() or read_entry(path).entry == entry
    if not same or any(files[where] != content for where, content in there.items()):
        raise UserError(f"{path}: is there already with other content: --replace puts this run in its place")
