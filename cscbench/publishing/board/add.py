"""Add runs to a board: an entry holds the results with provenance, and its folder the turns."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from cscbench.asking import files
from cscbench.publishing.board.boards import ENTRIES, OF_RUN, read_entry, run_problems
from cscbench.publishing.board.records import ENTRY_SCHEMA, Board, BoardEntry, RunEntry
from cscbench.runs.finished import load
from cscbench.runs.reproduce import command_of
from cscbench.values import UserError


def add(board: Board, folder: Path, run_folder: Path, replace: bool = False) -> Path:
    """Add a run to the board in `folder` and return the entry's file. Adding the same run again changes nothing.

    The entry and its turns are written together: an entry without its turns, or with another run's, never exists.

    Raises:
        UserError: the run is unfinished, partial, has another task or no track, or exists with different content.
    """
    entry = entry_of(board, run_folder)
    entries = folder / ENTRIES
    path = entries / f"{entry.id}.json"
    turns = {f"{entry.id}/{name}": _content(run_folder / name) for name in OF_RUN}
    if not replace:
        _check_unchanged(path, entry, turns)
    files.write_set(entries, {**turns, path.name: files.json_bytes(msgspec.to_builtins(entry))})
    return path


def entry_of(board: Board, run_folder: Path) -> RunEntry:
    """Return a finished run as an entry of a board.

    Raises:
        UserError: the run is unfinished, partial, or has another task or no track.
    """
    run = load(run_folder)
    results = run.scored()
    if problems := run_problems(board, results):
        raise UserError(f"{run_folder}: {problems[0]}")
    return RunEntry(
        schema=ENTRY_SCHEMA,
        id=results.run.name,
        added=results.timing.finished,
        command=command_of(run.record, results),
        commit=run.record.environment.commit,
        results=results,
    )


def with_unpublished_runs(board: Board, entries: Sequence[BoardEntry], runs: Sequence[Path]) -> tuple[BoardEntry, ...]:
    """Return a board's entries plus further runs that have not been added; each run appears once.

    Raises:
        UserError: see `entry_of`.
    """
    published = {listed.entry.id for listed in entries}
    further = [BoardEntry(entry_of(board, run), run) for run in runs]
    return (*entries, *(listed for listed in further if listed.entry.id not in published))


def _content(path: Path) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot read: {error.strerror}. Run `cscbench score {path.parent}` to write it again"
        ) from None


def _check_unchanged(path: Path, entry: RunEntry, turns: dict[str, bytes]) -> None:
    """Raise an error if adding would change what is already published."""
    published = [name for name in turns if files.exists(path.parent / name)]
    same = not files.exists(path) or read_entry(path).entry == entry
    if not same or any(turns[name] != files.read(path.parent / name) for name in published):
        raise UserError(f"{path} already exists with different content. Use --replace to overwrite it")
