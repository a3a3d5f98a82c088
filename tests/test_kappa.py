"""Cohen's kappa: its definition, values counted by hand, and no value where there is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cscbench.content import extras
from cscbench.judging.bias import kappa
from cscbench.scoring.kappa import cohen_kappa
from cscbench.values import UserError

RATINGS = st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("ABC")), min_size=1, max_size=20)
STARS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=20)


def by_definition(left, right, disagreement) -> float:
    """1 minus the ratio of observed disagreement to the disagreement expected by chance."""
    observed = sum(disagreement(a, b) for a, b in zip(left, right, strict=True)) / len(left)
    by_chance = sum(disagreement(a, b) for a in left for b in right) / len(left) ** 2
    return 1 - observed / by_chance


@given(RATINGS)
def test_kappa_is_what_cohen_defined(ratings):
    left, right = zip(*ratings, strict=True)
    if len({*left, *right}) == 1:
        assert cohen_kappa(left, right) is None
    else:
        expected = by_definition(left, right, lambda a, b: a != b)
        assert cohen_kappa(left, right) == pytest.approx(expected, abs=1e-12)
        assert cohen_kappa(right, left) == pytest.approx(expected, abs=1e-12)


@given(STARS)
def test_kappa_of_stars_counts_the_square_of_each_difference(stars):
    points = [(float(a), float(b)) for a, b in stars]
    left, right = zip(*stars, strict=True)
    if len({*left, *right}) == 1:
        assert kappa(points) is None
    else:
        assert kappa(points) == pytest.approx(by_definition(left, right, lambda a, b: (a - b) ** 2), abs=1e-12)


def test_kappa_of_a_table_counted_by_hand():
    # 20 of 50 both yes, 15 both no: 0.7 alike, 0.5 x 0.6 + 0.5 x 0.4 by chance (Cohen's own kind of example).
    left = ["yes"] * 25 + ["no"] * 25
    right = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(left, right) == pytest.approx((0.7 - 0.5) / (1 - 0.5))
    assert cohen_kappa(["a", "a"], ["b", "b"]) == 0
    assert cohen_kappa(["a", "b"], ["b", "a"]) == -1


def test_where_chance_alone_agrees_fully_there_is_no_kappa():
    assert cohen_kappa([], []) is None
    assert cohen_kappa(["a"] * 5, ["a"] * 5) is None
    assert kappa([(4.4, 3.6), (4.0, 4.0)]) is None  # both are 4 whole stars


def test_without_scikit_learn_the_message_has_the_pip_line(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"kappa needs sklearn: pip install \"cscbench\[scores\]\""):
        cohen_kappa(["a", "b"], ["b", "a"])
