"""Turns of a board's runs in chunks, for the pages that show dialogues."""

from collections.abc import Iterator, Sequence
from typing import Any

from cscbench.publishing.site.folder import Folder
from cscbench.runs.turns import ScoredTurn, TaskText
from cscbench.values import ParseForm, ScoredPair, Speaker

# Dialogues in one chunk: about 100 kB of a model's replies.
PER_CHUNK = 50


class ReferenceSet:
    """Reference dialogues over the same data, numbered as they are met, so that a dialogue's chunk is known at once."""

    def __init__(self, name: str, data: tuple[str, ...], source: TaskText) -> None:
        self.name, self.data = name, data
        self.entries: list[str] = []
        self._dialogues: dict[str, dict[int, ScoredPair]] = {}
        self._numbers: dict[str, int] = {}
        self._source = source if source.data == data else None
        self.has_customers = self._source is not None

    def fits(self, data: tuple[str, ...], turns: Sequence[ScoredTurn]) -> bool:
        """Whether a run's references are those that are here already."""
        return data == self.data and not any(self._differs(turn.pair) for turn in turns)

    def _differs(self, pair: ScoredPair) -> bool:
        known = self._dialogues.get(pair.dialogue, {}).get(pair.turn)
        return known is not None and (known.reference, known.reference_strategy) != (
            pair.reference,
            pair.reference_strategy,
        )

    def add(self, slug: str, turns: Sequence[ScoredTurn]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Take a run in; its replies by the number of their chunk, in the order of the chunks."""
        self.entries.append(slug)
        chunks: dict[int, dict[str, Any]] = {}
        for turn in turns:
            pair = turn.pair
            number = self._numbers.setdefault(pair.dialogue, len(self._numbers))
            self._dialogues.setdefault(pair.dialogue, {}).setdefault(pair.turn, pair)
            own = chunks.setdefault(number // PER_CHUNK, {}).setdefault(pair.dialogue, [])
            failed = pair.form is ParseForm.FAILED
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


class ReferenceSets:
    """All reference sets of a board, and which entry belongs to which."""

    def __init__(self, source: TaskText) -> None:
        self._source = source
        self._found: list[ReferenceSet] = []

    def place(self, slug: str, data: tuple[str, ...], turns: Sequence[ScoredTurn], folder: Folder) -> None:
        """Write a run's replies in chunks, beside the references that they answer to."""
        reference_set = next((own for own in self._found if own.fits(data, turns)), None)
        if reference_set is None:
            reference_set = ReferenceSet(f"reference-{len(self._found)}", data, self._source)
            self._found.append(reference_set)
        for number, chunk in reference_set.add(slug, turns):
            folder.chunk(f"m/{slug}/{number}", chunk)

    def write(self, folder: Folder) -> list[dict[str, Any]]:
        """The references of all, and what `data/dialogues.js` says of them."""
        return [reference_set.write(folder) for reference_set in self._found]
