"""Any metric of the evaluate library that compares texts, computed turn by turn."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cscbench.asking.progress import progress
from cscbench.content.extras import require_extra, versions
from cscbench.content.shipped import expanded
from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, ScoringContext, ratio
from cscbench.values import ScoredPair, UserError

# A metric is tried on this text, to learn the names of its values.
_TRIAL = "your refund is on its way today"


class EvaluateMeans:
    """Means of a metric's stored values, which do not need the metric itself."""

    def __init__(self, name: str, columns: tuple[str, ...], signature: str = "") -> None:
        self.columns = columns
        self.metrics = tuple(MetricSpec(_metric_name(name, key), signature) for key in columns[0::2])

    def summarise(self, sums: Matrix) -> Matrix:
        """Return (n, values): means."""
        return ratio(sums[:, 0::2], sums[:, 1::2]) / 100


class EvaluateScorer(EvaluateMeans):
    """Mean over turns of each number that a metric returns for a prediction and a reference, on the metric's scale."""

    def __init__(self, name: str, context: ScoringContext) -> None:
        require_extra("scores", ["evaluate"], f"--scorer evaluate:{name}")
        self._label = _label(name)
        self._metric = _load(name)
        self._lists_references = _lists_references(self._metric)
        self._keys = tuple(self._values(_TRIAL, _TRIAL))
        if not self._keys:
            raise UserError(f"evaluate:{name} returns no number for two texts: choose a metric that compares texts")
        signature = f"evaluate:{self._label}|evaluate:{versions(['evaluate'])['evaluate']}|mean:turns|direction:assumed"
        super().__init__(name, tuple(column for key in self._keys for column in (key, f"{key}_turns")), signature)

    def _values(self, text: str, reference: str) -> dict[str, float]:
        references = [[reference]] if self._lists_references else [reference]
        try:
            result = self._metric.compute(predictions=[text], references=references)
        except Exception as error:  # a third-party script can raise anything
            raise UserError(
                f"evaluate:{self._label} cannot compare two texts: {type(error).__name__}: {error}"
            ) from error
        return dict(_numbers(result))

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """Return (turns, 2 x values): each value and 1, or two zeros if a turn has no value."""
        import numpy as np

        rows = np.zeros((len(pairs), len(self.columns)))
        with progress(f"evaluate: {self._label}", len(pairs)) as bar:
            for row, pair in zip(rows, pairs, strict=True):
                values = self._values(pair.text, pair.reference)
                for index, key in enumerate(self._keys):
                    if key in values:
                        row[2 * index : 2 * index + 2] = values[key], 1
                bar.step()
        return rows


def _label(name: str) -> str:
    return re.sub(r"\W+", "_", Path(name).name) or "metric"


def _metric_name(name: str, key: str) -> str:
    return key if key == _label(name) else f"{_label(name)}_{key}"


def _load(name: str) -> Any:
    import evaluate

    evaluate.utils.logging.disable_progress_bar()
    folder = expanded(name)
    try:
        return evaluate.load(str(folder.resolve()) if folder.is_dir() else name)
    except Exception as error:  # no network, no such metric, a missing package, or a script that fails
        raise UserError(
            f"cannot load evaluate:{name}: {type(error).__name__}: {error}\n"
            "Specify a metric on the Hub (requires a network), or a folder that contains its script"
        ) from None


def _lists_references(metric: Any) -> bool:
    """Whether the metric expects a list of references for each prediction."""
    features = metric.features[0] if isinstance(metric.features, list) else metric.features
    return not hasattr(features["references"], "dtype") or features["references"].dtype != "string"


def _numbers(result: Mapping[str, Any] | None) -> list[tuple[str, float]]:
    """Return the finite numbers of a metric's result; a list of one number counts as that number."""
    values = [
        (key, value[0] if isinstance(value, list) and len(value) == 1 else value)
        for key, value in (result or {}).items()
    ]
    return [(key, float(value)) for key, value in values if _is_number(value)]


def _is_number(value: object) -> bool:
    try:
        return not isinstance(value, str | bool) and math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
