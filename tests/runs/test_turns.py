"""A run's turns with their scores, and what pages make of them: places, best and worst, stars."""

from statistics import fmean
from types import SimpleNamespace

import numpy as np
import pytest

from cscbench.runs.results import ScoreTable
from cscbench.runs.turns import SCORES, ScoredTurn, read_task_text, scored_turns, summarise_turns
from cscbench.scoring.bootstrap import Resampling, estimate_by_cluster
from cscbench.values import Language, ParseForm, ScoredPair


def turn(dialogue, number, rouge=None, stars=None, *, right=True, label="GT", form=ParseForm.BRACKET, cluster=""):
    strategy = label if right else "CC"
    pair = ScoredPair(dialogue, number, Language.EN, "", label, "r", strategy, "t", form, cluster=cluster)
    return ScoredTurn(pair, (rouge, None, stars))


def test_scores_are_read_on_the_scale_of_their_metric():
    pairs = {("d", number): turn("d", number).pair for number in (1, 3, 5, 7)}
    columns = {
        "rouge.f1": np.array([0.12345, 0.5, np.nan]),
        "stars.overall": np.array([3.456, 0.0, 2.0]),
        "stars.rated": np.array([1.0, 0.0, 1.0]),
    }
    run = SimpleNamespace(statistics=ScoreTable((("d", 1), ("d", 3), ("d", 5)), columns), pairs=pairs)
    scores = [scored.scores for scored in scored_turns(run)]
    assert SCORES == ("rouge_l", "bertscore_f1", "stars")
    assert scores == [(12.3, None, 3.46), (50.0, None, None), (None, None, 2.0), (None, None, None)]
    assert [scored.pair for scored in scored_turns(run)] == list(pairs.values())


def test_a_run_without_stars_has_none():
    run = SimpleNamespace(
        statistics=ScoreTable((("d", 1),), {"bertscore.f1": np.array([0.87654])}), pairs={("d", 1): turn("d", 1).pair}
    )
    assert [scored.scores for scored in scored_turns(run)] == [(None, 87.7, None)]


def test_turns_are_grouped_by_their_place_among_the_supporters_turns():
    long = [turn("long", 2 * number, 40.0) for number in range(14)]
    short = [turn("short", number, 60.0, right=False) for number in (0, 4)]
    summary = summarise_turns([*reversed(long), *short], strategies_count=True)
    assert [(place.first, place.last) for place in summary.positions] == [
        (1, 1), (2, 2), (3, 4), (5, 7), (8, 11), (12, 10_000),
    ]  # fmt: skip
    assert [place.n for place in summary.positions] == [2, 2, 2, 3, 4, 3]
    first, _, third, *_ = summary.positions
    assert (first.accuracy.value, first.rouge.value) == (50.0, pytest.approx(50.0))
    assert first.rouge.low is not None
    # Of the third place there is one dialogue only, which says nothing about others.
    assert (third.accuracy.value, third.accuracy.low, third.rouge.low) == (100.0, None, None)
    assert third.rouge.value == pytest.approx(40.0)


def test_places_count_failed_turns_and_measure_none_of_them():
    turns = [turn("d", 0, 10.0, form=ParseForm.FAILED), turn("d", 2, 20.0), turn("e", 1, 30.0)]
    summary = summarise_turns(turns, strategies_count=True)
    assert [place.n for place in summary.positions[:3]] == [1, 1, 0]
    assert [place.rouge and place.rouge.value for place in summary.positions[:3]] == [30.0, 20.0, None]
    assert [scored.pair.dialogue for scored in summary.best] == ["e", "d"]


def test_turns_without_a_label_or_a_score_count_for_nothing():
    turns = [turn("d", 0, 50.0), turn("e", 0, 20.0, label="", right=True), turn("f", 0, None, right=False)]
    (first, *_) = summarise_turns(turns, strategies_count=True).positions
    assert (first.n, first.accuracy.value, first.rouge.value) == (3, 50.0, pytest.approx(35.0))
    (first, *_) = summarise_turns(turns, strategies_count=False).positions
    assert first.accuracy is None


def test_intervals_of_a_place_are_over_its_dialogues():
    scores = {f"d{number}": float(number**2) for number in range(10)}
    (first, *_) = summarise_turns(
        [turn(name, 0, score) for name, score in scores.items()], strategies_count=True
    ).positions
    expected = estimate_by_cluster(list(scores.items()), fmean, Resampling())
    assert (first.rouge.value, first.rouge.low, first.rouge.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


def test_turns_of_one_cluster_are_resampled_together():
    turns = [turn("d", 0, 10.0, cluster="c"), turn("e", 0, 90.0, cluster="c")]
    (first, *_) = summarise_turns(turns, strategies_count=True).positions
    assert (first.rouge.value, first.rouge.low) == (pytest.approx(50.0), None)


def test_five_best_and_worst_are_shown_equal_ones_in_the_order_of_the_data():
    turns = [turn(name, 0, float(number)) for number, name in enumerate("abcdefgh")]
    summary = summarise_turns([*turns, turn("a", 1, 0.0), turn("z", 0, None)], strategies_count=True)
    assert ["".join(scored.pair.dialogue for scored in shown) for shown in (summary.best, summary.worst)] == [
        "hgfed",
        "aabcd",
    ]
    assert [scored.pair.turn for scored in summary.worst[:2]] == [0, 1]


def test_the_best_are_so_by_rouge_and_not_by_another_score():
    low_rouge = ScoredTurn(turn("a", 0).pair, (1.0, 99.0, 5.0))
    high_rouge = ScoredTurn(turn("b", 0).pair, (2.0, None, None))
    assert summarise_turns([low_rouge, high_rouge], strategies_count=True).best == (high_rouge, low_rouge)


@pytest.mark.parametrize(
    ("stars", "counts"),
    [
        ([None, None], ()),
        ([1.0], (1, 0, 0, 0, 0, 0, 0, 0, 0)),
        ([1.3, 1.7, 2.0], (0, 2, 1, 0, 0, 0, 0, 0, 0)),
        ([3.5, 3.6, None, 5.0, 4.9], (0, 0, 0, 0, 0, 2, 0, 0, 2)),
        ([0.2, 6.0], (1, 0, 0, 0, 0, 0, 0, 0, 1)),
    ],
)
def test_stars_are_counted_by_halves(stars, counts):
    turns = [turn("d", number, None, value) for number, value in enumerate(stars)]
    assert summarise_turns(turns, strategies_count=True).stars == counts


def test_nothing_answered_gives_nothing():
    summary = summarise_turns([turn("d", 0, form=ParseForm.FAILED)], strategies_count=True)
    assert (summary.positions, summary.best, summary.worst, summary.stars) == ((), (), (), ())


def test_a_tasks_text_has_its_dialogues_where_they_are_asked_for():
    with_dialogues, without = (read_task_text("csconv_sample", wanted) for wanted in (True, False))
    assert all(name == dialogue.id for name, dialogue in with_dialogues.dialogues.items())
    assert len(with_dialogues.dialogues) > 10
    assert with_dialogues.data
    assert (without.dialogues, without.data, without.trouble) == ({}, (), "")
    assert with_dialogues.strategies == without.strategies
    assert "nowhere" in read_task_text("nowhere", True).trouble
