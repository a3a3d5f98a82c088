"""Strategy accuracy, macro-F1 and parse rate against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from cscbench.scoring.scorer import ScoringContext
from cscbench.scoring.scorers.strategy import StrategyScorer
from cscbench.values import CSC, Condition, Language, ParseForm, ScoredPair

CODES = [strategy.code for strategy in CSC.strategies]
SCORER = StrategyScorer(ScoringContext((Language.EN,), Condition.JOINT, CSC))


def ours(said: list[tuple[str, str | None]]) -> list[float]:
    """Accuracy, macro-F1 and parse rate of (reference, predicted) labels."""
    pairs = [
        ScoredPair(
            "d", turn, Language.EN, "", gold, "x", label, "x", ParseForm.BRACKET if label else ParseForm.UNPARSED
        )
        for turn, (gold, label) in enumerate(said)
    ]
    return list(SCORER.summarise(SCORER.measure(pairs).sum(axis=0, keepdims=True))[0])


@given(st.lists(st.tuples(st.sampled_from(CODES), st.sampled_from([*CODES, None])), min_size=1, max_size=60))
def test_any_labels_score_as_scikit_learn_scores_them(said):
    gold, labels = [gold_code for gold_code, _ in said], [label or "unparsed" for _, label in said]
    expected = [
        100 * accuracy_score(gold, labels),
        100 * f1_score(gold, labels, labels=sorted(set(gold)), average="macro", zero_division=0),
        100 * sum(label != "unparsed" for label in labels) / len(said),
    ]
    assert ours(said) == pytest.approx(expected, abs=1e-9)


def test_a_reply_without_a_strategy_is_wrong_and_lowers_the_parse_rate():
    # F1 of GT: 2 x 1 hit over 2 references and 1 prediction; EM: 1 of 1.
    assert ours([("GT", "GT"), ("GT", None), ("EM", "EM")]) == pytest.approx([200 / 3, (200 / 3 + 100) / 2, 200 / 3])


def test_macro_f1_leaves_out_strategies_that_no_reference_has():
    # PS is predicted and never right: it costs GT's recall, and is no class of its own.
    assert ours([("GT", "GT"), ("GT", "PS")])[1] == pytest.approx(200 / 3)


def test_a_turn_counts_once():
    pair = ScoredPair("d", 0, Language.EN, "", "GT", "x", None, "x", ParseForm.UNPARSED)
    assert SCORER.measure([pair, pair]).sum(axis=1).tolist() == [1.0, 1.0]


def test_no_turns_have_no_value():
    assert np.isnan(ours([])).all()
