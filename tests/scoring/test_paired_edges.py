"""Paired tests on numbers small enough to count by hand."""

import numpy as np
import pytest

from cscbench.scoring.bootstrap import IntervalMethod, Resampling
from cscbench.scoring.paired import (
    Paired,
    bootstrap_p,
    compare_sums,
    holm,
    minimum_detectable_effect,
    permutation_test,
    smallest_p,
    standard_error,
)
from cscbench.scoring.scorer import ratio


def share(sums):
    """Pairs of columns as ratios, in percent."""
    return ratio(sums[:, 0::2], sums[:, 1::2])


def rows(*hits, turns=1):
    """Clusters of as many turns, with so many hits."""
    return np.array([[hit, turns] for hit in hits], dtype=float)


def p_value(a, b, summarise=share, seed=0):
    (p,) = permutation_test(a, b, summarise, seed)
    return p


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [
        ((0, 0), (1, 1), 2 / 4),
        ((0, 0, 0), (1, 1, 1), 2 / 8),
        ((0, 0, 1), (1, 1, 0), 8 / 8),  # all swaps leave a difference of 1 or 3
        ((0, 0, 0), (3, 2, 0), 4 / 8),
        ((0, 0, 0), (3, -2, 1), 6 / 8),
        ((2, 2), (2, 2), 1.0),
    ],
)
def test_every_swap_of_few_clusters_is_counted(a, b, p):
    assert p_value(rows(*a), rows(*b)) == pytest.approx(p)
    assert p_value(rows(*b), rows(*a)) == pytest.approx(p)


def test_small_numbers_are_not_taken_for_rounding_and_rounding_not_for_a_difference():
    a, b = rows(0, 0, 0), rows(1e-7, 2e-7, 4e-7)
    assert p_value(a, b) == pytest.approx(2 / 8)
    # 0.1 + 0.2 + 0.3 in another order differs in the last bit: the mirror image counts all the same.
    assert p_value(rows(0, 0, 0), rows(0.1, 0.2, 0.3)) == pytest.approx(2 / 8)


def test_a_swap_that_leaves_no_value_counts_against_the_difference():
    a, b = np.array([[0.0, 1], [0, 0]]), np.array([[0.0, 0], [1, 1]])
    assert p_value(a, b) == 1.0
    assert permutation_test(rows(0, 0, turns=0), rows(1, 1), share, 0) == [None]


def test_from_fourteen_clusters_on_swaps_are_drawn():
    exact = p_value(rows(*[0] * 13), rows(*[1] * 13))
    assert exact == pytest.approx(2 / 2**13) == pytest.approx(smallest_p(13))
    drawn = p_value(rows(*[0] * 14), rows(*[1] * 14), seed=1)
    assert drawn * 10_001 == pytest.approx(round(drawn * 10_001))
    assert 1 <= round(drawn * 10_001) <= 8
    assert p_value(rows(*[0] * 30), rows(*[1] * 30)) == 1 / 10_001
    assert smallest_p(14) == pytest.approx(1 / 10_001)
    assert smallest_p(2) == pytest.approx(0.5)
    close = rows(*[0] * 20, *[1] * 10), rows(*[1] * 20, *[0] * 10)
    assert p_value(*close, seed=1) == p_value(*close, seed=1) != p_value(*close, seed=2)


def test_several_metrics_are_compared_at_once_and_one_without_a_value_is_none():
    a = np.array([[1.0, 4, 0, 0], [2, 4, 0, 0], [3, 4, 0, 0]])
    b = np.array([[3.0, 4, 1, 2], [2, 4, 0, 0], [4, 4, 0, 0]])
    first, second = compare_sums(a, b, share, Resampling())
    assert second is None
    assert (first.a, first.b, first.difference) == pytest.approx((50.0, 75.0, 25.0))
    assert first.wins == pytest.approx(2.5 / 3)
    assert first.p == pytest.approx(p_value(a[:, :2], b[:, :2]))
    assert compare_sums(b, a, share, Resampling())[1] is None
    alone = compare_sums(a[:, :2], b[:, :2], share, Resampling())[0]
    assert first == alone


def test_a_single_cluster_has_a_difference_and_nothing_beside():
    first, second = compare_sums(np.array([[1.0, 4, 0, 0]]), np.array([[3.0, 4, 1, 1]]), share, Resampling())
    assert first == Paired(25.0, 75.0, 50.0, None, None, None, None, None)
    assert second is None
    assert compare_sums(rows(1, 2), rows(3, 4), share, Resampling())[0].interval is not None


def test_intervals_errors_and_p_come_from_the_same_resamples():
    changes = np.array([20.0, 0.0, -10.0, 40.0, 10.0, 70.0])
    a, b = rows(*[5.0] * 6), rows(*(5.0 + changes))
    paired = compare_sums(a, b, lambda sums: share(sums) / 100, Resampling(resamples=20_000, seed=4))[0]
    assert paired.difference == pytest.approx(changes.mean())
    # The bootstrap's error, made whole by sqrt(n / (n - 1)), is the textbook's.
    assert paired.error == pytest.approx(changes.std(ddof=1) / 6**0.5, rel=0.02)
    low, high = paired.interval
    assert low < paired.difference < high
    assert (high - low) / 2 == pytest.approx(2.57 * paired.error, rel=0.1)  # Student's t of 5 degrees of freedom
    assert paired.p_bootstrap == pytest.approx(0.03, abs=0.025)
    bca = compare_sums(a, b, share, Resampling(seed=4, method=IntervalMethod.BCA))[0].interval
    assert bca != compare_sums(a, b, share, Resampling(seed=4))[0].interval


def test_draws_without_a_value_leave_the_error_to_the_others():
    a = np.array([[0.0, 0], [0, 0], [1, 2], [0, 0]])
    b = np.array([[1.0, 1], [0, 0], [2, 2], [0, 1]])
    (paired,) = compare_sums(a, b, share, Resampling())
    assert 0 < paired.error < 100
    assert paired.interval is not None
    assert paired.wins == pytest.approx(1.0)  # of the one cluster in which both have a value


def test_the_standard_error_of_draws():
    assert standard_error(np.array([1.0, 3.0]), 2) == pytest.approx(2.0)  # sqrt(2) x sqrt(2 / 1)
    assert standard_error(np.array([1.0, 2.0, 3.0]), 5) == pytest.approx((5 / 4) ** 0.5)
    assert standard_error(np.array([1.0]), 5) is None


def test_a_bootstrap_p_counts_what_lies_farther_from_the_mean_than_the_difference():
    draws = np.array([1.0, -3.0, 2.0, 10.0])  # sizes less their mean of 4: -3, -1, -2, 6
    assert bootstrap_p(draws, 5.0) == 2 / 5
    assert bootstrap_p(draws, -5.0) == 2 / 5
    assert bootstrap_p(draws, 6.0) == 1 / 5


def test_wins_count_a_tie_half_and_rounding_as_a_tie():
    paired = compare_sums(rows(1, 2, 3, 4), rows(1 + 1e-13, 1, 4, 5), share, Resampling())[0]
    assert paired.wins == pytest.approx(2.5 / 4)
    less = compare_sums(rows(0, 0), rows(1e-6, 1e-6), share, Resampling())[0]
    assert less.wins == 1.0


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([], []),
        ([0.2], [0.2]),
        ([0.6, 0.6], [1.0, 1.0]),
        ([0.01, 0.02, 0.03], [0.03, 0.04, 0.04]),
        ([0.5, 0.001], [0.5, 0.002]),
    ],
)
def test_holm_multiplies_by_what_is_left_to_test(p, adjusted):
    assert holm(p) == pytest.approx(adjusted)


def test_the_detectable_effect_is_for_five_percent_and_a_power_of_four_fifths():
    assert minimum_detectable_effect(2.0, 10**7) == pytest.approx(2 * (1.959964 + 0.841621), abs=1e-5)
    assert minimum_detectable_effect(1.0, 10**7, significance=0.1, power=0.9) == pytest.approx(
        1.644854 + 1.281552, abs=1e-5
    )
    assert minimum_detectable_effect(1.0, 3) == pytest.approx(4.302653 + 1.060660, abs=1e-5)
