"""What a report is made of, before it is HTML, Markdown or LaTeX: plain texts and numbers, no mark-up."""

import unicodedata
from collections.abc import Sequence

from cscbench.scoring.bootstrap import Interval
from cscbench.values import Frozen


class Text(Frozen, frozen=True):
    """A paragraph; `lead` is one that a reader in a hurry should not miss."""

    text: str
    lead: bool = False


class Bullets(Frozen, frozen=True):
    """A list of sentences."""

    items: tuple[str, ...]


class Table(Frozen, frozen=True):
    """Rows of texts below `head`; the columns in `numbers` are right-aligned."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...] = ()


class Dot(Frozen, frozen=True):
    """A value with its interval, on a line of its own."""

    name: str
    value: float
    interval: Interval | None


class Dots(Frozen, frozen=True):
    """Values with intervals on one scale, drawn; `mark` is a value to hold them against, such as zero.

    A drawing alone: its numbers stand in a table beside it, which Markdown and LaTeX show.
    """

    caption: str
    dots: tuple[Dot, ...]
    mark: float | None = None


class TimeSeries(Frozen, frozen=True):
    """One value over time, drawn: `dots` in the order of time, named by their dates. A drawing alone, as `Dots`."""

    caption: str
    dots: tuple[Dot, ...]


class Heat(Frozen, frozen=True):
    """Counts by row and column: reference strategy against predicted."""

    caption: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Said(Frozen, frozen=True):
    """Who said it, with what a reader must know of it (strategy, score)."""

    who: str
    note: str
    text: str


class Exchange(Frozen, frozen=True):
    """A place in a dialogue: what the customer said, the reference, and what models replied."""

    title: str
    lines: tuple[Said, ...]


class Code(Frozen, frozen=True):
    """Text to copy, such as a command."""

    text: str


def as_table(block: Table | Heat) -> Table:
    """Counts as a table; a table as it is."""
    if isinstance(block, Table):
        return block
    rows = [(name, *(str(one or "") for one in row)) for name, row in zip(block.rows, block.counts, strict=True)]
    return Table(("", *block.columns), tuple(rows), tuple(range(1, len(block.columns) + 1)))


Block = Text | Bullets | Table | Dots | TimeSeries | Heat | Exchange | Code


class Section(Frozen, frozen=True):
    """Blocks under a heading; `level` 2 or 3."""

    title: str
    blocks: tuple[Block, ...]
    level: int = 2


class Document(Frozen, frozen=True):
    """A whole report."""

    title: str
    sections: tuple[Section, ...]


def printable(text: str) -> str:
    """The text without control characters, lone surrogates, and marks that turn the direction of what follows."""
    return "".join("\ufffd" if _hidden(char) else char for char in text)


def _hidden(char: str) -> bool:
    return char not in "\n\t" and (
        unicodedata.category(char) in {"Cc", "Cs"} or unicodedata.bidirectional(char) in _TURNING
    )


_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def section(title: str, blocks: Sequence[Block | None], level: int = 2) -> Section | None:
    """A section of the blocks that there are; None where there are none."""
    found = tuple(block for block in blocks if block is not None)
    return Section(title, found, level) if found else None
