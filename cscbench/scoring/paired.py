"""Two systems over the same clusters: paired intervals and tests, for any metric that is made of sums.

Whole clusters (dialogues, unless the data name clusters of them) are drawn (bootstrap) or swapped between the systems
(permutation): what is not independent goes together.
All resamples of a metric are one matrix product.
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
# Rows of swaps made at a time: 1,855 clusters take 15 MB.
_CHUNK = 1000
# Two values that differ by rounding alone are the same value.
_ROUNDING = 1e-9


class Paired(Frozen, frozen=True):
    """One metric of two systems, and B less A.

    `interval` is paired, `error` the bootstrap's standard error. `p` is of the permutation test, `p_bootstrap` of
    sacrebleu's paired bootstrap; both are two-sided. `wins` is the share of clusters in which B alone is better, a tie
    counting half (the common-language effect size, McGraw and Wong 1992). All four are null for a single cluster.
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
    """Each metric of two systems whose (clusters, columns) sums are given; None for one that has no value."""
    import numpy as np

    left, right = (summarise(sums.sum(axis=0, keepdims=True))[0] for sums in (a, b))
    known = ~np.isnan(left) & ~np.isnan(right)
    if len(a) < 2:
        only = zip(left, right, known, strict=True)
        return [
            Paired(float(one), float(other), float(other - one), None, None, None, None, None) if both else None
            for one, other, both in only
        ]
    weights = resample_weights(len(a), resampling)
    drawn = summarise(weights @ b) - summarise(weights @ a)
    jackknife = summarise(b.sum(axis=0) - b) - summarise(a.sum(axis=0) - a)
    found_intervals = intervals(right - left, drawn, jackknife, resampling.method)
    p_permutation = permutation_test(a, b, summarise, resampling.seed)
    wins = _wins(summarise(a), summarise(b))
    found: list[Paired | None] = []
    for number, (one, other) in enumerate(zip(left, right, strict=True)):
        if not known[number]:
            found.append(None)
            continue
        values = drawn[:, number][~np.isnan(drawn[:, number])]
        found.append(
            Paired(
                a=float(one),
                b=float(other),
                difference=float(other - one),
                interval=found_intervals[number],
                error=standard_error(values, len(a)),
                p=p_permutation[number],
                p_bootstrap=bootstrap_p(values, float(other - one)),
                wins=wins[number],
            )
        )
    return found


def standard_error(draws: Matrix, clusters: int) -> float | None:
    """Of a statistic, from its values in resamples; None for fewer than two. Resamples spread by (n - 1) / n less."""
    return float(draws.std(ddof=1) * (clusters / (clusters - 1)) ** 0.5) if len(draws) > 1 else None


def bootstrap_p(differences: Matrix, difference: float) -> float:
    """p of the paired bootstrap as sacrebleu computes it (Koehn 2004; `sacrebleu.significance`)."""
    import numpy as np

    size = np.abs(differences)
    return float((np.sum(size - size.mean() > abs(difference)) + 1) / (len(size) + 1))


def permutation_test(a: Matrix, b: Matrix, summarise: Summarise, seed: int) -> list[float | None]:
    """Two-sided p of each metric's difference, where each cluster's two systems are exchangeable (Noreen 1989).

    Exact where there are at most `PERMUTATIONS` ways to swap whole clusters, else over that many random ones. None
    where a metric has no value.
    """
    import numpy as np

    total_a, total_b = a.sum(axis=0), b.sum(axis=0)
    seen = (summarise(total_b[None]) - summarise(total_a[None]))[0]
    count, extreme = 0, np.zeros(len(seen))
    for swaps in _swaps(len(a), seed):
        moved = swaps @ (b - a)
        values = summarise(total_b - moved) - summarise(total_a + moved)
        # A swap that leaves no value on one side is counted against the difference.
        extreme += (~(np.abs(values) < np.abs(seen) - _ROUNDING)).sum(axis=0)
        count += len(swaps)
    exact = _is_exact(len(a))
    p = extreme / count if exact else (extreme + 1) / (count + 1)
    return [None if np.isnan(value) else float(own) for value, own in zip(seen, p, strict=True)]


def _is_exact(clusters: int) -> bool:
    return 1 << clusters <= PERMUTATIONS


def smallest_p(clusters: int) -> float:
    """The smallest p of the permutation test over so many clusters: a swap and its mirror image look alike."""
    return 2 / 2**clusters if _is_exact(clusters) else 1 / (PERMUTATIONS + 1)


def _swaps(clusters: int, seed: int) -> "Iterator[NDArray[np.float64]]":
    """Rows of 0 and 1: which clusters change sides; all of them where they are few."""
    import numpy as np

    if _is_exact(clusters):
        yield ((np.arange(1 << clusters)[:, None] >> np.arange(clusters)) & 1).astype(np.float64)
        return
    generator = np.random.default_rng(seed)
    for _ in range(PERMUTATIONS // _CHUNK):
        yield generator.integers(0, 2, size=(_CHUNK, clusters)).astype(np.float64)


def _wins(a: Matrix, b: Matrix) -> list[float | None]:
    """Share of clusters with the higher value in `b`, ties half; clusters without a value are left out."""
    import numpy as np

    found: list[float | None] = []
    for one, other in zip(a.T, b.T, strict=True):
        change = (other - one)[~np.isnan(other - one)]
        change = np.where(np.abs(change) < _ROUNDING, 0, change)
        found.append(float((np.sign(change).mean() + 1) / 2) if len(change) else None)
    return found


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (1979): valid for any dependence between the tests, and never below the given ones."""
    order = sorted(range(len(p)), key=lambda number: p[number])
    adjusted, most = [0.0] * len(p), 0.0
    for rank, number in enumerate(order):
        most = max(most, min(1.0, (len(p) - rank) * p[number]))
        adjusted[number] = most
    return adjusted


def minimum_detectable_effect(
    error: float, clusters: int, significance: float = SIGNIFICANCE, power: float = POWER
) -> float:
    """The smallest true difference that a two-sided test finds with that power, from a difference's standard error.

    (t of 1 - significance/2 plus t of power) times the error (Bloom 1995); 2.8 errors where clusters are many.
    """
    return (t_quantile(1 - significance / 2, clusters) + t_quantile(power, clusters)) * error
