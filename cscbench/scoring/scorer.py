"""Scorers: pairs to rows of sufficient statistics, and sums of rows to values.

Statistics are summed over dialogues between the two, so every metric gets the same interval and shards add up exactly.
"""

from collections.abc import Sequence
from typing import Protocol

from cscbench.scoring.bootstrap import Matrix
from cscbench.values.asking import ModelCard
from cscbench.values.condition import Condition
from cscbench.values.dialogue import Language
from cscbench.values.frozen import Frozen
from cscbench.values.judging import JudgingRecord, Rating
from cscbench.values.strategies import StrategySet
from cscbench.values.transcript import Pair


class MetricSpec(Frozen, frozen=True):
    """A metric that a scorer gives: its name in results, and what its number depends on."""

    name: str
    signature: str
    higher_is_better: bool = True


class Scorer(Protocol):
    """Measures turns. `metrics` name the columns of `summarise`, `columns` those of `measure`."""

    metrics: tuple[MetricSpec, ...]
    columns: tuple[str, ...]

    def measure(self, pairs: Sequence[Pair]) -> Matrix:
        """(turns, columns) sufficient statistics, one row a pair; they may be summed over any set of turns."""
        ...

    def summarise(self, sums: Matrix) -> Matrix:
        """(n, columns) sums to (n, metrics) values; NaN where a sum holds no turn."""
        ...


class ScorerSetting(Frozen, frozen=True):
    """What a scorer may know of the run."""

    languages: tuple[Language, ...]
    condition: Condition
    strategies: StrategySet
    encoder: ModelCard | None = None
    judging: JudgingRecord | None = None
    ratings: tuple[Rating, ...] = ()


# They have nothing to say where the reference strategy was given.
OF_STRATEGIES = ("strategy", "transitions")


def ratio(numerator: Matrix, denominator: Matrix) -> Matrix:
    """100 x numerator / denominator, NaN where the denominator is 0."""
    import numpy as np

    empty = denominator == 0
    return np.where(empty, np.nan, 100 * numerator / np.where(empty, 1, denominator))
