"""Intervals over dialogues: against a slow bootstrap, by their laws, and by their coverage."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from scipy.stats import norm, t
from sklearn.metrics import accuracy_score, f1_score

from cscbench.scoring.bootstrap import (
    Resampling,
    cluster_numbers,
    percentile_interval,
    resample_weights,
    sum_by_cluster,
    tail_share,
)
from cscbench.scoring.plan import ScoringPlan
from cscbench.scoring.score import build_scorers, score
from cscbench.scoring.scorer import ScoringContext, ratio
from cscbench.scoring.scorers.bleu import BleuScorer
from cscbench.scoring.scorers.rouge import RougeScorer
from cscbench.scoring.scorers.strategy import StrategyScorer
from cscbench.values import CSC, Condition, Language, ParseForm, ScoredPair

SETTING = ScoringContext((Language.EN,), Condition.JOINT, CSC)
WORDS = ["your", "parcel", "left", "our", "warehouse", "today", "sorry", "refund"]
TEXT = st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join)
CODE = st.sampled_from(["GT", "EM", "ID"])


@st.composite
def turns(draw: st.DrawFn) -> list[ScoredPair]:
    """Turns of up to five dialogues, in any order."""
    drawn = draw(st.lists(st.tuples(st.integers(0, 4), CODE, st.none() | CODE, TEXT, TEXT), min_size=1, max_size=16))
    return [
        ScoredPair(f"d{dialogue}", turn, Language.EN, "", gold, f"{text} end", said, reply, ParseForm.BRACKET)
        for turn, (dialogue, gold, said, text, reply) in enumerate(drawn)
    ]


@settings(deadline=None)
@given(pairs=turns(), scorer=st.sampled_from([BleuScorer, RougeScorer, StrategyScorer]))
def test_summing_over_dialogues_first_changes_no_value(pairs, scorer):
    built = scorer(SETTING)
    rows = built.measure(pairs)
    numbers = cluster_numbers([pair.dialogue for pair in pairs])
    sums = sum_by_cluster(rows, numbers, int(numbers.max()) + 1)
    whole = built.summarise(rows.sum(axis=0, keepdims=True))
    assert built.summarise(sums.sum(axis=0, keepdims=True)) == pytest.approx(whole, abs=1e-9)
    assert len(sums) == len({pair.dialogue for pair in pairs})


@settings(deadline=None)
@given(pairs=turns(), cut=st.integers(0, 16), scorer=st.sampled_from([BleuScorer, RougeScorer, StrategyScorer]))
def test_shards_measured_apart_add_up(pairs, cut, scorer):
    built = scorer(SETTING)
    apart = np.concatenate([built.measure(pairs[:cut]), built.measure(pairs[cut:])])
    assert np.array_equal(apart, built.measure(pairs))


def test_dialogues_are_numbered_by_first_appearance_and_summed_under_that_number():
    numbers = cluster_numbers(["b", "a", "b", "c"])
    assert numbers.tolist() == [0, 1, 0, 2]
    rows = np.array([[1.0, 10], [2, 20], [4, 40], [8, 80]])
    assert sum_by_cluster(rows, numbers, 3).tolist() == [[5, 50], [2, 20], [8, 80]]


def test_a_resample_draws_as_many_dialogues_as_there_are_with_replacement():
    weights = resample_weights(30, Resampling(resamples=2000, seed=3))
    assert weights.shape == (2000, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert (weights >= 0).all()
    assert np.array_equal(weights, weights.round())
    # Each count is binomial(n, 1/n): mean 1, variance 1 - 1/n; standard errors over 60,000 counts are below 0.01.
    assert weights.mean(axis=0) == pytest.approx(np.ones(30), abs=0.1)
    assert weights.var() == pytest.approx(1 - 1 / 30, abs=0.03)


def test_the_same_seed_draws_the_same_and_another_does_not():
    first = resample_weights(20, Resampling(seed=5))
    assert np.array_equal(first, resample_weights(20, Resampling(seed=5)))
    assert not np.array_equal(first, resample_weights(20, Resampling(seed=6)))


def test_of_many_dialogues_an_interval_lies_between_the_2_5th_and_the_97_5th_percentile():
    values = np.stack([np.arange(1001.0), np.full(1001, np.nan), np.full(1001, 7.0)], axis=1)
    values[::2, 2] = np.nan  # resamples without a relevant turn are left out
    first, *others = percentile_interval(values, 1_000_000)
    assert first == pytest.approx((25, 975), abs=0.01)
    assert others == [None, (7, 7)]


@pytest.mark.parametrize("dialogues", [3, 10, 30, 400])
@pytest.mark.parametrize("level", [90.0, 95.0])
def test_of_normal_means_it_is_student_s(dialogues, level):
    """Resampled means of n normal values with spread s have the spread s x sqrt((n - 1) / n) / sqrt(n)."""
    low = norm(scale=((dialogues - 1) / dialogues) ** 0.5).ppf(tail_share(dialogues, level))
    assert low == pytest.approx(t(dialogues - 1).ppf(0.5 - level / 200), rel=1e-6)


def test_a_signature_says_how_the_interval_was_made():
    assert (
        Resampling(resamples=200, seed=9).signature() == "ci:95%,percentile,expanded,by:dialogue,resamples:200,seed:9"
    )


def _simulated(dialogues: int, seed: int) -> list[ScoredPair]:
    random = np.random.default_rng(seed)
    pairs = []
    for number in range(dialogues):
        for turn in range(int(random.integers(2, 9))):
            reference = " ".join(random.choice(WORDS, size=6))
            reply = reference if random.random() < 0.2 else " ".join(random.choice(WORDS, size=5))
            gold, said = random.choice(["GT", "EM", "ID"], size=2)
            label = str(said) if random.random() < 0.9 else None
            pairs.append(
                ScoredPair(f"d{number}", turn, Language.EN, "", str(gold), reference, label, reply, ParseForm.BRACKET)
            )
    return pairs


def _slowly(pairs: list[ScoredPair]) -> dict[str, float]:
    """The metrics of some turns, each by the package that defines it."""
    gold, said = [pair.reference_strategy for pair in pairs], [pair.strategy or "unparsed" for pair in pairs]
    bleu = BLEU(max_ngram_order=2).corpus_score([p.text for p in pairs], [[p.reference for p in pairs]])
    return {
        "strategy_accuracy": 100 * accuracy_score(gold, said),
        "strategy_macro_f1": 100 * f1_score(gold, said, labels=sorted(set(gold)), average="macro", zero_division=0),
        "bleu_2": bleu.score,
    }


def test_intervals_equal_a_slow_bootstrap_that_copies_dialogues():
    pairs = _simulated(12, seed=1)
    resampling = Resampling(resamples=60, seed=2)
    plan = ScoringPlan(("strategy", "bleu"), (Language.EN,), Condition.JOINT, CSC, None, resampling, "")
    metrics = {metric.name: metric for metric in score(pairs, build_scorers(plan), plan).metrics}
    names = list(dict.fromkeys(pair.dialogue for pair in pairs))
    drawn = []
    for counts in resample_weights(len(names), resampling):
        copies = Counter(dict(zip(names, counts.astype(int), strict=True)))
        drawn.append(_slowly([pair for name in copies.elements() for pair in pairs if pair.dialogue == name]))
    for name, value in _slowly(pairs).items():
        low, high = np.quantile([sample[name] for sample in drawn], [tail_share(12), 1 - tail_share(12)])
        metric = metrics[name]
        assert (metric.value, metric.low, metric.high) == pytest.approx((value, low, high), abs=1e-6)
        assert low < value < high


def test_intervals_over_dialogues_cover_the_truth_where_intervals_over_turns_do_not():
    random = np.random.default_rng(11)
    trials, dialogues, length, truth = 300, 40, 12, 60.0
    covered = {"dialogue": 0, "turn": 0}
    for trial in range(trials):
        # Turns of one dialogue go well or badly together: each has its own rate of success, of mean 0.6.
        rates = random.beta(1.8, 1.2, size=dialogues)
        outcomes = (random.random((dialogues, length)) < rates[:, None]).astype(float)
        rows = np.stack([outcomes.ravel(), np.ones(outcomes.size)], axis=1)
        for unit, names in (
            ("dialogue", [str(number // length) for number in range(len(rows))]),
            ("turn", [str(number) for number in range(len(rows))]),
        ):
            numbers = cluster_numbers(names)
            sums = sum_by_cluster(rows, numbers, len(set(names)))
            weighted = resample_weights(len(sums), Resampling(resamples=200, seed=trial)) @ sums
            interval = percentile_interval(ratio(weighted[:, :1], weighted[:, 1:]), len(sums))[0]
            covered[unit] += interval is not None and interval[0] <= truth <= interval[1]
    assert 0.89 <= covered["dialogue"] / trials <= 0.985
    assert covered["turn"] / trials < 0.8
