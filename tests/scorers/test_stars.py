"""Stars as sums: panels, missing ratings, and a conversation's rating at its first turn."""

import math

import pytest

from cscbench.scoring.scorer import ScoringContext
from cscbench.scoring.scorers.stars import StarsScorer
from cscbench.values import (
    CSC,
    Condition,
    JudgingRecord,
    Language,
    Level,
    ParseForm,
    Rating,
    ScoredPair,
    UserError,
)


def pair(dialogue: str, turn: int) -> ScoredPair:
    return ScoredPair(dialogue, turn, Language.EN, "", "", "", None, "t", ParseForm.GIVEN)


def scorer(ratings, level=Level.TURN) -> StarsScorer:
    record = JudgingRecord((), level, ("empathy", "clarity"), {})
    return StarsScorer(ScoringContext((Language.EN,), Condition.JOINT, CSC, judging=record, ratings=tuple(ratings)))


def test_a_panels_stars_are_the_mean_over_the_judges_that_answered():
    ratings = [
        Rating("a", "d", 0, 4.0, (5.0, 1.0)),
        Rating("b", "d", 0, 3.0, (4.0, 2.0)),
        Rating("c", "d", 0, None),
        Rating("a", "d", 2, None),
        Rating("a", "e", 0, 1.5, (2.0, 2.0)),
    ]
    stars = scorer(ratings)
    rows = stars.measure([pair("d", 0), pair("d", 2), pair("d", 4), pair("e", 0)])
    assert rows.tolist() == [
        [3.5, 1, 1, 3, 4.5, 1.5],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [1.5, 1, 0, 1, 2.0, 2.0],
    ]
    values = stars.summarise(rows.sum(axis=0, keepdims=True))[0]
    assert values == pytest.approx([2.5, 3.25, 1.75, 100 * 2 / 5])
    assert stars.summarise(rows)[0] == pytest.approx([3.5, 4.5, 1.5, 100 / 3])
    assert [spec.name for spec in stars.metrics] == ["stars", "stars_empathy", "stars_clarity", "stars_missing"]
    assert [spec.higher_is_better for spec in stars.metrics] == [True, True, True, False]


def test_a_conversations_rating_counts_once_at_its_first_turn():
    ratings = [Rating("a", "d", 9, 4.0, (5.0, 3.0)), Rating("a", "e", 7, 2.0, (2.0, 2.0))]
    stars = scorer(ratings, Level.DIALOGUE)
    rows = stars.measure([pair("d", 1), pair("d", 3), pair("e", 0), pair("d", 9)])
    assert rows[:, 0].tolist() == [4.0, 0.0, 2.0, 0.0]
    assert rows[:, 1].tolist() == [1.0, 0.0, 1.0, 0.0]
    assert stars.summarise(rows.sum(axis=0, keepdims=True))[0] == pytest.approx([3.0, 3.5, 2.5, 0.0])


def test_without_a_rating_there_are_no_stars():
    stars = scorer([])
    rows = stars.measure([pair("d", 0)])
    assert all(math.isnan(value) for value in stars.summarise(rows)[0])


def test_a_turn_at_the_very_start_is_no_conversation():
    rows = scorer([Rating("a", "d", 0, 5.0, (5.0, 5.0))]).measure([pair("d", 0), pair("d", 0)])
    assert rows[:, 0].tolist() == [5.0, 5.0]


def test_stars_need_a_judge():
    with pytest.raises(UserError, match="the stars scorer needs a judge"):
        StarsScorer(ScoringContext((Language.EN,), Condition.JOINT, CSC))
