"""Turns of a board's runs: in chunks for the pages, and reduced to what a model's page shows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cscbench.errors import UserError
from cscbench.leaderboard.site.folder import Folder
from cscbench.records import Dialogue, Form, Frozen, Pair, Speaker
from cscbench.results import read_pairs, read_scores
from cscbench.strategies import CSC, StrategySet
from cscbench.tasks import find_task

# Dialogues in one chunk: about 100 kB of a model's replies.
PER_CHUNK = 50
SCORES = ("rouge_l", "bertscore_f1", "stars")


class Turn(Frozen, frozen=True):
    """A pair with what its scorers gave, in the order of `SCORES`; None where one was not asked."""

    pair: Pair
    scores: tuple[float | None, ...]


class Source(Frozen, frozen=True):
    """The board's task as it is on this machine: its labels, and dialogues by the hash of their file.

    `trouble` says why there are no dialogues, or is empty.
    """

    strategies: StrategySet
    dialogues: Mapping[str, Dialogue]
    data: tuple[str, ...]
    trouble: str


def read_source(task: str, with_dialogues: bool) -> Source:
    """What the board's task gives here; customers' turns are read from it, since runs hold only supporters'.

    A board without runs needs no dialogues, and nothing is downloaded for it.
    """
    try:
        found = find_task(task)
    except UserError as error:
        return Source(CSC, {}, (), str(error))
    if not with_dialogues:
        return Source(found.strategies, {}, (), "")
    try:
        data = found.load(None)
    except UserError as error:
        return Source(found.strategies, {}, (), str(error))
    return Source(found.strategies, {own.id: own for own in data.test}, tuple(s.sha256 for s in data.sources), "")


def read_turns(folder: Path) -> list[Turn]:
    """A run's turns with their scores.

    Raises:
        UserError: a file of the entry is missing or damaged.
    """
    pairs, table = read_pairs(folder), read_scores(folder)
    rows = {place: number for number, place in enumerate(table.turns)}
    columns = [_column(table.columns, name) for name in SCORES]
    return [Turn(pair, _scores(columns, rows.get((pair.dialogue, pair.turn)))) for pair in pairs]


def _column(columns: Mapping[str, Any], name: str) -> list[float | None]:
    """A score of each row on the metric's scale; empty where it was not scored."""
    if name == "stars":
        if "stars.overall" not in columns:
            return []
        both = zip(columns["stars.overall"].tolist(), columns["stars.rated"].tolist(), strict=True)
        return [_number(value, 1, 2) if rated else None for value, rated in both]
    found = columns.get({"rouge_l": "rouge.f1", "bertscore_f1": "bertscore.f1"}[name])
    return [] if found is None else [_number(value, 100, 1) for value in found.tolist()]


def _number(value: float, scale: float, digits: int) -> float | None:
    return round(value * scale, digits) if math.isfinite(value) else None


def _scores(columns: Sequence[list[float | None]], row: int | None) -> tuple[float | None, ...]:
    return tuple(column[row] if column and row is not None else None for column in columns)


class Shelf:
    """Reference dialogues over the same data, numbered as they are met, so that a dialogue's chunk is known at once."""

    def __init__(self, name: str, data: tuple[str, ...], source: Source) -> None:
        self.name, self.data = name, data
        self.entries: list[str] = []
        self._dialogues: dict[str, dict[int, Pair]] = {}
        self._numbers: dict[str, int] = {}
        self._source = source if source.data == data else None
        self.has_customers = self._source is not None

    def fits(self, data: tuple[str, ...], turns: Sequence[Turn]) -> bool:
        """Whether a run's references are those that are here already."""
        return data == self.data and not any(self._differs(turn.pair) for turn in turns)

    def _differs(self, pair: Pair) -> bool:
        known = self._dialogues.get(pair.dialogue, {}).get(pair.turn)
        return known is not None and (known.reference, known.reference_strategy) != (
            pair.reference,
            pair.reference_strategy,
        )

    def add(self, slug: str, turns: Sequence[Turn]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Take a run in; its replies by the number of their chunk, in the order of the chunks."""
        self.entries.append(slug)
        chunks: dict[int, dict[str, Any]] = {}
        for turn in turns:
            pair = turn.pair
            number = self._numbers.setdefault(pair.dialogue, len(self._numbers))
            self._dialogues.setdefault(pair.dialogue, {}).setdefault(pair.turn, pair)
            own = chunks.setdefault(number // PER_CHUNK, {}).setdefault(pair.dialogue, [])
            failed = pair.form is Form.FAILED
            own.append((pair.turn, pair.strategy, pair.error if failed else pair.text, pair.form.value, turn.scores))
        yield from sorted(chunks.items())

    def write(self, folder: Folder) -> dict[str, Any]:
        """The reference chunks; returns the list of dialogues for the pages."""
        listed, chunks = [], dict[int, dict[str, Any]]()
        for name, number in self._numbers.items():
            first = next(iter(self._dialogues[name].values()))
            listed.append((name, first.language.value, first.topic, number // PER_CHUNK))
            chunks.setdefault(number // PER_CHUNK, {})[name] = self._lines(name)
        for number, chunk in chunks.items():
            folder.chunk(f"t/{self.name}/{number}", chunk)
        return {
            "name": self.name,
            "dialogues": sorted(listed, key=lambda row: row[0]),
            "entries": self.entries,
            "customers": self.has_customers,
        }

    def _lines(self, name: str) -> list[tuple[int, str, str, str | None]]:
        """(turn, who speaks, text, strategy) of a dialogue, with the customer's turns where they are at hand."""
        lines = [(turn, "s", pair.reference, pair.reference_strategy) for turn, pair in self._dialogues[name].items()]
        known = self._source.dialogues.get(name) if self._source else None
        customer = known.turns if known else ()
        said = [(n, "c", turn.text, None) for n, turn in enumerate(customer) if turn.speaker is Speaker.CUSTOMER]
        return sorted([*lines, *said], key=lambda line: line[0])


class Shelves:
    """All shelves of a board, and which entry stands on which."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: list[Shelf] = []

    def place(self, slug: str, data: tuple[str, ...], turns: Sequence[Turn], folder: Folder) -> None:
        """Write a run's replies in chunks, beside the references that they answer to."""
        shelf = next((own for own in self._found if own.fits(data, turns)), None)
        if shelf is None:
            shelf = Shelf(f"reference-{len(self._found)}", data, self._source)
            self._found.append(shelf)
        for number, chunk in shelf.add(slug, turns):
            folder.chunk(f"m/{slug}/{number}", chunk)

    def write(self, folder: Folder) -> list[dict[str, Any]]:
        """The references of all, and what `data/dialogues.js` says of them."""
        return [shelf.write(folder) for shelf in self._found]
