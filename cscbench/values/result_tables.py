"""The tables of a results.json that cscbench reads. The JSON may contain more tables and more fields."""

from typing import Any

import msgspec

from cscbench.values.frozen import Frozen
from cscbench.values.metrics import Count, Estimate, Number


class GroupMetrics(Frozen, frozen=True, forbid_unknown_fields=False):
    """A group of turns and its metrics by name. Each subclass stores `name` under a different key."""

    name: str
    n: Count
    metrics: dict[str, Estimate]


class ByLanguage(GroupMetrics, frozen=True):
    """The turns in a language."""

    name: str = msgspec.field(name="language")


class ByStrategy(GroupMetrics, frozen=True):
    """The turns whose reference uses a strategy, by its code."""

    name: str = msgspec.field(name="strategy")


class ByStage(GroupMetrics, frozen=True):
    """The turns of a stage, by its code."""

    name: str = msgspec.field(name="stage")


class ByTopic(GroupMetrics, frozen=True):
    """The turns of dialogues about a topic."""

    name: str = msgspec.field(name="topic")


class GivenStrategy(GroupMetrics, frozen=True):
    """The turns whose predicted strategy was `right` or `wrong`."""

    name: str = msgspec.field(name="strategy_was")


class Confusion(Frozen, frozen=True, forbid_unknown_fields=False):
    """Counts of turns by reference strategy (row) and predicted strategy (column)."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[Count, ...], ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.rows) or any(len(row) != len(self.columns) for row in self.counts):
            raise ValueError("`counts` needs one list per entry of `rows`, with one number per entry of `columns`")


class JudgeRow(Frozen, frozen=True, forbid_unknown_fields=False):
    """A judge, by its label: its ratings, and possible biases in them."""

    judge: str
    n: Count
    missing: Count
    failed: Count
    stars: Estimate | None
    length_correlation: Estimate | None
    repeat_deviation: Number | None


class JudgePair(Frozen, frozen=True, forbid_unknown_fields=False):
    """Agreement of two judges."""

    a: str
    b: str
    kappa: Estimate | None


class JudgeAgreement(Frozen, frozen=True, forbid_unknown_fields=False):
    """Agreement of all judges, and of each pair."""

    alpha: Estimate | None
    kappas: tuple[JudgePair, ...]


class Tables(Frozen, frozen=True, forbid_unknown_fields=False):
    """The known tables; a missing table is empty."""

    by_language: tuple[ByLanguage, ...] = ()
    by_strategy: tuple[ByStrategy, ...] = ()
    by_stage: tuple[ByStage, ...] = ()
    by_topic: tuple[ByTopic, ...] = ()
    given_strategy: tuple[GivenStrategy, ...] = ()
    confusion: Confusion | None = None
    judges: tuple[JudgeRow, ...] = ()
    judge_agreement: JudgeAgreement | None = None

    def groups(self, key: str) -> tuple[GroupMetrics, ...]:
        """Return the groups by `key`: `strategy`, `stage`, `topic` or `language`."""
        groups: tuple[GroupMetrics, ...] = getattr(self, f"by_{key}")
        return groups


def read_tables(tables: dict[str, Any]) -> Tables:
    """Read the known tables from a JSON object.

    Raises:
        ValueError: a field is missing or has the wrong type; the message gives its path.
    """
    try:
        return msgspec.convert(tables, Tables)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace("`$", "`$.tables")) from None
