"""Differences between two runs: checked against a slow paired bootstrap, scikit-learn, and the runs' own results."""

from collections import Counter

import msgspec
import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sklearn.metrics import accuracy_score, cohen_kappa_score

from cscbench.comparing.agree.agree import agree
from cscbench.comparing.agree.common_turns import common_turns
from cscbench.comparing.agree.scores import differences, strategies
from cscbench.comparing.agree.units import characters
from cscbench.runs.finished import FinishedRun, load
from cscbench.scoring.bootstrap import Resampling, resample_weights, tail_share
from cscbench.values import Condition, Language

ENGLISH = {"language": Language.EN, "limit": 7}


@pytest.fixture(scope="module")
def sides(played):
    """Two very different runs of seven English dialogues: three in four of B's replies are spoiled."""
    return load(played("majority", **ENGLISH)), load(played("parrot+late", **ENGLISH))


def slowly(pairs) -> dict[str, float]:
    """The metrics of some turns, each by the package that defines it."""
    gold, predicted = [pair.reference_strategy for pair in pairs], [pair.strategy or "unparsed" for pair in pairs]
    bleu = BLEU(max_ngram_order=2).corpus_score([p.text for p in pairs], [[p.reference for p in pairs]])
    return {"strategy_accuracy": 100 * accuracy_score(gold, predicted), "bleu_2": bleu.score}


def test_a_difference_and_its_interval_equal_a_slow_bootstrap_that_copies_dialogues(sides):
    a, b = sides
    resampling = Resampling(resamples=60, seed=2)
    both = common_turns(a, b)
    rows, left_out = differences(a, b, both, resampling)
    assert left_out == ()
    by_name = {row.name: row for row in rows}
    names = list(dict.fromkeys(dialogue for dialogue, _ in both.turns))
    drawn = []
    for counts in resample_weights(len(names), resampling):
        copies = list(Counter(dict(zip(names, counts.astype(int), strict=True))).elements())
        turns = [turn for name in copies for turn in both.turns if turn[0] == name]
        # The same dialogues are drawn for both: that makes it paired.
        left, right = (slowly([run.pairs[turn] for turn in turns]) for run in (a, b))
        drawn.append({name: right[name] - left[name] for name in left})
    left, right = (slowly(list(run.pairs.values())) for run in (a, b))
    for name in left:
        tail = tail_share(len(names))
        low, high = np.quantile([values[name] for values in drawn], [tail, 1 - tail])
        row = by_name[name]
        assert (row.a, row.b, row.difference) == pytest.approx((left[name], right[name], right[name] - left[name]))
        assert (row.low, row.high) == pytest.approx((low, high), abs=1e-6)
        assert low < row.difference < high
        assert row.same_signature


def test_over_all_turns_the_values_are_those_that_the_runs_report(sides):
    a, b = sides
    agreement = agree(a, b, characters())
    for run, values in (
        (a, {row.name: row.a for row in agreement.differences}),
        (b, {row.name: row.b for row in agreement.differences}),
    ):
        assert values == pytest.approx({metric.name: metric.value for metric in run.results.metrics}, abs=1e-9)


def test_a_run_agrees_wholly_with_itself(sides):
    for run in sides:
        agreement = agree(run, run, characters())
        assert {(row.difference, row.low, row.high) for row in agreement.differences} == {(0, 0, 0)}
        assert agreement.strategies.same == agreement.strategies.turns
        assert all(group.identical == group.requests for group in agreement.groups)
        assert agreement.divergences == ()
        assert all(fact.same is not False for fact in agreement.facts)


def test_the_other_way_round_differences_change_their_sign_and_nothing_else(sides):
    forward, backward = agree(*sides, characters()), agree(*reversed(sides), characters())
    assert [(d.name, -d.difference) for d in forward.differences] == [
        (d.name, d.difference) for d in backward.differences
    ]
    bounds = [bound for d in forward.differences for bound in (-d.high, -d.low)]
    assert bounds == pytest.approx([bound for d in backward.differences for bound in (d.low, d.high)], abs=1e-9)
    assert (forward.groups, forward.strategies) == (backward.groups, backward.strategies)
    assert [(p.request, p.common_prefix, p.shared, p.a, p.b) for p in forward.divergences] == [
        (p.request, p.common_prefix, p.shared, p.b, p.a) for p in backward.divergences
    ]


def test_strategies_agree_as_scikit_learn_says(sides):
    a, b = sides
    agreement = strategies(a, b, common_turns(a, b))
    left, right = ([pair.strategy or "none" for pair in side.pairs.values()] for side in sides)
    assert (agreement.turns, agreement.same) == (
        len(left),
        sum(in_a == in_b for in_a, in_b in zip(left, right, strict=True)),
    )
    assert agreement.kappa == pytest.approx(cohen_kappa_score(left, right), abs=1e-12)


def test_one_dialogue_gives_differences_without_an_interval(played):
    a, b = (load(played(model, language=Language.EN, limit=1)) for model in ("majority", "parrot"))
    rows = agree(a, b, characters()).differences
    assert len(rows) == 7
    assert {(row.low, row.high) for row in rows} == {(None, None)}


def test_where_one_run_was_given_the_strategies_only_words_are_compared(played):
    a, b = (
        load(played("parrot", **ENGLISH)),
        load(played("parrot", **ENGLISH, condition=Condition.GOLD_STRATEGY)),
    )
    agreement = agree(a, b, characters())
    assert agreement.strategies is None
    assert {row.name for row in agreement.differences} == {"bleu_2", "bleu_4", "rouge_l", "rouge_l_ascii"}
    assert any(note.startswith("strategy: ") and "chose no strategies" in note for note in agreement.notes)
    # Their requests have different steps.
    assert agreement.scope.requests == 0
    assert agreement.scope.turns == len(a.pairs)


def test_a_scorer_that_only_one_run_has_is_left_out_with_its_name(played):
    a, b = load(played("parrot", **ENGLISH)), load(played("majority", **ENGLISH))
    scoring = a.results.scoring
    fewer = msgspec.structs.replace(scoring, scorers=tuple(name for name in scoring.scorers if name != "bleu"))
    without = FinishedRun(a.folder, a.record, msgspec.structs.replace(a.results, scoring=fewer))
    agreement = agree(without, b, characters())
    assert "bleu_2" not in {row.name for row in agreement.differences}
    assert any(note.startswith("bleu: ") and a.name in note for note in agreement.notes)
