"""Read boards and their entries: leaderboards/NAME/board.yaml, entries/*.json, and each entry's folder of turns."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from cscbench.asking import store
from cscbench.content import yaml_file as yamlfile
from cscbench.content.shipped import folders
from cscbench.publishing.board.records import ENTRY_SCHEMA, Board, BoardEntry, ReportedEntry, RunEntry
from cscbench.runs.finished import FinishedRun
from cscbench.runs.results import Results
from cscbench.values import UserError

ENTRIES = "entries"
# Files of an entry's folder, byte for byte copies of the run's.
OF_RUN = (store.RUN, store.PREDICTIONS, store.SCORES)


def board_folders() -> dict[str, Path]:
    """Return each board's folder by name; boards in the working directory take precedence over shipped ones."""
    boards: dict[str, Path] = {}
    for folder in folders("leaderboards"):
        for path in sorted(folder.iterdir()):
            if (path / "board.yaml").is_file():
                boards.setdefault(path.name, path)
    return boards


def find_board(name: str) -> tuple[Board, Path]:
    """Return the board of this name and its folder.

    Raises:
        UserError: no such board (with the nearest names), or an invalid file.
    """
    boards = board_folders()
    if name not in boards:
        hint = f"a board is a folder leaderboards/{name}/ with a board.yaml"
        raise UserError(f"no board {name!r}{yamlfile.did_you_mean(name, list(boards))}\n{hint}")
    return read_board(boards[name]), boards[name]


def read_board(folder: Path) -> Board:
    """Read board.yaml of a folder.

    Raises:
        UserError: the file is missing or invalid, with file, line and field.
    """
    path = folder / "board.yaml"
    data, lines = yamlfile.parse(path, yamlfile.read_text(path, "board"))
    if not isinstance(data, dict):
        raise UserError(f"{path}:1: a board file must be a mapping with title, about, task, tracks and columns")
    if "name" in data:
        raise UserError(f"{path}:{lines[('name',)]}: remove `name`: the folder's name is the board's name")
    board = yamlfile.to_struct(path, {"name": folder.name, **data}, lines, Board)
    _check(path, board)
    return board


def _check(path: Path, board: Board) -> None:
    metrics = [column.metric for column in board.columns]
    ids = [track.id for track in board.tracks]
    played = [f"{track.context}, {track.condition}" for track in board.tracks]
    for field, names in (("columns", metrics), ("tracks", ids), ("tracks` by context and condition", played)):
        if not names:
            raise UserError(f"{path}: `{field}` is empty")
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"{path}: `{field}` lists {twice[0]} twice")
    for track in board.tracks:
        if track.rank_by not in metrics:
            near = yamlfile.did_you_mean(track.rank_by, metrics)
            raise UserError(f"{path}: track {track.id}: `rank_by` {track.rank_by!r} is not a column{near}")


def entry_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of a board's entries, sorted by name."""
    return tuple(sorted((folder / ENTRIES).glob("*.json")))


def read_entries(folder: Path) -> tuple[BoardEntry, ...]:
    """Read all entries of a board, sorted by id.

    Raises:
        UserError: an entry is damaged or has a different schema version.
    """
    return tuple(read_entry(path) for path in entry_files(folder))


def read_entry(path: Path) -> BoardEntry:
    """Read one entry.

    Raises:
        UserError: the entry is damaged, has a different schema version, or its id is not its file's name.
    """
    hint = "add it again with `cscbench leaderboard add`, or remove it"
    data = store.read_json(path, "an entry of a board", hint)
    store.check_schema(path, data.get("schema"), ENTRY_SCHEMA, hint)
    try:
        entry: RunEntry | ReportedEntry = msgspec.convert(data, RunEntry | ReportedEntry)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: damaged: {error}: {hint}") from None
    if entry.id != path.stem:
        raise UserError(f"{path}: its `id` is {entry.id!r}, but must be the file's name")
    return BoardEntry(entry, path.with_suffix("") if isinstance(entry, RunEntry) else None)


def finished_run(entry: RunEntry, folder: Path) -> FinishedRun:
    """Return the run of an entry, with the published results.

    Raises:
        UserError: its run.json is missing or damaged.
    """
    return FinishedRun(folder, store.read_run(folder), entry.results)


def run_problems(board: Board, results: Results) -> list[str]:
    """Return why a run does not belong on a board."""
    problems = []
    if results.task.name != board.task:
        problems.append(f"the run's task is {results.task.name!r}; the task of board {board.name} is {board.task!r}")
    if not results.run.complete or results.counts.failed:
        problems.append(
            f"partial run: {results.counts.failed} of {results.counts.turns} replies failed. "
            "Repeat its `cscbench run` command to retry them"
        )
    played = (results.protocol.context, results.protocol.condition)
    if played not in {(track.context, track.condition) for track in board.tracks}:
        known = ", ".join(f"{track.context} {track.condition}" for track in board.tracks)
        problems.append(f"board {board.name} has no track for {' '.join(played)}; it has {known}")
    return problems


def run_entries(entries: Sequence[BoardEntry]) -> tuple[tuple[RunEntry, Path], ...]:
    """Return the entries that are runs, each with the folder of its turns."""
    return tuple(
        (listed.entry, listed.folder) for listed in entries if isinstance(listed.entry, RunEntry) and listed.folder
    )
