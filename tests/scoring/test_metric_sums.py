"""Metrics as sums: values, intervals and differences from the same resamples, and who ties with whom."""

import numpy as np
import pytest

from cscbench.scoring import metric_sums
from cscbench.scoring.bootstrap import IntervalMethod, Resampling, estimate_by_cluster
from cscbench.scoring.metric_sums import (
    MetricSums,
    can_differ,
    compare_metrics,
    difference,
    estimates,
    tie_groups,
)
from cscbench.scoring.scorer import MetricSpec, ratio

METHODS = list(IntervalMethod)


def share(sums):
    """Hits of turns, in percent."""
    return ratio(sums[:, :1], sums[:, 1:])


def metric(run, hits, turns=10.0, *, measured_as="m", higher_is_better=True) -> MetricSums:
    """A share over clusters of as many turns."""
    table = np.stack([np.array(hits, dtype=float), np.full(len(hits), turns)], axis=1)
    return MetricSums(run, MetricSpec("share", "", higher_is_better), measured_as, table, share)


def slowly(points, resampling):
    """The mean and its percentile interval, by copying points."""
    return estimate_by_cluster([(str(number), point) for number, point in enumerate(points)], np.mean, resampling)


def rounded(estimate):
    return tuple(value and round(value, 9) for value in (estimate.value, estimate.low, estimate.high))


def test_a_value_is_that_of_all_sums_and_an_estimate_adds_its_interval():
    sums = metric("a", [1, 5, 9, 4])
    assert (sums.clusters, sums.value()) == (4, pytest.approx(47.5))
    resampling = Resampling(resamples=300, seed=3)
    assert rounded(sums.estimate(resampling)) == rounded(slowly([10.0, 50.0, 90.0, 40.0], resampling))
    assert sums.leaving_one_out()[:, 0] == pytest.approx([60, 140 / 3, 100 / 3, 50])


def test_bca_moves_the_interval_of_a_skewed_metric():
    sums = metric("a", [0, 0, 1, 0, 1, 0, 10, 0, 1, 0])
    plain, moved = (sums.estimate(Resampling(method=method)) for method in METHODS)
    assert plain.value == moved.value
    assert moved.low > plain.low
    assert moved.high > plain.high


@pytest.mark.parametrize("method", METHODS)
def test_one_cluster_has_a_value_only_and_no_turn_has_nothing(method):
    resampling = Resampling(method=method)
    estimate = metric("a", [4]).estimate(resampling)
    assert (estimate.value, estimate.low, estimate.high) == (pytest.approx(40.0), None, None)
    assert metric("a", [4, 4]).estimate(resampling).low is not None
    assert metric("a", [0, 0], turns=0.0).estimate(resampling) is None


def test_several_values_are_estimated_at_once():
    def both(sums):
        return np.concatenate([share(sums[:, :2]), share(sums[:, 2:])], axis=1)

    table = np.array([[1.0, 10, 0, 0], [5, 10, 0, 0], [9, 10, 0, 0]])
    first, second = estimates(table, both, Resampling(), 3)
    assert rounded(first) == rounded(slowly([10.0, 50.0, 90.0], Resampling()))
    assert second is None
    first, second = estimates(table, both, Resampling(), 1)
    assert (first.value, first.low, second) == (pytest.approx(50.0), None, None)
    many = np.array([[hits, 10.0, 0, 0] for hits in range(10)])
    assert estimates(many, both, Resampling(), 2)[0].low < estimates(many, both, Resampling(), 30)[0].low


def test_runs_compare_where_they_were_measured_alike():
    a, b = metric("a", [1, 5, 9, 4]), metric("b", [3, 5, 9, 8])
    paired = compare_metrics(a, b, Resampling())
    assert (paired.a, paired.b, paired.difference) == pytest.approx((47.5, 62.5, 15.0))
    assert compare_metrics(a, metric("b", [3, 5, 9, 8], measured_as="other"), Resampling()) is None


@pytest.mark.parametrize("method", METHODS)
def test_a_difference_is_that_of_compare_however_each_was_measured(method):
    a, b = metric("a", [1, 5, 9, 4, 0, 2]), metric("b", [3, 5, 9, 8, 1, 9], measured_as="other")
    resampling = Resampling(seed=2, method=method)
    estimate = difference(a, b, resampling)
    paired = compare_metrics(a, metric("b", [3, 5, 9, 8, 1, 9]), resampling)
    assert estimate.value == pytest.approx(paired.difference) == pytest.approx(70 / 3)
    assert (estimate.low, estimate.high) == pytest.approx(paired.interval)
    if method is IntervalMethod.PERCENTILE:
        assert rounded(estimate) == rounded(slowly([20.0, 0.0, 0.0, 40.0, 10.0, 70.0], resampling))


def test_a_difference_needs_two_values_and_for_an_interval_two_clusters():
    nothing = metric("b", [0, 0], turns=0.0)
    assert difference(metric("a", [1, 2]), nothing, Resampling()) is None
    assert difference(nothing, metric("a", [1, 2]), Resampling()) is None
    alone = difference(metric("a", [1]), metric("b", [3]), Resampling())
    assert (alone.value, alone.low, alone.high) == (pytest.approx(20.0), None, None)
    assert difference(metric("a", [1, 2]), metric("b", [3, 4]), Resampling()).low is not None


def level(run, hits, **options):
    """A run with about as many hits in each of 40 clusters."""
    return metric(run, hits + np.arange(40) % 3, **options)


def test_a_group_ends_at_the_first_run_that_differs_from_its_best():
    runs = [level("low", 0), level("high", 6), level("best", 6), level("middle", 3)]
    assert tie_groups(runs, 0) == {"best": 1, "high": 1, "middle": 2, "low": 3}
    assert list(tie_groups(runs, 0)) == ["best", "high", "middle", "low"]
    lower = [level(sums.run, hits, higher_is_better=False) for sums, hits in zip(runs, (0, 6, 6, 3), strict=True)]
    assert tie_groups(lower, 0) == {"low": 1, "middle": 2, "best": 3, "high": 3}


def test_a_run_between_two_that_differ_stays_with_the_better():
    base = np.array([5.0] * 12)
    best, middle, last = base.copy(), base.copy(), base.copy()
    best[:4] += 1
    last[4:8] -= 1
    groups = tie_groups([metric("a", best), metric("b", middle), metric("c", last)], 0)
    assert groups == {"a": 1, "b": 1, "c": 2}


def test_a_run_without_a_value_ties_with_everyone():
    groups = tie_groups([level("a", 6), level("b", 0, turns=0.0)], 0)
    assert set(groups.values()) == {1}


def test_there_are_no_groups_without_a_common_measure_or_a_second_cluster():
    assert tie_groups([], 0) == {}
    assert tie_groups([metric("a", [1]), metric("b", [2])], 0) == {}
    assert tie_groups([level("a", 1), level("b", 1, measured_as="other")], 0) == {}
    assert tie_groups([metric("a", [1, 2]), metric("b", [9, 9])], 0) == {"a": 1, "b": 1}
    assert tie_groups([level("a", 1)], 0) == {"a": 1}


@pytest.mark.parametrize(
    ("runs", "clusters", "can"),
    [(2, 5, False), (2, 6, True), (3, 6, False), (3, 7, True), (1, 2, True), (33, 99, False)],
)
def test_few_clusters_cannot_show_a_difference_between_many_runs(runs, clusters, can):
    assert can_differ(runs, clusters) is can
    far = [metric(f"r{number}", [3.0 * number] * clusters) for number in range(min(runs, 3))]
    if runs <= 3:
        assert (len(set(tie_groups(far, 0).values())) == runs) is can


def test_a_signature_says_how_differences_are_tested():
    assert metric_sums.tests_signature(Resampling(unit="cluster", seed=3)) == (
        "p:permutation,two-sided,by:cluster,permutations:10000,seed:3,correction:holm"
    )
