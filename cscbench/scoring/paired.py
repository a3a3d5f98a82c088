"""Two systems over the same clusters: paired intervals and tests, for any metric that is computed from sums.

Whole clusters (dialogues, unless the data define clusters of them) are drawn (bootstrap) or swapped between the systems
(permutation), because their turns are not independent. All resamples of a metric are one matrix product.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from cscbench.scoring.bootstrap import Interval, Matrix, Resampling, intervals, resample_weights, t_quantile
from cscbench.values import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Summarise = Callable[[Matrix], Matrix]

PERMUTATIONS = 10_000
SIGNIFICANCE, POWER = 0.05, 0.8
# Rows of swaps generated at a time: 1,855 clusters use 15 MB.
_CHUNK = 1000
# Two values that differ only by rounding are the same value.
_ROUNDING = 1e-9


class Paired(Frozen, frozen=True):
    """One metric of two systems, and the difference B - A.

    `interval` is paired, `error` is the bootstrap's standard error. `p` is from the permutation test, `p_bootstrap`
    from sacrebleu's paired bootstrap; both are two-sided. `wins` is the share of clusters in which B has the higher
    value, ties counting half (the common-language effect size, McGraw and Wong 1992). All are null for one cluster.
    """

    a: float
    b: float
    difference: float
    interval: Interval | None
    error: float | None
    p: float | None
    p_bootstrap: float | None
    wins: float | None


def compare_sums(a: Matrix, b: Matrix, summarise: Summarise, resampling: Resampling) -> list[Paired | None]:
    """Compare two systems by their (clusters, columns) sums, for each metric; None for a metric without a value."""
    import numpy as np

    values_a, values_b = (summarise(sums.sum(axis=0, keepdims=True))[0] for sums in (a, b))
    known = ~np.isnan(values_a) & ~np.isnan(values_b)
    if len(a) < 2:
        return [
            Paired(float(left), float(right), float(right - left), None, None, None, None, None) if both_known else None
            for left, right, both_known in zip(values_a, values_b, known, strict=True)
        ]
    weights = resample_weights(len(a), resampling)
    drawn = summarise(weights @ b) - summarise(weights @ a)
    jackknife = summarise(b.sum(axis=0) - b) - summarise(a.sum(axis=0) - a)
    paired_intervals = intervals(values_b - values_a, drawn, jackknife, resampling.method)
    p_permutation = permutation_test(a, b, summarise, resampling.seed)
    wins = _wins(summarise(a), summarise(b))
    metrics: list[Paired | None] = []
    for column, (left, right) in enumerate(zip(values_a, values_b, strict=True)):
        if not known[column]:
            metrics.append(None)
            continue
        draws = drawn[:, column][~np.isnan(drawn[:, column])]
        metrics.append(
            Paired(
                a=float(left),
                b=float(right),
                difference=float(right - left),
                interval=paired_intervals[column],
                error=standard_error(draws, len(a)),
                p=p_permutation[column],
                p_bootstrap=bootstrap_p(draws, float(right - left)),
                wins=wins[column],
            )
        )
    return metrics


def standard_error(draws: Matrix, clusters: int) -> float | None:
    """Return a statistic's standard error from its values in resamples, whose variance is too small by (n - 1) / n.

    None for fewer than two values.
    """
    return float(draws.std(ddof=1) * (clusters / (clusters - 1)) ** 0.5) if len(draws) > 1 else None


def bootstrap_p(differences: Matrix, difference: float) -> float:
    """Return p of the paired bootstrap, as computed by sacrebleu (Koehn 2004; `sacrebleu.significance`)."""
    import numpy as np

    size = np.abs(differences)
    return float((np.sum(size - size.mean() > abs(difference)) + 1) / (len(size) + 1))


def permutation_test(a: Matrix, b: Matrix, summarise: Summarise, seed: int) -> list[float | None]:
    """Return the two-sided p of each metric's difference if the two systems are exchangeable by cluster (Noreen 1989).

    Exact if there are at most `PERMUTATIONS` ways to swap whole clusters, else over that many random ones. None if a
    metric has no value.
    """
    import numpy as np

    total_a, total_b = a.sum(axis=0), b.sum(axis=0)
    observed = (summarise(total_b[None]) - summarise(total_a[None]))[0]
    count, extreme = 0, np.zeros(len(observed))
    for swaps in _swaps(len(a), seed):
        moved = swaps @ (b - a)
        values = summarise(total_b - moved) - summarise(total_a + moved)
        # A swap that leaves one side without a value counts against the difference.
        extreme += (~(np.abs(values) < np.abs(observed) - _ROUNDING)).sum(axis=0)
        count += len(swaps)
    exact = _is_exact(len(a))
    p = extreme / count if exact else (extreme + 1) / (count + 1)
    return [None if np.isnan(difference) else float(share) for difference, share in zip(observed, p, strict=True)]


def _is_exact(clusters: int) -> bool:
    return 1 << clusters <= PERMUTATIONS


def smallest_p(clusters: int) -> float:
    """Return the smallest p of the permutation test over this many clusters: a swap equals its mirror image."""
    return 2 / 2**clusters if _is_exact(clusters) else 1 / (PERMUTATIONS + 1)


def _swaps(clusters: int, seed: int) -> "Iterator[NDArray[np.float64]]":
    """Yield rows of 0 and 1 that say which clusters are swapped; all possible rows if the clusters are few."""
    import numpy as np

    if _is_exact(clusters):
        yield ((np.arange(1 << clusters)[:, None] >> np.arange(clusters)) & 1).astype(np.float64)
        return
    generator = np.random.default_rng(seed)
    for _ in range(PERMUTATIONS // _CHUNK):
        yield generator.integers(0, 2, size=(_CHUNK, clusters)).astype(np.float64)


def _wins(a: Matrix, b: Matrix) -> list[float | None]:
    """Return the share of clusters with the higher value in `b`, ties half; skip clusters without a value."""
    import numpy as np

    shares: list[float | None] = []
    for changes in (b - a).T:
        change = changes[~np.isnan(changes)]
        change = np.where(np.abs(change) < _ROUNDING, 0, change)
        shares.append(float((np.sign(change).mean() + 1) / 2) if len(change) else None)
    return shares


def holm(p: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p values (1979): valid for dependent tests, and never below the unadjusted ones."""
    order = sorted(range(len(p)), key=lambda test: p[test])
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, test in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[test]))
        adjusted[test] = largest
    return adjusted


def minimum_detectable_effect(
    error: float, clusters: int, significance: float = SIGNIFICANCE, power: float = POWER
) -> float:
    """Return the smallest true difference that a two-sided test detects with this power, from its standard error.

    (t of 1 - significance/2 plus t of power) times the error (Bloom 1995); 2.8 errors for many clusters.
    """
    return (t_quantile(1 - significance / 2, clusters) + t_quantile(power, clusters)) * error
