"""People's ratings from a CSV file.

Columns: `dialogue` (a name), `language`, `conversation` (one line per turn, `customer: ...` or `supporter: ...`, in
Chinese 客户： or 客服：), `reply` (the rated reply after the conversation; if empty, the whole conversation is rated),
`rating` (1 to 5), and `version`, if a dialogue has several.
"""

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cscbench.content import yaml_file as yamlfile
from cscbench.content.rubrics import Rubric
from cscbench.values import HIGHEST, LOWEST, Frozen, Item, Language, TranscriptLine, UserError

_MAX_SIZE = 100_000_000
_NEEDED = ("dialogue", "language", "conversation", "rating")
_KNOWN = (*_NEEDED, "reply", "version")
_LINE = re.compile(r"\s*(customer|supporter|客户|客服)\s*[:：]\s*(.*)", re.IGNORECASE)
_CUSTOMER = ("customer", "客户")


class HumanRating(Frozen, frozen=True):
    """A row: `lines` are (whether the customer speaks, text)."""

    dialogue: str
    version: str
    language: Language
    lines: tuple[tuple[bool, str], ...]
    reply: str
    rating: float


class Ratings(Frozen, frozen=True):
    """A file of ratings, by content."""

    name: str
    sha256: str
    rows: tuple[HumanRating, ...]


def read_csv(path: Path) -> Ratings:
    """Read the ratings of a file.

    Raises:
        UserError: the file or a column is missing, a column is unknown, or a cell is invalid (with its row).
    """
    text = yamlfile.read_text(path, "file of ratings", _MAX_SIZE)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        _check_head(path, reader.fieldnames or [])
        rows = [_row(row) for row in reader]
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}: the row that ends in line {reader.line_num}: {error}") from None
    if len({row.rating for row in rows}) < 2:
        raise UserError(f"{path}: all ratings are the same, or there are none: add rows with different ratings")
    return Ratings(path.name, hashlib.sha256(text.encode()).hexdigest(), tuple(rows))


def _check_head(path: Path, head: Sequence[str]) -> None:
    if missing := [name for name in _NEEDED if name not in head]:
        raise UserError(f"{path}: no column {missing[0]!r}: required columns are {', '.join(_NEEDED)}")
    if unknown := [name for name in head if name not in _KNOWN]:
        raise UserError(f"{path}: column {unknown[0]!r} is unknown{yamlfile.did_you_mean(unknown[0], _KNOWN)}")
    if duplicates := [name for name in head if head.count(name) > 1]:
        raise UserError(f"{path}: column {duplicates[0]!r} is duplicated: keep one")


def _row(row: Mapping[str | None, Any]) -> HumanRating:
    if None in row:
        raise ValueError(f"more cells than columns ({len(row[None])} too many): put text with commas in quotes")
    cells = {name: (row.get(name) or "").strip() for name in _KNOWN}
    if not cells["dialogue"]:
        raise ValueError("`dialogue` is empty")
    if cells["language"] not in list(Language):
        raise ValueError(f"`language` is {cells['language']!r}: use one of {', '.join(Language)}")
    try:
        rating = float(cells["rating"])
    except ValueError:
        raise ValueError(f"`rating` is {cells['rating']!r}: use a number from {LOWEST} to {HIGHEST}") from None
    if not LOWEST <= rating <= HIGHEST:
        raise ValueError(f"`rating` is {rating:g}: use a number from {LOWEST} to {HIGHEST}")
    lines = tuple(_line(line) for line in cells["conversation"].splitlines() if line.strip())
    if not lines and not cells["reply"]:
        raise ValueError("`conversation` and `reply` are empty: fill in at least one")
    return HumanRating(cells["dialogue"], cells["version"], Language(cells["language"]), lines, cells["reply"], rating)


def _line(line: str) -> tuple[bool, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"`conversation`: start {line[:40]!r} with customer: or supporter: (客户： or 客服：)")
    return match[1].lower() in _CUSTOMER, match[2].strip()


def items_of_ratings(ratings: Ratings, rubrics: Mapping[Language, Rubric]) -> tuple[Item, ...]:
    """Return one item per row; its turn is the row's index. Items contain neither rating nor version."""
    items = []
    for index, row in enumerate(ratings.rows):
        file = rubrics[row.language].file
        lines = tuple(
            TranscriptLine(file.customer if customer else file.supporter, text) for customer, text in row.lines
        )
        items.append(Item(row.dialogue, index, row.language, lines, row.reply or None))
    return tuple(items)
