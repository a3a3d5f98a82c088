"""Strategy accuracy, macro-F1 and parse rate, from one confusion matrix."""

from collections.abc import Sequence

from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, Need, ScoringContext, ratio
from cscbench.values import ScoredPair


class StrategyScorer:
    """Counts (reference, predicted) pairs; replies without a parsed strategy have a separate column.

    Accuracy counts it as wrong; `parse_rate` says how many there are. Macro-F1 is the mean of F1 over the strategies
    that occur in the references (as scikit-learn's `f1_score(average="macro", labels=present)`).
    """

    needs = (Need.LABEL,)

    def __init__(self, context: ScoringContext) -> None:
        codes = [strategy.code for strategy in context.strategies.strategies]
        self._index = {code: index for index, code in enumerate(codes)}
        self._size = len(codes)
        labels = f"labels:{self._size}"
        self.metrics = (
            MetricSpec("strategy_accuracy", f"{labels}|unparsed:wrong"),
            MetricSpec("strategy_macro_f1", f"{labels}|average:macro-present|unparsed:wrong"),
            MetricSpec("parse_rate", f"{labels}|parser:cscbench"),
        )
        self.columns = tuple(f"{gold}>{predicted}" for gold in codes for predicted in (*codes, "?"))

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """Return (turns, strategies x (strategies + 1)): a single 1 in each row."""
        import numpy as np

        rows = np.zeros((len(pairs), len(self.columns)))
        for row, pair in enumerate(pairs):
            predicted = self._size if pair.strategy is None else self._index[pair.strategy]
            rows[row, self._index[pair.reference_strategy] * (self._size + 1) + predicted] = 1
        return rows

    def summarise(self, sums: Matrix) -> Matrix:
        """Return (n, 3): accuracy, macro-F1, parse rate."""
        import numpy as np

        table = sums.reshape(len(sums), self._size, self._size + 1)
        square = table[:, :, : self._size]
        total = table.sum(axis=(1, 2))
        hits = np.diagonal(square, axis1=1, axis2=2)
        support, predicted = table.sum(axis=2), square.sum(axis=1)
        f1 = ratio(2 * hits, support + predicted)
        present = support > 0
        macro = np.where(present, f1, 0).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
        macro = np.where(total == 0, np.nan, macro)
        return np.stack([ratio(hits.sum(axis=1), total), macro, ratio(predicted.sum(axis=1), total)], axis=1)
