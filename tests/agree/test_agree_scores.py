"""Differences between two runs: against a slow paired bootstrap, scikit-learn, and what the runs themselves say."""

from collections import Counter

import msgspec
import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sklearn.metrics import accuracy_score, cohen_kappa_score

from cscbench.comparing.agree.agree import agree
from cscbench.comparing.agree.common_turns import common
from cscbench.comparing.agree.scores import differences, strategies
from cscbench.comparing.agree.units import characters
from cscbench.runs.finished import FinishedRun, load
from cscbench.scoring.bootstrap import Resampling, resample_weights, tail_share
from cscbench.values import Condition, Language

ENGLISH = {"language": Language.EN, "limit": 7}


@pytest.fixture(scope="module")
def sides(played):
    """Two runs of seven English dialogues that differ much: three in four of B's replies are spoiled."""
    return load(played("majority", **ENGLISH)), load(played("parrot+late", **ENGLISH))


def slowly(pairs) -> dict[str, float]:
    """The metrics of some turns, each by the package that defines it."""
    gold, said = [pair.reference_strategy for pair in pairs], [pair.strategy or "unparsed" for pair in pairs]
    bleu = BLEU(max_ngram_order=2).corpus_score([p.text for p in pairs], [[p.reference for p in pairs]])
    return {"strategy_accuracy": 100 * accuracy_score(gold, said), "bleu_2": bleu.score}


def test_a_difference_and_its_interval_equal_a_slow_bootstrap_that_copies_dialogues(sides):
    a, b = sides
    how = Resampling(resamples=60, seed=2)
    both = common(a, b)
    rows, left_out = differences(a, b, both, how)
    assert left_out == ()
    found = {one.name: one for one in rows}
    names = list(dict.fromkeys(dialogue for dialogue, _ in both.turns))
    drawn = []
    for counts in resample_weights(len(names), how):
        copies = list(Counter(dict(zip(names, counts.astype(int), strict=True))).elements())
        turns = [turn for name in copies for turn in both.turns if turn[0] == name]
        # The same dialogues are drawn for both: that makes it paired.
        left, right = (slowly([side.pairs[turn] for turn in turns]) for side in (a, b))
        drawn.append({name: right[name] - left[name] for name in left})
    left, right = (slowly(list(side.pairs.values())) for side in (a, b))
    for name in left:
        tail = tail_share(len(names))
        low, high = np.quantile([one[name] for one in drawn], [tail, 1 - tail])
        one = found[name]
        assert (one.a, one.b, one.difference) == pytest.approx((left[name], right[name], right[name] - left[name]))
        assert (one.low, one.high) == pytest.approx((low, high), abs=1e-6)
        assert low < one.difference < high
        assert one.same_signature


def test_over_all_turns_the_values_are_those_that_the_runs_report(sides):
    a, b = sides
    found = agree(a, b, characters())
    for side, values in (
        (a, {one.name: one.a for one in found.differences}),
        (b, {o.name: o.b for o in found.differences}),
    ):
        assert values == pytest.approx({metric.name: metric.value for metric in side.results.metrics}, abs=1e-9)


def test_a_run_agrees_wholly_with_itself(sides):
    for side in sides:
        found = agree(side, side, characters())
        assert {(one.difference, one.low, one.high) for one in found.differences} == {(0, 0, 0)}
        assert found.strategies.same == found.strategies.turns
        assert all(group.identical == group.requests for group in found.groups)
        assert found.divergences == ()
        assert all(fact.same is not False for fact in found.facts)


def test_the_other_way_round_differences_change_their_sign_and_nothing_else(sides):
    one, other = agree(*sides, characters()), agree(*reversed(sides), characters())
    assert [(d.name, -d.difference) for d in one.differences] == [(d.name, d.difference) for d in other.differences]
    bounds = [bound for d in one.differences for bound in (-d.high, -d.low)]
    assert bounds == pytest.approx([bound for d in other.differences for bound in (d.low, d.high)], abs=1e-9)
    assert (one.groups, one.strategies) == (other.groups, other.strategies)
    assert [(p.request, p.alike, p.shared, p.a, p.b) for p in one.divergences] == [
        (p.request, p.alike, p.shared, p.b, p.a) for p in other.divergences
    ]


def test_strategies_agree_as_scikit_learn_says(sides):
    a, b = sides
    found = strategies(a, b, common(a, b))
    left, right = ([pair.strategy or "none" for pair in side.pairs.values()] for side in sides)
    assert (found.turns, found.same) == (len(left), sum(one == two for one, two in zip(left, right, strict=True)))
    assert found.kappa == pytest.approx(cohen_kappa_score(left, right), abs=1e-12)


def test_one_dialogue_gives_differences_without_an_interval(played):
    a, b = (load(played(model, language=Language.EN, limit=1)) for model in ("majority", "parrot"))
    found = agree(a, b, characters()).differences
    assert len(found) == 7
    assert {(one.low, one.high) for one in found} == {(None, None)}


def test_where_one_run_was_given_the_strategies_only_words_are_compared(played):
    a, b = (
        load(played("parrot", **ENGLISH)),
        load(played("parrot", **ENGLISH, condition=Condition.GOLD_STRATEGY)),
    )
    found = agree(a, b, characters())
    assert found.strategies is None
    assert {one.name for one in found.differences} == {"bleu_2", "bleu_4", "rouge_l", "rouge_l_ascii"}
    assert any(note.startswith("strategy: ") and "chose no strategies" in note for note in found.notes)
    # Their requests ask for other things under other names.
    assert found.scope.requests == 0
    assert found.scope.turns == len(a.pairs)


def test_a_scorer_that_only_one_run_has_is_left_out_with_its_name(played):
    a, b = load(played("parrot", **ENGLISH)), load(played("majority", **ENGLISH))
    scoring = a.results.scoring
    fewer = msgspec.structs.replace(scoring, scorers=tuple(name for name in scoring.scorers if name != "bleu"))
    without = FinishedRun(a.folder, a.record, msgspec.structs.replace(a.results, scoring=fewer))
    found = agree(without, b, characters())
    assert "bleu_2" not in {one.name for one in found.differences}
    assert any(note.startswith("bleu: ") and a.name in note for note in found.notes)
