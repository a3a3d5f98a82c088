"""Variety, length, placeholders and transitions, by hand and by scipy."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from cscbench.scoring.registry import find_scorer
from cscbench.scoring.scorer import ScoringContext
from cscbench.values import CSC, Condition, Language, ParseForm, ScoredPair

CODES = [strategy.code for strategy in CSC.strategies]


def scored_pair(
    text: str, reference: str = "ok", said: str | None = "GT", gold: str = "GT", dialogue: str = "d"
) -> ScoredPair:
    return ScoredPair(dialogue, 0, Language.EN, "", gold, reference, said, text, ParseForm.BRACKET)


def values(name: str, pairs: list[ScoredPair]) -> dict[str, float]:
    scorer = find_scorer(name)(ScoringContext((Language.EN, Language.ZH), Condition.JOINT, CSC))
    rows = scorer.measure(pairs)
    assert rows.shape == (len(pairs), len(scorer.columns))
    row = scorer.summarise(rows.sum(axis=0, keepdims=True))[0]
    return {spec.name: float(value) for spec, value in zip(scorer.metrics, row, strict=True)}


def test_distinct_n_is_the_mean_over_replies():
    metrics = values("diversity", [scored_pair("a b a b"), scored_pair("谢谢您"), scored_pair("")])
    assert metrics["distinct_1"] == pytest.approx(100 * (2 / 4 + 2 / 3) / 2)
    assert metrics["distinct_2"] == pytest.approx(100 * (2 / 3 + 1) / 2)


def test_a_phrase_counts_as_repeated_within_its_dialogue_only():
    same = "I will look into it"
    assert values("diversity", [scored_pair(same), scored_pair(same, dialogue="e")])["repeated_phrases"] == 0
    assert values("diversity", [scored_pair(same), scored_pair(same)])["repeated_phrases"] == 50
    assert np.isnan(values("diversity", [scored_pair("too short")])["repeated_phrases"])


def test_length_matches_whether_too_long_or_too_short():
    assert values("length", [scored_pair("a b", "a b c d")])["length_match"] == 50
    assert values("length", [scored_pair("您好吗好", "您好")])["length_match"] == 50
    assert values("length", [scored_pair("a b", "c"), scored_pair("c", "a b")])["length_match"] == 100


def test_placeholders_by_hand():
    pairs = [
        scored_pair("Hi [UserName], [UserName]!", "Hello [UserName] of [CompanyName]"),
        scored_pair("请报[手机号码]", "请报[手机号码]和[用户姓名]"),
        scored_pair("no [Invention", "nothing"),
    ]
    metrics = values("placeholders", pairs)
    assert metrics == pytest.approx(
        {"placeholder_recall": 50, "placeholder_precision": 100 * 2 / 3, "placeholder_f1": 400 / 7}
    )
    assert all(np.isnan(value) for value in values("placeholders", [scored_pair("none")]).values())


def test_four_words_make_a_phrase_and_each_counts_once():
    pairs = [scored_pair("we are so sorry"), scored_pair("we are so sorry")]
    assert values("diversity", pairs)["repeated_phrases"] == 50
    assert values("diversity", [scored_pair("we are sorry")] * 2)["repeated_phrases"] != 50
    scorer = find_scorer("diversity")(ScoringContext((Language.EN,), Condition.JOINT, CSC))
    assert scorer.measure(pairs)[:, 4:].tolist() == [[0, 1], [1, 1]]


def test_repetition_and_divergence_are_better_when_lower():
    context = ScoringContext((Language.EN,), Condition.JOINT, CSC)
    lower = {
        spec.name
        for name in ("diversity", "length", "placeholders", "transitions")
        for spec in find_scorer(name)(context).metrics
        if not spec.higher_is_better
    }
    assert lower == {"repeated_phrases", "transition_divergence"}


def test_a_turn_is_one_transition_on_either_side_and_no_turn_none():
    scorer = find_scorer("transitions")(ScoringContext((Language.EN,), Condition.JOINT, CSC))
    assert scorer.measure([scored_pair("x"), scored_pair("y", said=None)]).sum(axis=1).tolist() == [2, 2]
    assert np.isnan(values("transitions", [])["transition_divergence"])


LABELS = st.lists(
    st.tuples(st.sampled_from("de"), st.sampled_from([*CODES, None]), st.sampled_from(CODES)), min_size=1, max_size=30
)


@given(LABELS)
def test_transitions_diverge_as_scipy_says(labels):
    pairs = [scored_pair("x", said=said, gold=gold, dialogue=name) for name, said, gold in labels]
    counts: list[Counter[tuple[str | None, str | None]]] = []
    for number in (1, 2):
        last, transitions = {}, Counter()
        for label in labels:
            transitions[last.get(label[0], "^"), label[number]] += 1
            last[label[0]] = label[number]
        counts.append(transitions)
    keys = list(counts[0] | counts[1])
    expected = jensenshannon(*([count[key] for key in keys] for count in counts), base=2) ** 2
    assert values("transitions", pairs)["transition_divergence"] == pytest.approx(100 * expected, abs=1e-6)


@pytest.mark.parametrize("name", ["diversity", "length", "placeholders", "transitions"])
def test_sums_over_dialogues_are_the_sums_of_all(name, zh_pairs):
    scorer = find_scorer(name)(ScoringContext((Language.ZH,), Condition.JOINT, CSC))
    whole = scorer.measure(zh_pairs).sum(axis=0)
    parts = [
        [pair for pair in zh_pairs if pair.dialogue == dialogue] for dialogue in {pair.dialogue for pair in zh_pairs}
    ]
    assert sum(scorer.measure(part).sum(axis=0) for part in parts) == pytest.approx(whole)


def test_the_command_has_them_and_leaves_transitions_out_where_strategies_were_given(cscbench):
    names = ("diversity", "length", "placeholders", "transitions")
    given_names = [word for name in names for word in ("--scorer", name)]
    done = cscbench("run", "--model", "gold", "--limit", "3", "--encoder", "none", *given_names)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines() if len(line.split()) > 2}
    assert (rows["length_match"], rows["transition_divergence"], rows["placeholder_f1"]) == ("100.00", "0.00", "100.00")
    given_strategies = ("--condition", "gold-strategy", "--scorer", "transitions")
    done = cscbench("run", "--model", "gold", "--limit", "3", "--encoder", "none", *given_strategies)
    assert done.returncode == 0, done.stderr
    assert "transition_divergence" not in done.stdout
