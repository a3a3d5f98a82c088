"""Pairs to metrics and tables, against scikit-learn and against each group scored alone."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from cscbench.scoring.bootstrap import Resampling
from cscbench.scoring.plan import ScoringPlan
from cscbench.scoring.score import Scored, build_scorers, score
from cscbench.values import CSC, Condition, Language, Metric, ParseForm, ScoredPair, UserError, stage_of

CODES = [strategy.code for strategy in CSC.strategies]
ZH, EN = Language.ZH, Language.EN
WORDS = {
    EN: ["your", "parcel", "left", "our", "warehouse", "today", "sorry", "refund", "400"],
    ZH: list("您的订单今天已经发货抱歉退款"),
}


def simulated(dialogues: int = 10, seed: int = 0) -> list[ScoredPair]:
    """Turns in both languages and three topics; a tenth unparsed, a tenth empty, two in five right."""
    random = np.random.default_rng(seed)
    pairs = []
    for number in range(dialogues):
        language = ZH if number % 2 else EN
        glue = "" if language is ZH else " "
        for turn in range(0, int(random.integers(8, 24)), 2):
            words = random.choice(WORDS[language], size=8)
            kept = words[: int(random.integers(1, 9))]
            reference = glue.join(words)
            reply = glue.join([*kept, *random.choice(WORDS[language], size=3)]) if random.random() < 0.9 else ""
            gold = str(random.choice(CODES))
            said = gold if gold != "OT" and random.random() < 0.4 else str(random.choice(CODES[:8]))
            label = said if random.random() < 0.9 else None
            form = ParseForm.BRACKET if label else ParseForm.UNPARSED
            topic = ("billing", "delivery", "")[number % 3]
            pairs.append(ScoredPair(f"d{number}", turn, language, topic, gold, reference, label, reply, form))
    return pairs


def plan_of(pairs: Sequence[ScoredPair], condition: Condition = Condition.JOINT) -> ScoringPlan:
    languages = tuple(language for language in Language if any(pair.language is language for pair in pairs))
    return ScoringPlan(
        scorers=("strategy", "bleu", "rouge"),
        languages=languages or (EN,),
        condition=condition,
        strategies=CSC,
        encoder=None,
        resampling=Resampling(resamples=200),
        base_signature="task:x",
    )


def scored(pairs: Sequence[ScoredPair], condition: Condition = Condition.JOINT) -> Scored:
    plan = plan_of(pairs, condition)
    return score(pairs, build_scorers(plan), plan)


def values(result: Scored) -> dict[str, float]:
    return {metric.name: metric.value for metric in result.metrics}


def failed(dialogue: str, turn: int) -> ScoredPair:
    """A turn whose request failed. Its text would move every metric."""
    return ScoredPair(
        dialogue, turn, EN, "", "GT", "your parcel", "GT", "your parcel", ParseForm.FAILED, "TimeoutError"
    )


def test_the_references_themselves_score_100_on_everything():
    gold = [msgspec.structs.replace(p, strategy=p.reference_strategy, text=p.reference) for p in simulated()]
    english = [pair for pair in gold if pair.language is EN]
    assert values(scored(english)) == pytest.approx(dict.fromkeys(values(scored(english)), 100.0), abs=1e-9)
    metrics = values(scored(gold))
    # The package's own tokenizer reads no Chinese: its share of the turns scores 0.
    assert metrics.pop("rouge_l_ascii") == pytest.approx(100 * len(english) / len(gold))
    assert metrics == pytest.approx(dict.fromkeys(metrics, 100.0), abs=1e-9)


def test_a_failed_reply_is_never_scored():
    pairs = simulated()
    with_failures = [failed("d0", 98), *pairs[:20], failed("d9", 99), *pairs[20:], failed("unheard", 0)]
    assert scored(with_failures).metrics == scored(pairs).metrics
    assert scored(with_failures).tables == scored(pairs).tables
    assert {metric.n for metric in scored(with_failures).metrics} == {len(pairs)}


def test_where_every_reply_failed_there_is_no_metric_and_no_table():
    result = scored([failed("d0", 0), failed("d1", 0)])
    assert (result.metrics, result.tables) == ((), {})


def test_an_unparsed_reply_is_wrong_in_accuracy_and_keeps_its_words_in_bleu():
    right = ScoredPair("d0", 0, EN, "", "GT", "your parcel left today", "GT", "your parcel left today", ParseForm.JSON)
    lost = msgspec.structs.replace(right, turn=2, strategy=None, form=ParseForm.UNPARSED)
    metrics = values(scored([right, lost]))
    assert metrics["strategy_accuracy"] == metrics["parse_rate"] == 50
    assert metrics["bleu_4"] == pytest.approx(100)
    assert metrics["rouge_l"] == pytest.approx(100)
    noise = msgspec.structs.replace(lost, text="sorry")
    assert values(scored([right, noise]))["bleu_4"] < 90


def test_the_confusion_table_is_scikit_learns():
    pairs = simulated(30)
    table = scored(pairs).tables["confusion"]
    gold, said = [p.reference_strategy for p in pairs], [p.strategy or "unparsed" for p in pairs]
    assert (table["rows"], table["columns"]) == (CODES, [*CODES, "unparsed"])
    expected = confusion_matrix(gold, said, labels=[*CODES, "unparsed"])
    assert table["counts"] == expected[:-1].tolist()
    precision, recall, f1, support = precision_recall_fscore_support(
        gold, said, labels=CODES, average=None, zero_division=np.nan
    )
    rows = table["per_strategy"]
    assert [row["strategy"] for row in rows] == CODES
    assert [row["support"] for row in rows] == support.tolist()
    assert [row["predicted"] for row in rows] == expected[:, :-1].sum(axis=0).tolist()
    for name, expected_column in (("precision", precision), ("recall", recall), ("f1", f1)):
        column = [math.nan if row[name] is None else row[name] for row in rows]
        assert column == pytest.approx((100 * expected_column).tolist(), nan_ok=True)
    assert any(row["precision"] is None for row in rows)  # nobody says OT here


def test_a_strategys_accuracy_is_its_recall():
    pairs = simulated(30)
    tables = scored(pairs).tables
    recall = {row["strategy"]: row["recall"] for row in tables["confusion"]["per_strategy"]}
    for row in tables["by_strategy"]:
        assert row["metrics"]["strategy_accuracy"]["value"] == pytest.approx(recall[row["strategy"]])


GROUPS = {
    "by_language": ("language", lambda pair: pair.language.value),
    "by_strategy": ("strategy", lambda pair: pair.reference_strategy),
    "by_stage": ("stage", lambda pair: stage_of(CSC)[pair.reference_strategy]),
    "by_topic": ("topic", lambda pair: pair.topic),
    "given_strategy": ("strategy_was", lambda p: "right" if p.strategy == p.reference_strategy else "wrong"),
}


@pytest.mark.parametrize("table", GROUPS)
def test_a_groups_values_are_those_of_its_turns_scored_alone(table):
    pairs = simulated(12)
    key, of = GROUPS[table]
    rows = scored(pairs).tables[table]
    # Others has no stage, and a dialogue may have no topic: such turns are in no row of that table.
    assert {row[key] for row in rows} == {of(pair) for pair in pairs} - {""}
    for row in rows:
        alone = [pair for pair in pairs if of(pair) == row[key]]
        assert row["n"] == len(alone)
        row_values = {name: estimate["value"] for name, estimate in row["metrics"].items()}
        assert row_values == pytest.approx(values(scored(alone)), abs=1e-9)
        one_dialogue = len({pair.dialogue for pair in alone}) == 1
        assert all((estimate["low"] is None) is one_dialogue for estimate in row["metrics"].values())


def test_a_right_strategy_and_a_wrong_one_are_scored_apart():
    pairs = simulated()
    right, wrong = scored(pairs).tables["given_strategy"]
    assert (right["strategy_was"], wrong["strategy_was"]) == ("right", "wrong")
    assert right["n"] + wrong["n"] == len(pairs)
    assert right["metrics"]["strategy_accuracy"]["value"] == 100
    assert wrong["metrics"]["strategy_accuracy"]["value"] == 0  # and holds the unparsed ones
    assert wrong["metrics"]["parse_rate"]["value"] < 100


def test_given_the_reference_strategy_only_the_reply_is_scored():
    result = scored(simulated(), Condition.GOLD_STRATEGY)
    assert set(values(result)) == {"bleu_2", "bleu_4", "rouge_l", "rouge_l_ascii"}
    assert set(result.tables) == {"by_language", "by_strategy", "by_stage", "by_topic"}
    assert not any("strategy" in name for row in result.tables["by_strategy"] for name in row["metrics"])


def test_scoring_twice_gives_the_same_numbers_and_intervals_that_hold_the_value():
    pairs = simulated(20)
    first, again = scored(pairs).metrics, scored(pairs).metrics
    assert first == again
    for metric in first:
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low < metric.value < metric.high


def test_one_dialogue_alone_has_values_and_no_interval():
    metrics = scored(simulated(1)).metrics
    assert metrics
    assert all((metric.low, metric.high) == (None, None) for metric in metrics)


def test_the_order_of_turns_and_dialogues_changes_no_value():
    pairs = simulated()
    assert values(scored(pairs[::-1])) == pytest.approx(values(scored(pairs)), abs=1e-9)


def test_every_metric_carries_its_own_signature_the_runs_and_the_intervals():
    metrics: tuple[Metric, ...] = scored(simulated()).metrics
    for metric in metrics:
        assert metric.signature.endswith("|task:x|ci:95%,percentile,expanded,by:dialogue,resamples:200,seed:0")
        assert metric.higher_is_better
    assert len({metric.signature for metric in metrics}) == len(metrics)


def test_rows_are_in_the_order_of_the_answered_pairs():
    pairs = simulated(4)
    result = scored([failed("d0", 98), *pairs])
    strategy = result.measured[0]
    assert strategy.name == "strategy"
    said = [strategy.scorer.columns[int(row.argmax())] for row in strategy.rows]
    assert said == [f"{pair.reference_strategy}>{pair.strategy or '?'}" for pair in pairs]


def test_an_unknown_scorer_is_answered_with_the_nearest_name():
    plan = msgspec.structs.replace(plan_of(simulated()), scorers=("strategy", "blue"))
    with pytest.raises(UserError, match=r"no scorer 'blue'.*bleu"):
        build_scorers(plan)
