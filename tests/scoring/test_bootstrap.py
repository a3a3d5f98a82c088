"""Intervals at their edges: single clusters, ties, one-sided draws, and statistics that are no ratio."""

from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from cscbench.scoring.bootstrap import (
    LEVEL,
    IntervalMethod,
    Resampling,
    estimate_by_cluster,
    intervals,
    percentile_interval,
    resample_weights,
    sum_by_cluster,
    tail_share,
)

BCA = IntervalMethod.BCA


def bca(point, draws, jackknife):
    """The BCa interval of one value."""
    column = [np.array(values, dtype=float)[:, None] for values in (draws, jackknife)]
    return intervals(np.array([point]), *column, BCA)[0]


def percentile(draws, clusters):
    return percentile_interval(np.array(draws, dtype=float)[:, None], clusters)[0]


def test_what_was_not_measured_counts_for_nothing():
    rows = np.array([[1.0, 2.0], [np.nan, 5.0], [3.0, 4.0]])
    assert sum_by_cluster(rows, np.array([0, 0, 1]), 3).tolist() == [[1, 2], [3, 4], [0, 0]]


def test_defaults_are_what_signatures_of_old_results_say():
    assert LEVEL == 95.0
    assert Resampling().signature() == "ci:95%,percentile,expanded,by:dialogue,resamples:1000,seed:0"


def test_weights_are_shared_and_cannot_be_changed():
    weights = resample_weights(5, Resampling())
    with pytest.raises(ValueError, match="read-only"):
        weights[0, 0] = 9
    assert weights.shape == (1000, 5)


@pytest.mark.parametrize(
    ("points", "value", "interval"),
    [
        ([], None, False),
        ([("a", 1.0), ("a", 3.0)], 2.0, False),
        ([("a", 1.0), ("b", 3.0)], 2.0, True),
        ([("a", -1.0), ("b", -1.0)], None, False),
    ],
)
def test_a_statistic_has_an_interval_over_two_clusters_or_more(points, value, interval):
    def mean_above_zero(values):
        return fmean(values) if fmean(values) > 0 else None

    estimate = estimate_by_cluster(points, mean_above_zero, Resampling(resamples=200))
    if value is None:
        assert estimate is None
    else:
        assert estimate.value == value
        assert (estimate.low is not None) == (estimate.high is not None) == interval
        assert not interval or (estimate.low, estimate.high) == (1.0, 3.0)


def test_a_statistic_is_resampled_by_whole_clusters_and_left_out_where_it_has_no_value():
    points = [("a", 1.0), ("a", 1.0), ("a", 1.0), ("b", 5.0)]

    def mean_with_a_five(values):
        return fmean(values) if 5.0 in values else None

    weights = resample_weights(2, Resampling(resamples=50))
    expected = [(3 * a + 5 * b) / (3 * a + b) for a, b in weights if b]
    estimate = estimate_by_cluster(points, mean_with_a_five, Resampling(resamples=50))
    assert (estimate.low, estimate.high) == percentile(expected, 2)


def test_no_draw_with_a_value_has_no_interval_and_a_single_one_has():
    nothing = [np.nan] * 3
    assert percentile(nothing, 5) is None
    assert percentile([np.nan, 4.0], 5) == (4.0, 4.0)
    assert bca(1.0, nothing, [1, 2, 3]) is None


def test_the_tail_of_few_clusters_is_students():
    # Hesterberg 2015, section 5.3: 0.019 for 30 clusters.
    assert tail_share(30) == pytest.approx(0.019, abs=5e-4)
    assert tail_share(2) == pytest.approx(stats.norm.cdf(stats.t(1).ppf(0.025) * 2**0.5))


def test_draws_on_one_side_of_the_value_fall_back_to_the_percentile_interval():
    draws = np.arange(101.0)
    for point in (-1.0, 101.0):
        assert bca(point, draws, [1, 2, 3, 9]) == percentile(draws, 4)


def test_draws_that_equal_the_value_count_half_to_each_side():
    # Symmetric around the value, with as many ties as one likes: nothing to correct.
    draws = [4.0] * 30 + [5.0] * 41 + [6.0] * 30 + [7.0] * 5 + [3.0] * 5
    assert bca(5.0, draws, [1, 2, 3]) == percentile(draws, 3)
    # A single draw that is the value itself is neither above nor below.
    assert bca(5.0, [5.0], [1, 2, 3]) == (5.0, 5.0)


def efron(point, draws, jackknife, clusters):
    """BCa by the formulas of Efron and Tibshirani 1993, (14.10), (14.14) and (14.15)."""
    draws, jackknife = np.sort(draws), np.asarray(jackknife)
    z0 = stats.norm.ppf((np.sum(draws < point) + np.sum(draws <= point)) / 2 / len(draws))
    pull = np.mean(jackknife) - jackknife
    skew = np.sum(pull**3) / (6 * np.sum(pull**2) ** 1.5) if np.ptp(jackknife) else 0.0
    ends = []
    for share in (tail_share(clusters), 1 - tail_share(clusters)):
        z = z0 + stats.norm.ppf(share)
        ends.append(np.quantile(draws, stats.norm.cdf(z0 + z / (1 - skew * z))))
    return tuple(ends)


@pytest.mark.parametrize(
    ("point", "jackknife"),
    [(0.3, [1.0, 1.1, 1.3, 5.0]), (-0.4, [5.0, 4.9, 4.0, -3.0, 4.4]), (0.1, [2.0, 2.0, 2.0])],
)
def test_bca_is_efrons(point, jackknife):
    draws = np.random.default_rng(0).normal(0.2, 1, 2001).round(1)
    interval = bca(point, draws, [*jackknife, np.nan])
    assert interval == pytest.approx(efron(point, draws, jackknife, len(jackknife) + 1), abs=1e-12)
    assert interval != percentile(draws, len(jackknife) + 1)


def test_draws_without_a_value_are_left_out_of_bca():
    draws = np.random.default_rng(1).normal(0, 1, 500)
    holes = np.concatenate([draws, [np.nan] * 100])
    assert bca(0.2, holes, [1, 2, 4]) == bca(0.2, draws, [1, 2, 4])
