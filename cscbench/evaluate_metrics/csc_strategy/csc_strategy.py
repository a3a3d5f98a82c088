"""CSC strategy accuracy, macro-F1 and parse rate as a metric of the evaluate library.

evaluate copies this file into its cache and reads its imports line by line: keep them plain.
"""

import datasets
import evaluate

from cscbench.scoring.scorer import ScoringContext
from cscbench.scoring.scorers.strategy import StrategyScorer
from cscbench.values import CSC, Condition, Language, ParseForm, ScoredPair, UnknownStrategyError, normalise


class CscStrategy(evaluate.Metric):  # type: ignore[misc]
    """Scores labels in any spelling that cscbench reads (the first of joined ones); an unknown prediction is wrong."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Accuracy, macro-F1 and parse rate of support strategies, 0 to 100, as cscbench computes them.",
            citation="arXiv:2508.04423",
            inputs_description="predictions and references: strategy labels, one per turn.",
            features=datasets.Features(dict.fromkeys(("predictions", "references"), datasets.Value("string"))),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        pairs = [
            ScoredPair("", turn, Language.EN, "", normalise(reference)[0], "", _code(prediction), "", ParseForm.LABEL)
            for turn, (prediction, reference) in enumerate(zip(predictions, references, strict=True))
        ]
        scorer = StrategyScorer(ScoringContext((Language.EN,), Condition.JOINT, CSC))
        values = scorer.summarise(scorer.measure(pairs).sum(axis=0, keepdims=True))[0]
        return {metric.name: float(value) for metric, value in zip(scorer.metrics, values, strict=True)}


def _code(label: str) -> str | None:
    try:
        return normalise(label)[0]
    except UnknownStrategyError:
        return None
