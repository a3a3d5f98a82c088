"""How far replies are from the length of their references: 0 is as long, 100 is off by as much again."""

from collections.abc import Sequence

import numpy as np

from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, ScoringContext, ratio
from cscbench.values import ScoredPair


class LengthError:
    columns = ("off", "reference")
    metrics = (MetricSpec("length_error", "unit:character|level:corpus|length-error:1", higher_is_better=False),)

    def __init__(self, context: ScoringContext) -> None:
        """Ours needs nothing of the run; another may read its languages, strategies or encoder."""

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """(turns, 2): characters too many or too few, and characters of the reference."""
        rows = [(abs(len(pair.text) - len(pair.reference)), len(pair.reference)) for pair in pairs]
        return np.array(rows, dtype=float).reshape(-1, len(self.columns))

    def summarise(self, sums: Matrix) -> Matrix:
        """(n, 1): one sum over the other, in per cent."""
        return ratio(sums[:, :1], sums[:, 1:])
