"""Data without labels: only the reply is asked for, and what needs a label or a reference says nothing, not zero."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from cscbench.comparing.compare import compare
from cscbench.comparing.pairing import pair_runs
from cscbench.runs import results
from cscbench.runs.finished import load
from cscbench.scoring.bootstrap import Resampling
from cscbench.scoring.plan import plan_scoring
from cscbench.scoring.score import build_scorers, score
from cscbench.scoring.scorer import MetricSpec, Need, can_measure, ratio
from cscbench.values import Language, ParseForm, ScoredPair

SAMPLE = Path(__file__).parents[1] / "tasks/csconv_sample/data/test.jsonl"
OF_LABELS = {"strategy_accuracy", "strategy_macro_f1", "parse_rate", "transition_divergence"}


@pytest.fixture
def bare():
    """Six dialogues without a label."""
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()][:6]
    for row in rows:
        for turn in row["dialogue"]:
            turn.pop("strategy", None)
    Path("bare.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return ("--data", "bare.jsonl", "--encoder", "none")


def test_data_without_labels_are_played_and_scored_by_their_words(cscbench, bare):
    for model in ("gold", "retrieval", "majority"):
        done = cscbench("run", "--model", model, *bare, "--condition", "reply-only", "--scorer", "transitions")
        assert done.returncode == 0, done.stderr
        run = load(Path(done.stdout.splitlines()[-1]))
        names = {metric.name: metric.value for metric in run.results.metrics}
        assert {"bleu_2", "bleu_4", "rouge_l"} <= set(names)
        assert not OF_LABELS & set(names)
        assert (names["rouge_l"] == pytest.approx(100)) == (model == "gold")
        assert {pair.form for pair in run.pairs.values()} == {ParseForm.GIVEN}
        assert {pair.reference_strategy for pair in run.pairs.values()} == {""}
        assert run.results.counts.faults == 0
        assert "confusion" not in run.results.tables
        jsonschema.validate(json.loads((run.folder / "results.json").read_bytes()), results.schema())
        assert not any("answers  always" in note for note in run.results.notes)


def test_nothing_asked_names_a_strategy(cscbench, bare):
    done = cscbench("run", "--model", "gold", "--condition", "reply-only", "--limit", "2", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "Greeting" not in done.stdout
    assert "礼貌问候" not in done.stdout


@pytest.mark.parametrize("condition", ["joint", "two-step", "ranked", "gold-strategy"])
def test_other_conditions_refuse_data_without_labels_and_say_what_plays_them(cscbench, bare, condition):
    done = cscbench("run", "--model", "gold", *bare, "--condition", condition)
    assert done.returncode == 2
    assert (
        "a supporter turn needs a strategy, got nothing; for data without labels, use --condition reply-only"
        in done.stderr
    )


def test_labels_that_are_there_are_kept_and_wrong_ones_told(cscbench, bare):
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()][:3]
    rows[1]["dialogue"][0]["strategy"] = "no such strategy"
    Path("mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = cscbench("run", "--model", "gold", "--data", "mixed.jsonl", "--condition", "reply-only", "--encoder", "none")
    assert done.returncode == 0, done.stderr
    run = load(Path(done.stdout.splitlines()[-1]))
    assert run.results.counts.faults == 1
    assert "" not in {pair.reference_strategy for pair in run.pairs.values()}
    assert run.results.tables["by_strategy"]


@pytest.mark.slow
def test_whole_commands_read_such_runs(cscbench, bare, tmp_path):
    for model in ("gold", "retrieval"):
        cscbench("run", "--model", model, *bare, "--condition", "reply-only")
    runs = sorted((tmp_path / "reports").iterdir())
    for command in (("show",), ("compare",), ("compare", "--texts"), ("report",), ("export", "--format", "csv")):
        done = cscbench(*command, *runs)
        assert done.returncode == 0, (command, done.stderr)
    table = {table.name for table in compare([load(run) for run in runs], Resampling()).metrics}
    assert "rouge_l" in table
    assert not OF_LABELS & table


def pair(
    dialogue: str, turn: int, reference: str = "right words", label: str = "GT", text: str = "right words"
) -> ScoredPair:
    return ScoredPair(dialogue, turn, Language.EN, "", label, reference, label or None, text, ParseForm.BRACKET)


@pytest.fixture
def plan(cscbench, bare):
    done = cscbench("run", "--model", "gold", "--limit", "3", "--language", "en", "--encoder", "none")
    return plan_scoring(load(Path(done.stdout.splitlines()[-1])).record, "none", ())


def test_turns_without_a_label_or_a_reference_are_left_out_and_counted(plan):
    pairs = [pair(f"d{n}", 0) for n in range(4)] + [pair(f"e{n}", 0, label="") for n in range(3)]
    pairs += [pair("f", 0, reference="", text="something else")]
    scored = score(pairs, build_scorers(plan), plan)
    metrics = {metric.name: (metric.value, metric.n) for metric in scored.metrics}
    assert metrics["strategy_accuracy"] == (100.0, 5)  # not 5 of 8
    assert metrics["rouge_l"] == (100.0, 7)
    unlabelled = score(pairs[4:7], build_scorers(plan), plan)
    assert not OF_LABELS & {metric.name for metric in unlabelled.metrics}
    assert {metric.name for metric in unlabelled.metrics} >= {"bleu_2", "rouge_l"}
    rows = {part.name: part.rows for part in scored.measured}
    assert np.isnan(rows["strategy"][4:7]).all()
    assert np.isnan(rows["rouge"][7]).all()


class Counts:
    """A third party's scorer, which needs what it is told to."""

    columns = ("right", "turns")
    metrics = (MetricSpec("mine", "mine"),)

    def __init__(self, *needs: Need) -> None:
        if needs:
            self.needs = needs

    def measure(self, pairs):
        return np.array([(1.0, 1.0) for _ in pairs]).reshape(-1, 2)

    def summarise(self, sums):
        return ratio(sums[:, :1], sums[:, 1:])


@pytest.mark.parametrize(
    ("needs", "turns"), [((), 2), ((Need.LABEL,), 1), ((Need.LABEL, Need.REFERENCE), 1), ((Need.FACTS,), 0)]
)
def test_a_scorer_states_what_it_needs_and_says_nothing_where_that_is_absent(plan, needs, turns):
    pairs = [pair("a", 0), pair("b", 0, label=""), pair("c", 0, label="", reference="")]
    scored = score(pairs, [("mine", Counts(*needs))], plan)
    assert [metric.n for metric in scored.metrics] == ([turns] if turns else [])
    assert sum(can_measure(Counts(*needs), scored_pair) for scored_pair in pairs) == turns


def test_conversations_without_a_reference_pair_by_dialogue(cscbench, bare, tmp_path):
    """Made of two runs whose references are taken away, and which speak on different turns."""
    for model in ("gold", "retrieval"):
        cscbench("run", "--model", model, *bare, "--condition", "reply-only")
    a, b = (load(run) for run in sorted((tmp_path / "reports").iterdir()))
    for run, shift in ((a, 0), (b, 1)):
        turns = {
            (key[0], key[1] + shift): ScoredPair(
                key[0], key[1] + shift, scored_pair.language, "", "", "", None, scored_pair.text, scored_pair.form
            )
            for key, scored_pair in run.pairs.items()
        }
        run.__dict__["pairs"] = turns
    lost = next(iter(b.pairs))
    b.pairs[lost] = ScoredPair(*lost, Language.EN, "", "", "", None, "", ParseForm.FAILED, "no answer")
    pairing = pair_runs([a, b])
    assert not pairing.by_turn
    assert pairing.dialogues == 5  # one has a turn without an answer
    assert [{dialogue for dialogue, _ in turns} for turns in pairing.turns] == [
        {dialogue for dialogue, _ in pairing.turns[0]}
    ] * 2
    assert pairing.turns[0] != pairing.turns[1]
