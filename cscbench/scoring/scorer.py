"""The interface of a scorer: from pairs to rows of sufficient statistics, and from sums of rows to values.

In between, statistics are summed over clusters of dialogues, so that every metric gets the same kind of interval and
shards combine exactly.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from cscbench.scoring.bootstrap import Matrix
from cscbench.values import Condition, Frozen, JudgingRecord, Language, ModelCard, Rating, ScoredPair, StrategySet


class Need(StrEnum):
    """What a scorer needs from a turn in addition to the reply; no task has facts yet."""

    REFERENCE = "reference"
    LABEL = "label"
    FACTS = "facts"


class MetricSpec(Frozen, frozen=True):
    """A metric of a scorer: its name in results, and everything its value depends on."""

    name: str
    signature: str
    higher_is_better: bool = True


class Reducer(Protocol):
    """Computes values from statistics. `metrics` name the columns of `summarise`, `columns` those of the statistics."""

    metrics: tuple[MetricSpec, ...]
    columns: tuple[str, ...]

    def summarise(self, sums: Matrix) -> Matrix:
        """Compute (n, metrics) values from (n, columns) sums; NaN for a sum over no turns."""
        ...


class Scorer(Reducer, Protocol):
    """Measures turns, and computes values from sums of the statistics.

    Its attribute `needs`, a tuple of `Need`, says what a turn must have to be measured; without the attribute, that is
    a reference. Other turns are left out.
    """

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """Return (turns, columns) sufficient statistics, one row per pair; they can be summed over any turns."""
        ...


class ScoringContext(Frozen, frozen=True):
    """What a scorer may know about the run."""

    languages: tuple[Language, ...]
    condition: Condition
    strategies: StrategySet
    encoder: ModelCard | None = None
    judging: JudgingRecord | None = None
    ratings: tuple[Rating, ...] = ()


# Scorers that do not apply if the model predicts no strategy.
OF_STRATEGIES = ("strategy", "transitions")


def can_measure(scorer: Scorer, pair: ScoredPair) -> bool:
    """Whether a turn has what a scorer needs."""
    needs: tuple[Need, ...] = getattr(scorer, "needs", (Need.REFERENCE,))
    has = {Need.REFERENCE: bool(pair.reference), Need.LABEL: bool(pair.reference_strategy)}
    return all(has.get(need, False) for need in needs)


def ratio(numerator: Matrix, denominator: Matrix) -> Matrix:
    """Return 100 x numerator / denominator, NaN where the denominator is 0."""
    import numpy as np

    empty = denominator == 0
    return np.where(empty, np.nan, 100 * numerator / np.where(empty, 1, denominator))
