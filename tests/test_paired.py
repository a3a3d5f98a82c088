"""Paired intervals and tests: against scipy and sacrebleu on the same numbers, and by their laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest
from scipy import stats as scipy_stats

from cscbench.scoring.bootstrap import IntervalMethod, Resampling, intervals, resample_weights, tail_share
from cscbench.scoring.paired import (
    PERMUTATIONS,
    bootstrap_p,
    compare_sums,
    holm,
    minimum_detectable_effect,
    permutation_test,
)
from cscbench.scoring.scorer import ScoringContext, ratio
from cscbench.scoring.scorers.bleu import BleuScorer
from cscbench.values import CSC, Condition, Language, ParseForm, ScoredPair

WORDS = ["your", "parcel", "left", "our", "warehouse", "today", "sorry", "for", "a", "delay", "refund", "soon"]


def rate(sums):
    """Hits of turns, in percent."""
    return ratio(sums[:, :1], sums[:, 1:])


def hits(counts):
    """(dialogues, 2) sums, four turns each."""
    return np.array([[hit, 4] for hit in counts], dtype=float)


COUNTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=9)


@given(counts=COUNTS)
def test_few_dialogues_are_permuted_exactly_as_scipy_does(counts):
    a, b = (hits(side) for side in zip(*counts, strict=True))
    (p,) = permutation_test(a, b, rate, seed=0)
    reference = scipy_stats.permutation_test(
        (b[:, 0], a[:, 0]), lambda x, y: np.sum(x) - np.sum(y), permutation_type="samples", n_resamples=np.inf
    )
    # scipy doubles the smaller tail; the distribution is symmetric, so that is the same unless all is tied.
    assert p == pytest.approx(min(1.0, reference.pvalue))


def test_many_dialogues_are_permuted_at_random_near_the_normal_answer():
    generator = np.random.default_rng(1)
    a = hits(generator.binomial(4, 0.5, 300))
    b = hits(generator.binomial(4, 0.57, 300))
    assert PERMUTATIONS < 1 << 300
    (p,) = permutation_test(a, b, rate, seed=0)
    assert p == pytest.approx(scipy_stats.ttest_rel(b[:, 0], a[:, 0]).pvalue, abs=0.01)
    assert permutation_test(a, b, rate, seed=0) == [p]


@given(counts=COUNTS)
def test_a_system_against_itself_is_no_different_from_itself(counts):
    sums = hits([left for left, _ in counts])
    (paired,) = compare_sums(sums, sums, rate, Resampling())
    assert (paired.difference, paired.interval, paired.error) == (0, (0, 0), 0)
    assert paired.p == 1
    assert paired.wins == 0.5


@given(counts=COUNTS)
def test_the_other_way_round_all_signs_turn(counts):
    a, b = (hits(side) for side in zip(*counts, strict=True))
    (there,), (back,) = compare_sums(a, b, rate, Resampling()), compare_sums(b, a, rate, Resampling())
    assert there.difference == -back.difference
    assert there.interval == pytest.approx([-bound for bound in reversed(back.interval)])
    assert (there.p, there.p_bootstrap) == pytest.approx((back.p, back.p_bootstrap))
    assert there.wins == pytest.approx(1 - back.wins)


def test_one_dialogue_says_nothing_about_others():
    (paired,) = compare_sums(hits([1]), hits([3]), rate, Resampling())
    assert (paired.a, paired.b, paired.difference) == (25, 75, 50)
    assert (paired.interval, paired.error, paired.p, paired.p_bootstrap, paired.wins) == (None,) * 5


def test_a_metric_without_a_value_is_not_compared():
    nothing = np.zeros((5, 2))
    assert compare_sums(nothing, hits([1, 2, 3, 4, 0]), rate, Resampling()) == [None]


def test_one_turn_a_dialogue_is_sacrebleus_own_paired_bootstrap():
    generator = np.random.default_rng(7)

    def texts(keep):
        return [" ".join(w if generator.random() < keep else "x" for w in line.split()) for line in references]

    references = [" ".join(generator.choice(WORDS, 12)) for _ in range(80)]
    for keep in (0.80, 0.83):
        systems = texts(0.80), texts(keep)
        bleu = BleuScorer(ScoringContext((Language.EN,), Condition.JOINT, CSC))
        a, b = (
            bleu.measure(
                [
                    ScoredPair(str(n), 1, Language.EN, "", "GT", reference, "GT", text, ParseForm.BRACKET)
                    for n, (text, reference) in enumerate(zip(side, references, strict=True))
                ]
            )
            for side in systems
        )
        paired = compare_sums(a, b, bleu.summarise, Resampling(resamples=5000))[1]
        named = [("a", systems[0]), ("b", systems[1])]
        _, scores = PairedTest(named, {"BLEU": BLEU()}, [references], test_type="bs", n_samples=5000)()
        assert (paired.a, paired.b) == pytest.approx([score.score for score in scores["BLEU"]], abs=1e-3)
        # Two estimates of one p from 5,000 draws each: four standard errors of their difference.
        theirs = scores["BLEU"][1].p_value
        assert paired.p_bootstrap == pytest.approx(theirs, abs=4 * (2 * theirs * (1 - theirs) / 5000) ** 0.5 + 1e-3)


def test_bca_is_scipys():
    generator = np.random.default_rng(2)
    values = generator.exponential(1, 40)

    def mean(sums):
        return sums[:, :1] / sums[:, 1:]

    sums = np.stack([values, np.ones(40)], axis=1)
    weights = resample_weights(40, Resampling(resamples=40_000))
    bca = intervals(
        mean(sums.sum(axis=0)[None])[0], mean(weights @ sums), mean(sums.sum(axis=0) - sums), IntervalMethod.BCA
    )[0]
    wide = 1 - 2 * tail_share(40)
    reference = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="BCa", confidence_level=wide, rng=3
    ).confidence_interval
    plain = intervals(np.zeros(1), mean(weights @ sums), sums, IntervalMethod.PERCENTILE)[0]
    assert bca == pytest.approx(reference, abs=0.012)
    assert bca[1] > plain[1] + 0.012, "skewed values shift it"


def test_a_share_of_resamples_below_the_difference_makes_no_tail():
    assert bootstrap_p(np.array([1.0, 2.0, 3.0]), 5.0) == 1 / 4


@given(p=st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_helps_and_keeps_the_order(p):
    adjusted = holm(p)
    assert all(raw <= holm_p <= 1 for raw, holm_p in zip(p, adjusted, strict=True))
    order = np.argsort(p, kind="stable")
    assert list(np.array(adjusted)[order]) == sorted(adjusted)


def test_holm_of_a_worked_example():
    # Four p values at 0.05, by hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, and the last raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_detectable_difference_is_2_8_standard_errors():
    assert minimum_detectable_effect(1.0, 10_000_000) == pytest.approx(1.959964 + 0.841621, abs=1e-6)
    assert minimum_detectable_effect(0.5, 31, power=0.5) == pytest.approx(
        0.5 * 2.042272, abs=1e-6
    )  # t table, 30 degrees of freedom
