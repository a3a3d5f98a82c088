"""Cohen's kappa by scikit-learn."""

from collections.abc import Sequence
from typing import Any

from cscbench.content.extras import require_extra


def cohen_kappa(
    left: Sequence[Any], right: Sequence[Any], weights: str | None = None, labels: Sequence[Any] | None = None
) -> float | None:
    """Return the chance-corrected agreement of two raters on the same items (Cohen 1960): 1 is perfect, 0 is chance.

    None if there are no items, or if both always give the same rating: chance alone then agrees fully. `weights` and
    `labels` are scikit-learn's.

    Raises:
        UserError: scikit-learn is missing.
    """
    if len({*left, *right}) < 2:
        return None
    require_extra("scores", ["sklearn"], "Cohen's kappa")
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(left, right, weights=weights, labels=labels))
