"""The parts of a report, as plain texts and numbers without markup, before rendering."""

import unicodedata
from collections.abc import Sequence

from cscbench.scoring.bootstrap import Interval
from cscbench.values import Frozen


class Text(Frozen, frozen=True):
    """A paragraph; `lead` marks the most important one."""

    text: str
    lead: bool = False


class Bullets(Frozen, frozen=True):
    """A list of sentences."""

    items: tuple[str, ...]


class Table(Frozen, frozen=True):
    """Rows of text below `head`; the columns in `numbers` are right-aligned."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...] = ()


class Dot(Frozen, frozen=True):
    """A named value with its interval."""

    name: str
    value: float
    interval: Interval | None


class Dots(Frozen, frozen=True):
    """A plot of values with intervals on one scale; `mark` is a reference value, such as zero.

    Only HTML shows plots; tables contain the same numbers.
    """

    caption: str
    dots: tuple[Dot, ...]
    mark: float | None = None


class TimeSeries(Frozen, frozen=True):
    """A plot of one value over time: `dots` in order of time, named by their dates. Only HTML shows it."""

    caption: str
    dots: tuple[Dot, ...]


class Heat(Frozen, frozen=True):
    """A heat map of counts by row and column."""

    caption: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Utterance(Frozen, frozen=True):
    """A turn's text with its speaker and a note (strategy, score)."""

    speaker: str
    note: str
    text: str


class Exchange(Frozen, frozen=True):
    """An excerpt of a dialogue: the customer's text, the reference, and the models' replies."""

    title: str
    lines: tuple[Utterance, ...]


class Code(Frozen, frozen=True):
    """Text to copy, such as a command."""

    text: str


def as_table(block: Table | Heat) -> Table:
    """Return counts as a table, and a table unchanged."""
    if isinstance(block, Table):
        return block
    rows = [(name, *(str(count or "") for count in row)) for name, row in zip(block.rows, block.counts, strict=True)]
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
    """Return the text without control characters, lone surrogates and direction overrides."""
    return "".join("\ufffd" if _hidden(char) else char for char in text)


def _hidden(char: str) -> bool:
    return char not in "\n\t" and (
        unicodedata.category(char) in {"Cc", "Cs"} or unicodedata.bidirectional(char) in _DIRECTION_OVERRIDES
    )


_DIRECTION_OVERRIDES = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def section(title: str, blocks: Sequence[Block | None], level: int = 2) -> Section | None:
    """Return a section of the blocks that are not None, or None if there are none."""
    present = tuple(block for block in blocks if block is not None)
    return Section(title, present, level) if present else None
