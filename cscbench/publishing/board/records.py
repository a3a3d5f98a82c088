"""What a board is made of: its file, its entries, and the ranked tables that pages and checks read."""

from pathlib import Path

from cscbench.runs.results import Results
from cscbench.values import Condition, Context, Frozen, Number

BOARD_SCHEMA = "cscbench/board/1"
ENTRY_SCHEMA = "cscbench/entry/1"


class Bilingual(Frozen, frozen=True):
    """One thing to read, in both languages of the pages."""

    en: str
    zh: str


class Column(Frozen, frozen=True):
    """A metric that a board shows, under a heading of its own."""

    metric: str
    title: Bilingual


class Track(Frozen, frozen=True):
    """Runs in one context and condition, ranked together by the metric `rank_by`."""

    id: str
    title: Bilingual
    context: Context
    condition: Condition
    rank_by: str


class Board(Frozen, frozen=True):
    """The content of board.yaml; `name` is its folder's. `baseline` is an entry's model label, or empty."""

    name: str
    title: Bilingual
    about: Bilingual
    task: str
    tracks: tuple[Track, ...]
    columns: tuple[Column, ...]
    baseline: str = ""


class RunEntry(Frozen, frozen=True, tag="run", tag_field="kind"):
    """A run of cscbench: its results as they were, the command that makes them again, and who published it when.

    Beside `entries/ID.json` lies `entries/ID/` with the run's predictions.parquet and scores.parquet.
    """

    schema: str
    id: str
    added: str
    command: str
    commit: str
    results: Results


class ReportedValue(Frozen, frozen=True):
    """A number that others printed, with no interval or signature of ours."""

    metric: str
    value: Number


class ReportedEntry(Frozen, frozen=True, tag="reported", tag_field="kind"):
    """A row of somebody's table, not run here; `unknowns` say what the source leaves out. Never ranked beside runs."""

    schema: str
    id: str
    label: str
    family: str
    parameters: Number
    lora: bool
    context: Context
    task: str
    source: str
    url: str
    unknowns: tuple[str, ...]
    values: tuple[ReportedValue, ...]


class BoardEntry(Frozen, frozen=True):
    """An entry of a board, and the folder of its turns; None where it was only reported."""

    entry: RunEntry | ReportedEntry
    folder: Path | None


class Cell(Frozen, frozen=True):
    """One entry's value in one column.

    `rank` counts from 1 among cells of one signature in the block, and `tied` has the cells that differ from the best
    of them by no more than noise explains; both are null for a cell that is not ranked.
    `not_ranked_because` says why, or is empty.
    """

    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    signature: str = ""
    rank: int | None = None
    tie_group: int | None = None
    not_ranked_because: str = ""


class RankedRow(Frozen, frozen=True):
    """An entry in a block; `partial` where replies failed."""

    entry: str
    cells: tuple[Cell | None, ...]
    partial: bool = False


class Block(Frozen, frozen=True):
    """Rows that may be compared: the same dialogues of the same data. `reported` holds what was not run here."""

    title: Bilingual
    reported: bool
    rows: tuple[RankedRow, ...]


class RankedTrack(Frozen, frozen=True):
    """A track's blocks: runs first, the largest block first; what was reported last."""

    track: Track
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
