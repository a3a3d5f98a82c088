"""The tables of a results.json, as far as anything reads them: a JSON value may hold more tables, and more fields."""

from typing import Any

import msgspec

from cscbench.values.frozen import Frozen
from cscbench.values.metrics import Count, Estimate, Number


class Group(Frozen, frozen=True, forbid_unknown_fields=False):
    """Some turns, and their metrics by name; each kind of group has its `name` under a key of its own."""

    name: str
    n: Count
    metrics: dict[str, Estimate]


class ByLanguage(Group, frozen=True):
    """The turns in a language."""

    name: str = msgspec.field(name="language")


class ByStrategy(Group, frozen=True):
    """The turns whose reference has a strategy, by its code."""

    name: str = msgspec.field(name="strategy")


class ByStage(Group, frozen=True):
    """The turns of a stage, by its code."""

    name: str = msgspec.field(name="stage")


class ByTopic(Group, frozen=True):
    """The turns of dialogues about a topic."""

    name: str = msgspec.field(name="topic")


class GivenStrategy(Group, frozen=True):
    """The turns whose predicted strategy was `right`, or `wrong`."""

    name: str = msgspec.field(name="strategy_was")


class Confusion(Frozen, frozen=True, forbid_unknown_fields=False):
    """`counts` of turns, by reference (row) and prediction (column)."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[Count, ...], ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.rows) or any(len(row) != len(self.columns) for row in self.counts):
            raise ValueError("`counts` needs a list for each of `rows`, with a number for each of `columns`")


class JudgeRow(Frozen, frozen=True, forbid_unknown_fields=False):
    """A judge, by its label: its ratings, and what they may depend on."""

    judge: str
    n: Count
    missing: Count
    failed: Count
    stars: Estimate | None
    length_correlation: Estimate | None
    repeat_deviation: Number | None


class JudgePair(Frozen, frozen=True, forbid_unknown_fields=False):
    """How far two judges agree."""

    a: str
    b: str
    kappa: Estimate | None


class JudgeAgreement(Frozen, frozen=True, forbid_unknown_fields=False):
    """How far all judges agree, and each two."""

    alpha: Estimate | None
    kappas: tuple[JudgePair, ...]


class Tables(Frozen, frozen=True, forbid_unknown_fields=False):
    """What there is of the tables; one that is not there is empty."""

    by_language: tuple[ByLanguage, ...] = ()
    by_strategy: tuple[ByStrategy, ...] = ()
    by_stage: tuple[ByStage, ...] = ()
    by_topic: tuple[ByTopic, ...] = ()
    given_strategy: tuple[GivenStrategy, ...] = ()
    confusion: Confusion | None = None
    judges: tuple[JudgeRow, ...] = ()
    judge_agreement: JudgeAgreement | None = None

    def groups(self, kind: str) -> tuple[Group, ...]:
        """The groups by `strategy`, `stage`, `topic` or `language`."""
        groups: tuple[Group, ...] = getattr(self, f"by_{kind}")
        return groups


def read_tables(tables: dict[str, Any]) -> Tables:
    """The tables of a JSON value.

    Raises:
        ValueError: one has a missing field, or a value of another kind; the message names the place.
    """
    try:
        return msgspec.convert(tables, Tables)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace("`$", "`$.tables")) from None
