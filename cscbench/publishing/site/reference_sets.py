"""Write the turns of a board's runs in chunks, for the pages that show dialogues."""

from collections.abc import Iterator, Sequence
from typing import Any

from cscbench.publishing.site.folder import Folder
from cscbench.runs.turns import ScoredTurn, TaskText
from cscbench.values import ParseForm, ScoredPair, Speaker

# Dialogues per chunk: about 100 kB of a model's replies.
PER_CHUNK = 50


class ReferenceSet:
    """Reference dialogues of the same data, numbered in order of appearance; the number determines the chunk."""

    def __init__(self, name: str, data: tuple[str, ...], task_text: TaskText) -> None:
        self.name, self.data = name, data
        self.entries: list[str] = []
        self._dialogues: dict[str, dict[int, ScoredPair]] = {}
        self._numbers: dict[str, int] = {}
        self._task_text = task_text if task_text.data == data else None
        self.has_customers = self._task_text is not None

    def fits(self, data: tuple[str, ...], turns: Sequence[ScoredTurn]) -> bool:
        """Return whether a run's references agree with this set."""
        return data == self.data and not any(self._differs(turn.pair) for turn in turns)

    def _differs(self, pair: ScoredPair) -> bool:
        known = self._dialogues.get(pair.dialogue, {}).get(pair.turn)
        return known is not None and (known.reference, known.reference_strategy) != (
            pair.reference,
            pair.reference_strategy,
        )

    def add(self, slug: str, turns: Sequence[ScoredTurn]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Add a run, and yield its replies by chunk number, in order."""
        self.entries.append(slug)
        chunks: dict[int, dict[str, Any]] = {}
        for turn in turns:
            pair = turn.pair
            number = self._numbers.setdefault(pair.dialogue, len(self._numbers))
            self._dialogues.setdefault(pair.dialogue, {}).setdefault(pair.turn, pair)
            replies = chunks.setdefault(number // PER_CHUNK, {}).setdefault(pair.dialogue, [])
            failed = pair.form is ParseForm.FAILED
            replies.append(
                (pair.turn, pair.strategy, pair.error if failed else pair.text, pair.form.value, turn.scores)
            )
        yield from sorted(chunks.items())

    def write(self, folder: Folder) -> dict[str, Any]:
        """Write the reference chunks, and return the list of dialogues for the pages."""
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
        """Return (turn, speaker, text, strategy) of a dialogue's lines, with the customer's turns if available."""
        lines = [(turn, "s", pair.reference, pair.reference_strategy) for turn, pair in self._dialogues[name].items()]
        dialogue = self._task_text.dialogues.get(name) if self._task_text else None
        turns = dialogue.turns if dialogue else ()
        customer = [(n, "c", turn.text, None) for n, turn in enumerate(turns) if turn.speaker is Speaker.CUSTOMER]
        return sorted([*lines, *customer], key=lambda line: line[0])


class ReferenceSets:
    """All reference sets of a board, with the entries of each."""

    def __init__(self, task_text: TaskText) -> None:
        self._task_text = task_text
        self._sets: list[ReferenceSet] = []

    def add_run(self, slug: str, data: tuple[str, ...], turns: Sequence[ScoredTurn], folder: Folder) -> None:
        """Write a run's replies in chunks, and add the run to the set of its references."""
        reference_set = next((candidate for candidate in self._sets if candidate.fits(data, turns)), None)
        if reference_set is None:
            reference_set = ReferenceSet(f"reference-{len(self._sets)}", data, self._task_text)
            self._sets.append(reference_set)
        for number, chunk in reference_set.add(slug, turns):
            folder.chunk(f"m/{slug}/{number}", chunk)

    def write(self, folder: Folder) -> list[dict[str, Any]]:
        """Write all references, and return their description for `data/dialogues.js`."""
        return [reference_set.write(folder) for reference_set in self._sets]
