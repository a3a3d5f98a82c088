"""How a run is scored: which scorers, with which encoder, and the signature that says so."""

from pathlib import Path

import msgspec
import pytest

from cscbench.runs.finished import load
from cscbench.scoring.plan import encoder_card, plan_scoring, scoring_record
from cscbench.scoring.registry import find_reducer, find_scorer
from cscbench.scoring.scorer import MetricSpec, Need, ScoringContext, can_measure, ratio
from cscbench.scoring.scorers.bertscore import BertScoreMean
from cscbench.values import (
    CSC,
    Condition,
    JudgingRecord,
    Language,
    Level,
    ParseForm,
    ScoredPair,
    UserError,
)

RECORD = load(sorted((Path(__file__).parents[1] / "data/77eb998/runs").iterdir())[0]).record
JUDGING = JudgingRecord((), Level.TURN, (), {})
CONTEXT = ScoringContext((Language.EN,), Condition.JOINT, CSC)


def changed(**parts):
    """The record of the old run with some fields of its parts replaced."""
    change = msgspec.structs.replace
    return change(RECORD, **{name: change(getattr(RECORD, name), **fields) for name, fields in parts.items()})


@pytest.mark.parametrize(
    ("scorers", "encoder", "extra", "judging", "expected", "card"),
    [
        (("bleu", "bertscore"), "", (), None, ("bleu", "bertscore"), "e5-small"),
        (("bleu", "bertscore"), "minilm-l6", (), None, ("bleu", "bertscore"), "minilm-l6"),
        (("bleu", "bertscore"), "none", (), None, ("bleu",), None),
        (("bleu",), "none", (), None, ("bleu",), None),
        (("bleu",), "", (), None, ("bleu",), None),
        (("bleu",), "e5-small", ("length", "bleu"), None, ("bleu", "length"), None),
        (("bleu",), "", ("bertscore",), None, ("bleu", "bertscore"), "e5-small"),
        (("bleu", "bertscore"), "none", ("length",), JUDGING, ("bleu", "length", "stars"), None),
    ],
)
def test_scorers_and_encoder_are_the_tasks_unless_said_otherwise(scorers, encoder, extra, judging, expected, card):
    plan = plan_scoring(changed(task={"scorers": scorers, "encoder": "e5-small"}), encoder, extra, judging)
    assert plan.scorers == expected
    assert (plan.encoder.name if plan.encoder else None) == card
    assert plan.judging is judging


def test_a_task_without_an_encoder_scores_without_one():
    plan = plan_scoring(changed(task={"scorers": ("bertscore",), "encoder": ""}), "", ())
    assert (plan.scorers, plan.encoder) == (("bertscore",), None)


def test_the_signature_names_task_data_and_protocol():
    record = changed(
        task={"name": "t", "languages": (Language.ZH, Language.EN), "scorers": ("bleu",)},
        protocol={
            "limit": 0,
            "seed": 5,
            "prompts": {Language.ZH: "p/zh"},
            "prompt_sha256": {Language.ZH: "0123456789ab"},
        },
    )
    data = "+".join(file.sha256[:8] for file in record.data.files)
    assert len(record.data.files) == 2
    signature = plan_scoring(record, "none", ()).base_signature
    expected = f"task:t|data:{data}|lang:zh+en|limit:all|ctx:gold|cond:joint|prompts:p/zh@01234567|seed:5|cscbench:"
    assert signature.startswith(expected)
    assert "|limit:7|" in plan_scoring(changed(protocol={"limit": 7}), "none", ()).base_signature


@pytest.mark.parametrize(("clusters", "unit"), [(0, "dialogue"), (3, "cluster")])
def test_clusters_are_the_unit_where_the_data_name_any(clusters, unit):
    assert plan_scoring(changed(data={"clusters": clusters}), "none", ()).resampling.unit == unit


@pytest.mark.parametrize("name", ["models/e5", "./e5", "/e5", ".hidden", "~/e5"])
def test_what_looks_like_a_folder_is_an_encoder_of_its_own(name):
    card = encoder_card(name)
    assert card.adapter == "bertscore"
    assert card.weights
    assert card.name == Path(name).name


def test_an_encoder_is_a_card_of_an_encoder():
    assert encoder_card("e5-small").adapter == "bertscore"
    with pytest.raises(UserError, match="majority"):
        encoder_card("majority")
    with pytest.raises(UserError, match="nowhere"):
        encoder_card("nowhere")


def test_a_record_has_the_head_of_the_encoders_hash(monkeypatch):
    monkeypatch.setattr("cscbench.scoring.plan.identify", lambda *card: "/".join(card))
    plan = plan_scoring(changed(task={"scorers": ("bertscore",), "encoder": ""}), "e5-small", ())
    name, _, digest = scoring_record(plan).encoder.partition("@")
    assert (name, len(digest)) == ("e5-small", 12)
    layered = msgspec.structs.replace(plan, encoder=msgspec.structs.replace(plan.encoder, options={"layer": 1}))
    assert scoring_record(layered).encoder != scoring_record(plan).encoder
    assert scoring_record(plan_scoring(RECORD, "none", ())).encoder == ""


def test_a_scorers_reducer_is_its_own_or_what_needs_no_weights():
    assert find_reducer("bleu", CONTEXT, ()).metrics == find_scorer("bleu")(CONTEXT).metrics
    reducer = find_reducer("bertscore", CONTEXT, ("f1", "turns"))
    assert type(reducer) is BertScoreMean
    means = find_reducer("evaluate:some/overlap", CONTEXT, ("overlap", "overlap_turns", "words", "words_turns"))
    assert [spec.name for spec in means.metrics] == ["overlap", "overlap_words"]


def test_an_entry_point_that_is_no_factory_is_told(monkeypatch):
    monkeypatch.setattr("cscbench.content.plugins.find", lambda *named: "text")
    with pytest.raises(UserError, match="str"):
        find_scorer("mine")


@pytest.mark.parametrize(
    ("needs", "reference", "label", "can"),
    [
        ((), "", "", True),
        ((Need.REFERENCE,), "r", "", True),
        ((Need.REFERENCE,), "", "GT", False),
        ((Need.LABEL,), "", "GT", True),
        ((Need.LABEL, Need.REFERENCE), "r", "", False),
        ((Need.LABEL, Need.REFERENCE), "r", "GT", True),
        ((Need.FACTS,), "r", "GT", False),
        (None, "r", "", True),
        (None, "", "GT", False),
    ],
)
def test_a_turn_is_measured_where_it_has_what_the_scorer_needs(needs, reference, label, can):
    scorer = type("Scorer", (), {} if needs is None else {"needs": needs})()
    pair = ScoredPair("d", 0, Language.EN, "", label, reference, None, "t", ParseForm.GIVEN)
    assert can_measure(scorer, pair) is can


def test_a_ratio_is_in_percent_and_none_of_nothing():
    import numpy as np

    values = ratio(np.array([1.0, 3.0, 0.0, 2.0]), np.array([4.0, 1.0, 5.0, 0.0]))
    assert values[:3].tolist() == [25.0, 300.0, 0.0]
    assert np.isnan(values[3])
    assert MetricSpec("m", "").higher_is_better
