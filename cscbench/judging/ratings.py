"""People's ratings from a CSV file.

Columns: `dialogue` (a name), `language`, `conversation` (a line a turn, `customer: ...` or `supporter: ...`, in Chinese
客户：or 客服：), `reply` (what is rated after the conversation; empty: the whole conversation is), `rating` (1 to 5),
and, where one dialogue comes in several, `version`.
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

_MOST_TEXT = 100_000_000
_NEEDED = ("dialogue", "language", "conversation", "rating")
_KNOWN = (*_NEEDED, "reply", "version")
_LINE = re.compile(r"\s*(customer|supporter|客户|客服)\s*[:：]\s*(.*)", re.IGNORECASE)
_CUSTOMER = ("customer", "客户")


class HumanRating(Frozen, frozen=True):
    """A row: `lines` are (speaks the customer, text)."""

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
    """The ratings of a file.

    Raises:
        UserError: it is not there, a column is missing or unknown, or a cell is wrong: with its row.
    """
    text = yamlfile.read_text(path, "file of ratings", _MOST_TEXT)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        _check_head(path, reader.fieldnames or [])
        rows = [_row(row) for row in reader]
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}: the row that ends in line {reader.line_num}: {error}") from None
    if len({row.rating for row in rows}) < 2:
        raise UserError(f"{path}: all ratings are the same, or there are none: they cannot order anything")
    return Ratings(path.name, hashlib.sha256(text.encode()).hexdigest(), tuple(rows))


def _check_head(path: Path, head: Sequence[str]) -> None:
    if missing := [name for name in _NEEDED if name not in head]:
        raise UserError(f"{path}: no column {missing[0]!r}: ratings have the columns {', '.join(_NEEDED)}")
    if unknown := [name for name in head if name not in _KNOWN]:
        raise UserError(f"{path}: column {unknown[0]!r} is unknown{yamlfile.did_you_mean(unknown[0], _KNOWN)}")
    if twice := [name for name in head if head.count(name) > 1]:
        raise UserError(f"{path}: column {twice[0]!r} is there twice: keep one")


def _row(row: Mapping[str | None, Any]) -> HumanRating:
    if None in row:
        raise ValueError(f"more cells than columns ({len(row[None])} too many): put a text with commas in quotes")
    said = {name: (row.get(name) or "").strip() for name in _KNOWN}
    if not said["dialogue"]:
        raise ValueError("`dialogue` is empty")
    if said["language"] not in list(Language):
        raise ValueError(f"`language` is {said['language']!r}: one of {', '.join(Language)}")
    try:
        rating = float(said["rating"])
    except ValueError:
        raise ValueError(f"`rating` is {said['rating']!r}: a number from {LOWEST} to {HIGHEST}") from None
    if not LOWEST <= rating <= HIGHEST:
        raise ValueError(f"`rating` is {rating:g}: a number from {LOWEST} to {HIGHEST}")
    lines = tuple(_line(line) for line in said["conversation"].splitlines() if line.strip())
    if not lines and not said["reply"]:
        raise ValueError("`conversation` and `reply` are empty: there is nothing to rate")
    return HumanRating(said["dialogue"], said["version"], Language(said["language"]), lines, said["reply"], rating)


def _line(line: str) -> tuple[bool, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"`conversation`: {line[:40]!r} begins with neither customer: nor supporter: (客户：客服：)")
    return found[1].lower() in _CUSTOMER, found[2].strip()


def items_of_ratings(ratings: Ratings, rubrics: Mapping[Language, Rubric]) -> tuple[Item, ...]:
    """An item a row; its turn is the row's number. Neither rating nor version is in it."""
    found = []
    for number, row in enumerate(ratings.rows):
        file = rubrics[row.language].file
        lines = tuple(
            TranscriptLine(file.customer if customer else file.supporter, text) for customer, text in row.lines
        )
        found.append(Item(row.dialogue, number, row.language, lines, row.reply or None))
    return tuple(found)
