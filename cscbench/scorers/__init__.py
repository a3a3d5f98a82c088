"""Scorers: pairs to rows of sufficient statistics, and sums of rows to values.

Statistics are summed over dialogues between the two, so every metric gets the same interval and shards add up exactly.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from cscbench import plugins
from cscbench.errors import UserError
from cscbench.judge import JudgingRecord, Rating
from cscbench.records import Condition, Frozen, Language, ModelCard, Pair
from cscbench.stats import Matrix
from cscbench.strategies import StrategySet


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


ScorerFactory = Callable[[ScorerSetting], Scorer]

_BUILT_IN = {
    "strategy": "cscbench.scorers.strategy:StrategyScorer",
    "bleu": "cscbench.scorers.bleu:BleuScorer",
    "rouge": "cscbench.scorers.rouge:RougeScorer",
    "bertscore": "cscbench.scorers.bertscore:BertScorer",
    "stars": "cscbench.scorers.stars:StarsScorer",
    "diversity": "cscbench.scorers.text:DiversityScorer",
    "length": "cscbench.scorers.text:LengthScorer",
    "placeholders": "cscbench.scorers.text:PlaceholderScorer",
    "transitions": "cscbench.scorers.transitions:TransitionScorer",
}
# `evaluate:NAME` is any metric of the evaluate library, by its name or its folder.
EVALUATE = "evaluate:"
# They have nothing to say where the reference strategy was given.
OF_STRATEGIES = ("strategy", "transitions")


def find_scorer(name: str) -> ScorerFactory:
    """The scorer factory of this name: built in, `evaluate:NAME`, or a package's entry point `cscbench.scorers`.

    Raises:
        UserError: there is none (with the nearest names), or the entry point names something else.
    """
    if name.startswith(EVALUATE):
        from cscbench.scorers.library import EvaluateScorer

        return partial(EvaluateScorer, name.removeprefix(EVALUATE))
    found: ScorerFactory = plugins.find("scorer", name, _BUILT_IN)
    if not callable(found):
        raise UserError(f"scorer {name!r}: its entry point names a {type(found).__name__}, not a factory of scorers")
    return found


def ratio(numerator: Matrix, denominator: Matrix) -> Matrix:
    """100 x numerator / denominator, NaN where the denominator is 0."""
    import numpy as np

    empty = denominator == 0
    return np.where(empty, np.nan, 100 * numerator / np.where(empty, 1, denominator))
