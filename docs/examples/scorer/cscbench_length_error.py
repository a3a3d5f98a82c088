"""How far replies are from the length of their references: 0 is equal, 100 is off by the whole length."""

from collections.abc import Sequence

import numpy as np

from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, ScoringContext, ratio
from cscbench.values import ScoredPair


class LengthError:
    columns = ("off", "reference")
    metrics = (MetricSpec("length_error", "unit:character|level:corpus|length-error:1", higher_is_better=False),)

    def __init__(self, context: ScoringContext) -> None:
        """Ignore the context; other scorers read the languages, strategies or encoder of the run from it."""

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """Return (turns, 2): characters too many or too few, and characters of the reference."""
        rows = [(abs(len(pair.text) - len(pair.reference)), len(pair.reference)) for pair in pairs]
        return np.array(rows, dtype=float).reshape(-1, len(self.columns))

    def summarise(self, sums: Matrix) -> Matrix:
        """Return (n, 1): the ratio of the two sums, in percent."""
        return ratio(sums[:, :1], sums[:, 1:])
