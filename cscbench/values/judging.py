"""Values of LLM judging: a model rates another model's replies from 1 to 5 stars, following a task's rubric.

`content.rubrics` reads the rubric, `judging.items` selects what to rate, `asking.judge_plays` requests and parses the
answers, `judging.panel` runs each judge in its own folder, `judging.bias` checks what the ratings depend on, and the
`stars` scorer turns them into metrics.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from cscbench.values.dialogue import Language
from cscbench.values.frozen import Frozen

LOWEST, HIGHEST = 1, 5
# Attempts per item; after that the rating is recorded as missing.
TRIES = 3


class Level(StrEnum):
    """What one rating covers: a supporter turn in context, or a whole conversation."""

    TURN = "turn"
    DIALOGUE = "dialogue"


class TranscriptLine(Frozen, frozen=True):
    """One line of a conversation as a judge reads it. `speaker` is the name that the rubric uses."""

    speaker: str
    text: str


class Item(Frozen, frozen=True):
    """What a judge rates: `reply` in the context of `lines`, or (`reply` null) the supporter in all of `lines`.

    `turn` is the index of the reply in its dialogue, or of the last turn.
    """

    dialogue: str
    turn: int
    language: Language
    lines: tuple[TranscriptLine, ...]
    reply: str | None


class Rating(Frozen, frozen=True):
    """A judge's rating of an item. `score` is null if no answer could be parsed: the rating is missing.

    `score` is between 1 and 5: the expected stars under the engine's likelihoods, or else the mean of `samples`, the
    overall stars of each parsed answer. `dimensions` are means over those answers, in the rubric's order. `tries`
    counts answers; `reason` comes from the first. `error` says why a request failed; the next command repeats it.
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
    """How to judge. `repeats` 0 means one answer if the engine reports likelihoods, else three at temperature 0.7."""

    cards: tuple[str, ...] = ()
    level: Level = Level.TURN
    repeats: Annotated[int, Meta(ge=0)] = 0


class JudgeRecord(Frozen, frozen=True):
    """One judge of a panel. `hash` covers card, weights, rubric and level; `score` says how its scores are computed."""

    label: str
    hash: str
    family: str
    score: str


class JudgingRecord(Frozen, frozen=True):
    """The judging section of a results.json: the judges and rubrics behind the `stars` scorer."""

    judges: tuple[JudgeRecord, ...]
    level: Level
    dimensions: tuple[str, ...]
    rubrics: dict[str, str]

    def signature(self) -> str:
        """Return the part of a metric's signature that names judges and rubrics."""
        judges = "+".join(f"{judge.label}@{judge.hash}({judge.score})" for judge in self.judges)
        rubrics = "+".join(f"{name}@{sha[:8]}" for name, sha in self.rubrics.items())
        return f"judge:{judges}|level:{self.level}|rubric:{rubrics}|scale:{LOWEST}-{HIGHEST}"
