"""The values of a board: its file, its entries, and its ranked tables."""

from pathlib import Path

from cscbench.runs.results import Results
from cscbench.values import Condition, Context, Frozen, Number

BOARD_SCHEMA = "cscbench/board/1"
ENTRY_SCHEMA = "cscbench/entry/2"


class Bilingual(Frozen, frozen=True):
    """A text in both languages of the pages."""

    en: str
    zh: str


class Column(Frozen, frozen=True):
    """A metric that a board shows, and its heading."""

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
    """The contents of board.yaml; `name` is the folder's name. `baseline` is an entry's model label, or empty."""

    name: str
    title: Bilingual
    about: Bilingual
    task: str
    tracks: tuple[Track, ...]
    columns: tuple[Column, ...]
    baseline: str = ""


class RunEntry(Frozen, frozen=True, tag="run", tag_field="kind"):
    """A cscbench run: its results, the command that reproduces them, and when it was added.

    The folder `entries/ID/` next to `entries/ID.json` holds the run's run.json, predictions.parquet and scores.parquet.
    """

    schema: str
    id: str
    added: str
    command: str
    commit: str
    results: Results


class ReportedValue(Frozen, frozen=True):
    """A value from a publication, without interval or signature."""

    metric: str
    value: Number


class ReportedEntry(Frozen, frozen=True, tag="reported", tag_field="kind"):
    """A row of a published table, not run here and never ranked; `unknowns` say what the source leaves out."""

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
    """An entry of a board and the folder of its turns, None for a reported entry."""

    entry: RunEntry | ReportedEntry
    folder: Path | None


class Cell(Frozen, frozen=True):
    """One entry's value in one column.

    `rank` counts from 1 among cells of the same signature in the block; cells of the same `tie_group` do not differ
    significantly from the best of the group. Both are null if the cell is not ranked; `not_ranked_because` says why.
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
    """An entry in a block; `partial` is true if replies failed."""

    entry: str
    cells: tuple[Cell | None, ...]
    partial: bool = False


class Block(Frozen, frozen=True):
    """Comparable rows: the same dialogues of the same data. A `reported` block holds rows that were not run here."""

    title: Bilingual
    reported: bool
    rows: tuple[RankedRow, ...]


class RankedTrack(Frozen, frozen=True):
    """A track's blocks: blocks of runs, largest first, then the reported block."""

    track: Track
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
