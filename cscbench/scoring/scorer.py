"""What a scorer is: pairs to rows of sufficient statistics, and sums of rows to values.

Statistics are summed over clusters of dialogues between the two, so every metric gets the same interval and shards add
up exactly.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from cscbench.scoring.bootstrap import Matrix
from cscbench.values import Condition, Frozen, JudgingRecord, Language, ModelCard, Rating, ScoredPair, StrategySet


class Need(StrEnum):
    """What a scorer must know of a turn beside the reply; no task has facts yet."""

    REFERENCE = "reference"
    LABEL = "label"
    FACTS = "facts"


class MetricSpec(Frozen, frozen=True):
    """A metric that a scorer gives: its name in results, and what its number depends on."""

    name: str
    signature: str
    higher_is_better: bool = True


class Reducer(Protocol):
    """Makes values of statistics. `metrics` name the columns of `summarise`, `columns` those of the statistics."""

    metrics: tuple[MetricSpec, ...]
    columns: tuple[str, ...]

    def summarise(self, sums: Matrix) -> Matrix:
        """(n, columns) sums to (n, metrics) values; NaN where a sum holds no turn."""
        ...


class Scorer(Reducer, Protocol):
    """Measures turns, and reduces what it measured.

    Its attribute `needs`, a tuple of `Need`, says what a turn must have for it to measure anything; without the
    attribute that is a reference. Turns that lack it are left out, and count for nothing.
    """

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """(turns, columns) sufficient statistics, one row a pair; they may be summed over any set of turns."""
        ...


class ScoringContext(Frozen, frozen=True):
    """What a scorer may know of the run."""

    languages: tuple[Language, ...]
    condition: Condition
    strategies: StrategySet
    encoder: ModelCard | None = None
    judging: JudgingRecord | None = None
    ratings: tuple[Rating, ...] = ()


# They have nothing to say where the model chose no strategy.
OF_STRATEGIES = ("strategy", "transitions")


def can_measure(scorer: Scorer, pair: ScoredPair) -> bool:
    """Whether a turn has what a scorer needs."""
    needs: tuple[Need, ...] = getattr(scorer, "needs", (Need.REFERENCE,))
    has = {Need.REFERENCE: bool(pair.reference), Need.LABEL: bool(pair.reference_strategy)}
    return all(has.get(need, False) for need in needs)


def ratio(numerator: Matrix, denominator: Matrix) -> Matrix:
    """100 x numerator / denominator, NaN where the denominator is 0."""
    import numpy as np

    empty = denominator == 0
    return np.where(empty, np.nan, 100 * numerator / np.where(empty, 1, denominator))
