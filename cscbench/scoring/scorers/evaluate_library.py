"""Any metric of the evaluate library that compares texts, turn by turn."""

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

# What a metric is tried on, to learn the names of its values.
_TRIAL = "your refund is on its way today"


class EvaluateMeans:
    """Means of stored values of a metric: it takes no metric to make them."""

    def __init__(self, name: str, columns: tuple[str, ...], signature: str = "") -> None:
        self.columns = columns
        self.metrics = tuple(MetricSpec(_metric_name(name, key), signature) for key in columns[0::2])

    def summarise(self, sums: Matrix) -> Matrix:
        """(n, values): means."""
        return ratio(sums[:, 0::2], sums[:, 1::2]) / 100


class EvaluateScorer(EvaluateMeans):
    """Mean over turns of each number that a metric gives for one prediction and one reference, on its own scale."""

    def __init__(self, name: str, context: ScoringContext) -> None:
        require_extra("scores", ["evaluate"], f"--scorer evaluate:{name}")
        self._label = _label(name)
        self._metric = _load(name)
        self._many = _takes_lists(self._metric)
        self._keys = tuple(self._values(_TRIAL, _TRIAL))
        if not self._keys:
            raise UserError(f"evaluate:{name} gives no number for two texts: it cannot score replies")
        signature = f"evaluate:{self._label}|evaluate:{versions(['evaluate'])['evaluate']}|mean:turns|direction:assumed"
        super().__init__(name, tuple(column for key in self._keys for column in (key, f"{key}_turns")), signature)

    def _values(self, text: str, reference: str) -> dict[str, float]:
        references = [[reference]] if self._many else [reference]
        try:
            found = self._metric.compute(predictions=[text], references=references)
        except Exception as error:  # a third party's script: whatever it raises
            raise UserError(
                f"evaluate:{self._label} cannot compare two texts: {type(error).__name__}: {error}"
            ) from error
        return dict(_numbers(found))

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """(turns, 2 x values): each value and 1, or twice 0 where a turn has none."""
        import numpy as np

        rows = np.zeros((len(pairs), len(self.columns)))
        with progress(f"evaluate: {self._label}", len(pairs)) as bar:
            for row, pair in zip(rows, pairs, strict=True):
                found = self._values(pair.text, pair.reference)
                for number, key in enumerate(self._keys):
                    if key in found:
                        row[2 * number : 2 * number + 2] = found[key], 1
                bar.step()
        return rows


def _label(name: str) -> str:
    return re.sub(r"\W+", "_", Path(name).name) or "metric"


def _metric_name(name: str, key: str) -> str:
    return key if key == _label(name) else f"{_label(name)}_{key}"


def _load(name: str) -> Any:
    import evaluate

    evaluate.utils.logging.disable_progress_bar()
    where = expanded(name)
    try:
        return evaluate.load(str(where.resolve()) if where.is_dir() else name)
    except Exception as error:  # no network, no such metric, a missing package, or a script that fails
        raise UserError(
            f"evaluate:{name} cannot be loaded: {type(error).__name__}: {error}\n"
            "Name a metric on the Hub (with a network), or a folder with its script"
        ) from None


def _takes_lists(metric: Any) -> bool:
    """Whether each prediction has a list of references."""
    features = metric.features[0] if isinstance(metric.features, list) else metric.features
    return not hasattr(features["references"], "dtype") or features["references"].dtype != "string"


def _numbers(found: Mapping[str, Any] | None) -> list[tuple[str, float]]:
    """Its finite numbers; a list of one counts as its number."""
    values = [
        (key, value[0] if isinstance(value, list) and len(value) == 1 else value)
        for key, value in (found or {}).items()
    ]
    return [(key, float(value)) for key, value in values if _is_number(value)]


def _is_number(value: object) -> bool:
    try:
        return not isinstance(value, str | bool) and math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
