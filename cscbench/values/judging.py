"""LLM judges: a model gives stars for what another one wrote, by a task's rubric.

One straight line: `rubric` reads how to ask, `items` says what is rated, `walk` asks and reads the answers, `panel`
runs each judge in a folder of its own, `bias` looks at what stars depend on; the `stars` scorer makes metrics of them.
"""

from enum import StrEnum

from cscbench.values.dialogue import Language
from cscbench.values.frozen import Frozen

LOWEST, HIGHEST = 1, 5
# A judge may answer so often; then its rating is missing.
TRIES = 3


class Level(StrEnum):
    """What one rating is about: a supporter turn in its place, or a whole conversation."""

    TURN = "turn"
    DIALOGUE = "dialogue"


class TranscriptLine(Frozen, frozen=True):
    """One line of a conversation as a judge reads it: who speaks, in the rubric's words, and what."""

    speaker: str
    text: str


class Item(Frozen, frozen=True):
    """What is rated: `reply` after `lines`, or (`reply` null) the supporter in all of `lines`.

    `turn` is the reply's index in its dialogue, or the last turn's.
    """

    dialogue: str
    turn: int
    language: Language
    lines: tuple[TranscriptLine, ...]
    reply: str | None


class Rating(Frozen, frozen=True):
    """What a judge made of an item. `score` is null where no answer could be read: it is missing, not a number.

    `score` is between 1 and 5: the expected star under the engine's likelihoods, else the mean of `samples`, which are
    the overall stars of each answer that could be read. `dimensions` are means over those answers, in the rubric's
    order. `tries` counts answers, `reason` is the first one's. `error` says why an answer did not come: it is asked for
    again by the next command.
    """

    judge: str
    dialogue: str
    turn: int
    score: float | None
    dimensions: tuple[float, ...] = ()
    samples: tuple[int, ...] = ()
    tries: int = 0
    reason: str = ""
    error: str = ""


class JudgeOptions(Frozen, frozen=True):
    """How to judge. `repeats` 0: once where the engine gives likelihoods, else three answers at temperature 0.7."""

    cards: tuple[str, ...] = ()
    level: Level = Level.TURN
    repeats: int = 0


class JudgeRecord(Frozen, frozen=True):
    """One judge of a panel: its label, a hash over card, weights, rubric and level, its family, how scores are made."""

    label: str
    hash: str
    family: str
    score: str


class JudgingRecord(Frozen, frozen=True):
    """The judging in a results.json: what the `stars` scorer was made of."""

    judges: tuple[JudgeRecord, ...]
    level: Level
    dimensions: tuple[str, ...]
    rubrics: dict[str, str]

    def signature(self) -> str:
        """The part of a metric's signature that says who judged, and by what."""
        judges = "+".join(f"{one.label}@{one.hash}({one.score})" for one in self.judges)
        rubrics = "+".join(f"{name}@{sha[:8]}" for name, sha in self.rubrics.items())
        return f"judge:{judges}|level:{self.level}|rubric:{rubrics}|scale:{LOWEST}-{HIGHEST}"
