"""Metrics as sums by cluster, and everything computed from them: values, intervals, differences, tie groups.

Every value, its interval, its test and its rank on a board come from the same sums, and only from this module.
"""

from collections.abc import Sequence
from itertools import combinations
from math import isnan

from cscbench.scoring.bootstrap import Matrix, Resampling, intervals, percentile_interval, resample_weights
from cscbench.scoring.paired import (
    PERMUTATIONS,
    SIGNIFICANCE,
    Paired,
    Summarise,
    compare_sums,
    holm,
    permutation_test,
    smallest_p,
)
from cscbench.scoring.scorer import MetricSpec
from cscbench.values import Estimate, Frozen


class MetricSums(Frozen, frozen=True):
    """One metric of a run over some turns: its statistics summed by cluster, and how to compute values from sums.

    `cluster_sums` is (clusters, columns), `summarise` maps (n, columns) to (n, 1). `measured_as` says how the
    statistics were measured: two runs can be compared only if it is the same.
    """

    run: str
    spec: MetricSpec
    measured_as: str
    cluster_sums: Matrix
    summarise: Summarise

    @property
    def clusters(self) -> int:
        """The number of independent units."""
        return len(self.cluster_sums)

    def value(self) -> float:
        """Return the metric over all of these turns; NaN if it is undefined."""
        return float(self.summarise(self.cluster_sums.sum(axis=0, keepdims=True))[0, 0])

    def resampled(self, resampling: Resampling) -> Matrix:
        """Return (resamples, 1) values over resampled clusters."""
        return self.summarise(resample_weights(self.clusters, resampling) @ self.cluster_sums)

    def leaving_one_out(self) -> Matrix:
        """Return (clusters, 1) values, each leaving out one cluster."""
        return self.summarise(self.cluster_sums.sum(axis=0) - self.cluster_sums)

    def estimate(self, resampling: Resampling) -> Estimate | None:
        """Return the value with its interval; None without a value. A single cluster allows no interval."""
        import numpy as np

        value = self.value()
        if isnan(value):
            return None
        if self.clusters < 2:
            return Estimate(value, None, None)
        draws, jackknife = self.resampled(resampling), self.leaving_one_out()
        low, high = intervals(np.array([value]), draws, jackknife, resampling.method)[0] or (None, None)
        return Estimate(value, low, high)


def estimates(sums: Matrix, summarise: Summarise, resampling: Resampling, clusters: int) -> list[Estimate | None]:
    """Return all values that `summarise` computes from (clusters, columns) sums, with percentile intervals.

    `clusters` is the number of rows that contain any of the turns in question: subsets of turns share the resamples of
    all turns. None for an undefined value.
    """
    values = summarise(sums.sum(axis=0, keepdims=True))[0]
    bounds: list[tuple[float, float] | None] = [None] * len(values)
    if clusters > 1:
        bounds = percentile_interval(summarise(resample_weights(len(sums), resampling) @ sums), clusters)
    return [
        None if isnan(value) else Estimate(float(value), *(interval or (None, None)))
        for value, interval in zip(values, bounds, strict=True)
    ]


def compare_metrics(baseline: MetricSums, candidate: MetricSums, resampling: Resampling) -> Paired | None:
    """Compare two runs over the same clusters; None if one has no value, or they were measured differently."""
    if baseline.measured_as != candidate.measured_as:
        return None
    return compare_sums(baseline.cluster_sums, candidate.cluster_sums, baseline.summarise, resampling)[0]


def difference(a: MetricSums, b: MetricSums, resampling: Resampling) -> Estimate | None:
    """Return B - A over the same clusters, however each was measured, with a paired interval; None without a value."""
    import numpy as np

    value = b.value() - a.value()
    if isnan(value):
        return None
    if a.clusters < 2:
        return Estimate(value, None, None)
    draws = b.resampled(resampling) - a.resampled(resampling)
    jackknife = b.leaving_one_out() - a.leaving_one_out()
    low, high = intervals(np.array([value]), draws, jackknife, resampling.method)[0] or (None, None)
    return Estimate(value, low, high)


def tie_groups(metrics: Sequence[MetricSums], seed: int) -> dict[str, int]:
    """Return the tie group of each run (1 is best), for one metric over the same clusters.

    From the best run down, a group ends at the first run that differs from the group's best, by the permutation test
    with Holm's correction over all pairs of runs. Empty if the runs were measured differently, or over one cluster.
    """
    if not metrics or len({sums.measured_as for sums in metrics}) > 1 or metrics[0].clusters < 2:
        return {}
    sign = -1 if metrics[0].spec.higher_is_better else 1
    order = sorted(metrics, key=lambda sums: (sign * sums.value(), sums.run))
    differs = _differing_pairs(order, seed)
    groups, first, group = {}, 0, 1
    for index, sums in enumerate(order):
        if (first, index) in differs:
            first, group = index, group + 1
        groups[sums.run] = group
    return groups


def can_differ(runs: int, clusters: int) -> bool:
    """Whether `tie_groups` can find any difference between this many runs over this many clusters."""
    pairs = runs * (runs - 1) // 2
    return pairs * smallest_p(clusters) < SIGNIFICANCE


def _differing_pairs(order: Sequence[MetricSums], seed: int) -> set[tuple[int, int]]:
    """Return the pairs of runs, by index, that differ significantly."""
    if not can_differ(len(order), order[0].clusters):
        return set()
    pairs = list(combinations(range(len(order)), 2))
    p = [permutation_test(order[a].cluster_sums, order[b].cluster_sums, order[a].summarise, seed)[0] for a, b in pairs]
    corrected = holm([1.0 if value is None else value for value in p])
    return {pair for pair, value in zip(pairs, corrected, strict=True) if value < SIGNIFICANCE}


def tests_signature(resampling: Resampling) -> str:
    """Describe how differences are tested, for readers of a comparison."""
    return (
        f"p:permutation,two-sided,by:{resampling.unit},permutations:{PERMUTATIONS},seed:{resampling.seed},"
        "correction:holm"
    )
