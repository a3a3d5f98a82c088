"""Which strategy follows which, beside the reference's order."""

from collections.abc import Sequence

from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, Need, ScoringContext
from cscbench.values import ScoredPair


class TransitionScorer:
    """`transition_divergence`: of the pairs (earlier strategy, next strategy) in predictions and in references.

    Jensen-Shannon divergence (Lin 1991) with logarithms to base 2: 0 for the same shares of pairs, 100 for none in
    common. A dialogue begins at a start of its own; an unreadable strategy is a state like any.
    """

    needs = (Need.LABEL,)

    def __init__(self, context: ScoringContext) -> None:
        codes = [strategy.code for strategy in context.strategies.strategies]
        self._number: dict[str | None, int] = {code: number for number, code in enumerate(codes)}
        self._number[None] = len(codes)
        self._states = len(codes) + 2  # unreadable, and the start
        self.metrics = (
            MetricSpec("transition_divergence", f"labels:{len(codes)}|jensen-shannon:base-2", higher_is_better=False),
        )
        names = [*codes, "?", "^"]
        self.columns = tuple(f"{side}:{a}>{b}" for side in ("said", "reference") for a in names for b in names)

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """(turns, 2 x states x states): a 1 for the predicted transition into the turn, a 1 for the reference's."""
        import numpy as np

        size, start = self._states**2, self._states - 1
        rows = np.zeros((len(pairs), 2 * size))
        last: dict[str, tuple[int, int]] = {}
        for row, pair in zip(rows, pairs, strict=True):
            now = (self._number[pair.strategy], self._number[pair.reference_strategy])
            before = last.get(pair.dialogue, (start, start))
            for side in (0, 1):
                row[side * size + before[side] * self._states + now[side]] = 1
            last[pair.dialogue] = now
        return rows

    def summarise(self, sums: Matrix) -> Matrix:
        """(n, 1): the divergence, 0 to 100."""
        import numpy as np

        said, reference = (part / np.maximum(part.sum(axis=1, keepdims=True), 1) for part in np.hsplit(sums, 2))
        middle = (said + reference) / 2
        value = (_relative(said, middle) + _relative(reference, middle)) / 2
        empty = sums.sum(axis=1) == 0
        return np.where(empty, np.nan, 100 * value)[:, None]


def _relative(part: Matrix, whole: Matrix) -> Matrix:
    """Relative entropy of each row, in bits."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(part > 0, part * np.log2(part / whole), 0)
    found: Matrix = terms.sum(axis=1)
    return found
