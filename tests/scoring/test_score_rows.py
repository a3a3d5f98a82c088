"""Scoring with a scorer made on the spot: which turns count, for what, and over which clusters."""

from statistics import fmean

import numpy as np
import pytest

from cscbench.scoring.bootstrap import Resampling, estimate_by_cluster
from cscbench.scoring.plan import ScoringPlan
from cscbench.scoring.score import build_scorers, score, with_ratings
from cscbench.scoring.scorer import MetricSpec, Need, ratio
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


class Length:
    """Mean characters of replies, in percent of one; needs a label."""

    needs = (Need.LABEL,)
    metrics = (MetricSpec("length", "chars", higher_is_better=False),)
    columns = ("characters", "turns")

    def measure(self, pairs):
        return np.array([[len(pair.text), 1.0] for pair in pairs]).reshape(-1, 2)

    def summarise(self, sums):
        return ratio(sums[:, :1], sums[:, 1:]) / 100


def pair(
    dialogue, text, label="GT", strategy="GT", *, topic="", form=ParseForm.BRACKET, cluster="", language=Language.EN
):
    return ScoredPair(dialogue, 0, language, topic, label, "r", strategy, text, form, cluster=cluster)


def plan(condition=Condition.JOINT, scorers=(), judging=None):
    languages = (Language.ZH, Language.EN)
    return ScoringPlan(scorers, languages, condition, CSC, None, Resampling(), "task:t", judging)


def scored(pairs, condition=Condition.JOINT):
    return score(pairs, [("length", Length())], plan(condition))


def slowly(points):
    return estimate_by_cluster(points, fmean, Resampling())


def test_turns_that_lack_what_a_scorer_needs_count_for_nothing():
    pairs = [
        pair("a", "1"),
        pair("b", "12345"),
        pair("b", "123", label=""),
        pair("c", "1234567"),
        pair("d", "12", form=ParseForm.FAILED),
    ]
    result = scored(pairs)
    (metric,) = result.metrics
    assert (metric.n, metric.higher_is_better) == (3, False)
    expected = slowly([("a", 1), ("b", 5), ("c", 7)])
    assert (metric.value, metric.low, metric.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert metric.signature == f"chars|task:t|{Resampling().signature()}"
    rows = result.measured[0].rows
    assert rows.shape == (4, 2)
    assert np.isnan(rows[2]).all()


def test_clusters_are_drawn_whole():
    pairs = [pair("a", "1", cluster="x"), pair("b", "12345", cluster="x"), pair("c", "1234567"), pair("d", "12")]
    (metric,) = scored(pairs).metrics
    expected = slowly([("x", 1), ("x", 5), ("c", 7), ("d", 2)])
    assert (metric.low, metric.high) == pytest.approx((expected.low, expected.high))


def test_an_interval_is_over_the_clusters_that_there_are():
    lengths = {f"d{number}": number**2 for number in range(1, 11)}
    (metric,) = scored([pair(name, "x" * length) for name, length in lengths.items()]).metrics
    expected = slowly(list(lengths.items()))
    assert (metric.low, metric.high) == pytest.approx((expected.low, expected.high))


def test_no_turn_that_can_be_measured_gives_no_metric():
    assert scored([pair("a", "1", label="")]).metrics == ()
    assert scored([]).metrics == ()
    assert scored([]).tables == {}


def test_groups_have_their_turns_values_and_only_those_that_occur():
    pairs = [
        pair("a", "1", "GT", "GT", topic="money"),
        pair("b", "123", "GT", "ID"),
        pair("c", "12345", "ID", None, topic="delay", form=ParseForm.UNPARSED),
        pair("d", "1234567", "", "ID", topic="money"),
        pair("e", "123456789", "ID", "ID", language=Language.ZH),
    ]
    tables = scored(pairs).tables

    def shown(table, key):
        return {group[key]: (group["n"], group["metrics"].get("length", {}).get("value")) for group in tables[table]}

    assert shown("by_language", "language") == {"zh": (1, 9.0), "en": (4, 3.0)}
    assert shown("by_strategy", "strategy") == {"GT": (2, 2.0), "ID": (2, 7.0)}
    assert shown("by_topic", "topic") == {"delay": (1, 5.0), "money": (2, 1.0)}
    assert shown("given_strategy", "strategy_was") == {"right": (2, 5.0), "wrong": (2, 4.0)}
    assert {name: n for name, (n, _) in shown("by_stage", "stage").items()} == {"connecting": 2, "resolving": 2}
    confusion = tables["confusion"]
    index = {code: confusion["rows"].index(code) for code in ("GT", "ID")}
    assert sum(map(sum, confusion["counts"])) == 4
    assert confusion["counts"][index["GT"]][index["ID"]] == 1
    assert confusion["counts"][index["ID"]][-1] == 1
    by_code = {row["strategy"]: row for row in confusion["per_strategy"]}
    assert by_code["GT"] == {
        "strategy": "GT",
        "support": 2,
        "predicted": 1,
        "precision": 100.0,
        "recall": 50.0,
        "f1": pytest.approx(200 / 3),
    }
    assert by_code["ID"]["f1"] == pytest.approx(50.0)
    assert (by_code["ID"]["support"], by_code["ID"]["predicted"]) == (2, 2)
    unused = by_code["OT"]
    assert (unused["precision"], unused["recall"], unused["f1"]) == (None, None, None)


def test_a_strategy_that_is_predicted_and_never_right_scores_zero():
    rows = scored([pair("a", "1", "GT", "ID")]).tables["confusion"]["per_strategy"]
    by_code = {row["strategy"]: (row["precision"], row["recall"], row["f1"]) for row in rows}
    assert by_code["GT"] == (None, 0.0, 0.0)
    assert by_code["ID"] == (0.0, None, 0.0)


@pytest.mark.parametrize("condition", [Condition.GOLD_STRATEGY, Condition.REPLY_ONLY])
def test_a_run_that_chose_no_strategy_has_no_table_of_them(condition):
    tables = scored([pair("a", "1"), pair("b", "12")], condition).tables
    assert "confusion" not in tables
    assert "given_strategy" not in tables
    assert build_scorers(plan(condition, ("strategy", "length", "transitions")))[0][0] == "length"


def test_two_scorers_of_one_metric_are_refused(monkeypatch):
    monkeypatch.setattr("cscbench.scoring.score.find_scorer", lambda name: lambda context: Length())
    assert [name for name, _ in build_scorers(plan(scorers=("mine",)))] == ["mine"]
    with pytest.raises(UserError, match="length"):
        build_scorers(plan(scorers=("mine", "yours")))


def test_ratings_reach_the_scorer_of_stars_alone():
    judged = plan(scorers=("stars", "length"), judging=JudgingRecord((), Level.TURN, (), {}))
    built = build_scorers(judged)
    ratings = (Rating("j", "a", 0, 5.0),)
    (_, stars), (_, length) = with_ratings(built, judged, ratings)
    assert isinstance(stars, StarsScorer)
    assert length is built[1][1]
    assert stars.measure([pair("a", "1")])[0, 0] == 5.0
