"""Boards and their entries as files: leaderboards/NAME/board.yaml, entries/*.json, and a folder of turns for each."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from cscbench.asking import store
from cscbench.content import yaml_file as yamlfile
from cscbench.content.shipped import folders
from cscbench.publishing.board.records import ENTRY_SCHEMA, Board, BoardEntry, ReportedEntry, RunEntry
from cscbench.runs.finished import FinishedRun
from cscbench.values import UserError

ENTRIES = "entries"
# What lies in an entry's folder, byte for byte as in the run's.
OF_RUN = (store.RUN, store.PREDICTIONS, store.SCORES)


def board_folders() -> dict[str, Path]:
    """Every board's folder by name; the working directory's hide shipped ones of the same name."""
    found: dict[str, Path] = {}
    for folder in folders("leaderboards"):
        for path in sorted(folder.iterdir()):
            if (path / "board.yaml").is_file():
                found.setdefault(path.name, path)
    return found


def find_board(name: str) -> tuple[Board, Path]:
    """The board of this name and its folder.

    Raises:
        UserError: there is none (with the nearest names), or its file is wrong.
    """
    found = board_folders()
    if name not in found:
        hint = f"a board is a folder leaderboards/{name}/ with a board.yaml"
        raise UserError(f"no board {name!r}{yamlfile.did_you_mean(name, list(found))}\n{hint}")
    return read_board(found[name]), found[name]


def read_board(folder: Path) -> Board:
    """board.yaml of a folder.

    Raises:
        UserError: it is missing or wrong: with file, line and field.
    """
    path = folder / "board.yaml"
    data, lines = yamlfile.parse(path, yamlfile.read_text(path, "board"))
    if not isinstance(data, dict):
        raise UserError(f"{path}:1: a board is a mapping with title, about, task, tracks and columns")
    if "name" in data:
        raise UserError(f"{path}:{lines[('name',)]}: `name` is the folder's: leave it out")
    board = yamlfile.to_struct(path, {"name": folder.name, **data}, lines, Board)
    _check(path, board)
    return board


def _check(path: Path, board: Board) -> None:
    metrics = [column.metric for column in board.columns]
    ids = [track.id for track in board.tracks]
    played = [f"{track.context}, {track.condition}" for track in board.tracks]
    for what, names in (("columns", metrics), ("tracks", ids), ("tracks` by context and condition", played)):
        if not names:
            raise UserError(f"{path}: `{what}` is empty")
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"{path}: `{what}`: {twice[0]} is there twice")
    for track in board.tracks:
        if track.rank_by not in metrics:
            near = yamlfile.did_you_mean(track.rank_by, metrics)
            raise UserError(f"{path}: track {track.id}: `rank_by` {track.rank_by!r} is none of the columns{near}")


def entry_files(folder: Path) -> tuple[Path, ...]:
    """The files of a board's entries, by name."""
    return tuple(sorted((folder / ENTRIES).glob("*.json")))


def read_entries(folder: Path) -> tuple[BoardEntry, ...]:
    """All entries of a board, by id.

    Raises:
        UserError: one is damaged or of another version.
    """
    return tuple(read_entry(path) for path in entry_files(folder))


def read_entry(path: Path) -> BoardEntry:
    """One entry.

    Raises:
        UserError: it is damaged, of another version, or of another name than its file.
    """
    hint = "add it anew with `cscbench leaderboard add`, or remove it"
    data = store.read_json(path, "an entry of a board", hint)
    store.check_schema(path, data.get("schema"), ENTRY_SCHEMA, hint)
    try:
        entry: RunEntry | ReportedEntry = msgspec.convert(data, RunEntry | ReportedEntry)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: damaged: {error}: {hint}") from None
    if entry.id != path.stem:
        raise UserError(f"{path}: its `id` is {entry.id!r}: file and id must be alike")
    return BoardEntry(entry, path.with_suffix("") if isinstance(entry, RunEntry) else None)


def finished_run(entry: RunEntry, folder: Path) -> FinishedRun:
    """The run of an entry, with the results that were published.

    Raises:
        UserError: its run.json is missing or damaged.
    """
    return FinishedRun(folder, store.read_run(folder), entry.results)


def run_entries(placed: Sequence[BoardEntry]) -> tuple[tuple[RunEntry, Path], ...]:
    """The entries that were run here, each with the folder of its turns."""
    return tuple((own.entry, own.folder) for own in placed if isinstance(own.entry, RunEntry) and own.folder)
