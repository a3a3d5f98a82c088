"""Which strategy follows which, compared with the reference."""

from collections.abc import Sequence

from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, Need, ScoringContext
from cscbench.values import ScoredPair


class TransitionScorer:
    """`transition_divergence`: between the transitions (earlier strategy, next strategy) of predictions and references.

    Jensen-Shannon divergence (Lin 1991) with base-2 logarithms: 0 for identical distributions, 100 for disjoint ones.
    Each dialogue begins in a start state; an unparsed strategy is a state, too.
    """

    needs = (Need.LABEL,)

    def __init__(self, context: ScoringContext) -> None:
        codes = [strategy.code for strategy in context.strategies.strategies]
        self._state: dict[str | None, int] = {code: state for state, code in enumerate(codes)}
        self._state[None] = len(codes)
        self._states = len(codes) + 2  # plus unparsed and start
        self.metrics = (
            MetricSpec("transition_divergence", f"labels:{len(codes)}|jensen-shannon:base-2", higher_is_better=False),
        )
        names = [*codes, "?", "^"]
        self.columns = tuple(f"{side}:{a}>{b}" for side in ("said", "reference") for a in names for b in names)

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """Return (turns, 2 x states x states): 1 for the predicted transition into a turn, 1 for the reference's."""
        import numpy as np

        size, start = self._states**2, self._states - 1
        rows = np.zeros((len(pairs), 2 * size))
        last: dict[str, tuple[int, int]] = {}
        for row, pair in zip(rows, pairs, strict=True):
            states = (self._state[pair.strategy], self._state[pair.reference_strategy])
            previous = last.get(pair.dialogue, (start, start))
            for side in (0, 1):
                row[side * size + previous[side] * self._states + states[side]] = 1
            last[pair.dialogue] = states
        return rows

    def summarise(self, sums: Matrix) -> Matrix:
        """Return (n, 1): the divergence, 0 to 100."""
        import numpy as np

        predicted, reference = (part / np.maximum(part.sum(axis=1, keepdims=True), 1) for part in np.hsplit(sums, 2))
        mixture = (predicted + reference) / 2
        value = (_relative_entropy(predicted, mixture) + _relative_entropy(reference, mixture)) / 2
        empty = sums.sum(axis=1) == 0
        return np.where(empty, np.nan, 100 * value)[:, None]


def _relative_entropy(left: Matrix, right: Matrix) -> Matrix:
    """Return the relative entropy of each row, in bits."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(left > 0, left * np.log2(left / right), 0)
    entropies: Matrix = terms.sum(axis=1)
    return entropies
