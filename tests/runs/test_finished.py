"""A finished run as a value: its state, the turns that count, and sums over any of them."""

import dataclasses
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cscbench.asking import store
from cscbench.runs.finished import RunState, find_runs, load, resampling_over
from cscbench.scoring.bootstrap import Resampling
from cscbench.values import Condition, Reply, UserError

RUNS = Path(__file__).parents[1] / "data/77eb998/runs"
MAJORITY, RETRIEVAL = sorted(RUNS.iterdir())


@pytest.fixture
def run():
    return load(MAJORITY)


def with_condition(run, condition):
    protocol = msgspec.structs.replace(run.record.protocol, condition=condition)
    return dataclasses.replace(run, record=msgspec.structs.replace(run.record, protocol=protocol))


def test_its_state_says_how_far_it_came(run):
    summary = msgspec.structs.replace(run.results.run, complete=False)
    partial = dataclasses.replace(run, results=msgspec.structs.replace(run.results, run=summary))
    unfinished = dataclasses.replace(run, results=None)
    states = [folder.state for folder in (run, partial, unfinished)]
    assert states == [RunState.COMPLETE, RunState.PARTIAL, RunState.UNFINISHED]
    assert run.scored() is run.results
    with pytest.raises(UserError, match="not scored yet"):
        unfinished.scored()
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.results = None


def test_an_unfinished_run_has_replies_and_nothing_scored(tmp_path):
    folder = Path(shutil.copytree(MAJORITY, tmp_path / "run"))
    for name in (store.RESULTS, store.PREDICTIONS, store.SCORES):
        (folder / name).unlink()
    run = load(folder).read_all()
    assert (run.pairs, run.answered, run.clusters, run.scorers) == ({}, (), {}, ())
    assert (run.metric("bleu_2"), run.measured_as("bleu_2")) == (None, "")
    assert len(run.replies) == len(load(MAJORITY).replies)


def test_reading_all_of_a_scored_run_tells_what_is_missing(tmp_path):
    folder = Path(shutil.copytree(MAJORITY, tmp_path / "run"))
    (folder / store.SCORES).unlink()
    with pytest.raises(UserError, match="no such file"):
        load(folder).read_all()


def test_replies_of_another_engine_are_not_its_own(tmp_path):
    folder = Path(shutil.copytree(MAJORITY, tmp_path / "run"))
    before = load(folder).replies
    line = next(iter(before.values()))
    log = store.Appender(folder / store.REPLIES)
    log.append(msgspec.structs.replace(line, id="foreign", engine="another"))
    log.append(msgspec.structs.replace(line, id="own", reply=Reply("new")))
    log.close()
    assert set(load(folder).replies) == {*before, "own"}


def test_failed_turns_are_not_answered(run):
    first = next(iter(run.pairs))
    pairs = {
        turn: msgspec.structs.replace(pair, error="down" if turn == first else "") for turn, pair in run.pairs.items()
    }
    run.__dict__["pairs"] = pairs
    assert run.answered == tuple(turn for turn in pairs if turn != first)


def test_a_metric_is_found_by_its_name(run):
    assert run.metric("rouge_l").name == "rouge_l"
    assert run.metric("nothing") is None
    assert run.measured_as("rouge_l") == run.metric("rouge_l").signature.split("|task:")[0] != ""
    assert run.measured_as("nothing") == ""


@pytest.mark.parametrize(
    ("condition", "scorer", "nothing"),
    [
        (Condition.JOINT, "strategy", False),
        (Condition.JOINT, "bleu", False),
        (Condition.GOLD_STRATEGY, "strategy", True),
        (Condition.GOLD_STRATEGY, "transitions", True),
        (Condition.GOLD_STRATEGY, "bleu", False),
    ],
)
def test_strategies_are_not_scored_where_none_is_chosen(run, condition, scorer, nothing):
    run = with_condition(run, condition)
    assert run.scores_nothing(scorer) is nothing
    if nothing and scorer in run.scorers:
        with pytest.raises(UserError, match="chose no strategies"):
            run.metric_sums(scorer)


def test_sums_over_all_turns_are_by_dialogue_and_give_the_results(run):
    for scorer in ("strategy", "bleu", "rouge"):
        for sums in run.metric_sums(scorer):
            assert sums.clusters == len(run.record.dialogues)
            assert sums.value() == pytest.approx(run.metric(sums.spec.name).value)
            assert sums.summarise(sums.cluster_sums).shape == (sums.clusters, 1)


def test_sums_over_some_turns_follow_their_order_and_their_clusters(run):
    first, second, third = list(dict.fromkeys(dialogue for dialogue, _ in run.answered))[:3]
    turns = [turn for name in (third, first, second) for turn in run.answered if turn[0] == name]
    sums, *_ = run.metric_sums("rouge", turns)
    alone = [
        run.metric_sums("rouge", [turn for turn in turns if turn[0] == name])[0] for name in (third, first, second)
    ]
    assert np.allclose(sums.cluster_sums, np.concatenate([part.cluster_sums for part in alone]))
    joined, *_ = run.metric_sums("rouge", turns, {third: "a", first: "b", second: "a"})
    expected = [sums.cluster_sums[0] + sums.cluster_sums[2], sums.cluster_sums[1]]
    assert np.allclose(joined.cluster_sums, expected)


def test_sums_over_no_turns_have_no_rows(run):
    sums, *_ = run.metric_sums("rouge", [])
    assert sums.cluster_sums.shape[0] == 0 < sums.cluster_sums.shape[1]


def test_sums_that_cannot_be_made_are_told(run):
    with pytest.raises(UserError, match="was not scored with it"):
        run.metric_sums("diversity")
    with pytest.raises(UserError, match="was not scored with it"):
        dataclasses.replace(run, results=None).metric_sums("rouge")
    with pytest.raises(UserError, match="lacks these scores"):
        run.metric_sums("rouge", [("nowhere", 0)])
    table = run.statistics
    columns = {name: values for name, values in table.columns.items() if name != "rouge.f1"}
    run.__dict__["statistics"] = msgspec.structs.replace(table, columns=columns)
    with pytest.raises(UserError, match="lacks these scores"):
        run.metric_sums("rouge")
    assert run.metric_sums("bleu")


def test_one_scorer_may_own_every_column(run):
    before, *_ = run.metric_sums("rouge")
    table = run.statistics
    columns = {name: values for name, values in table.columns.items() if name.startswith("rouge.")}
    run.__dict__["statistics"] = msgspec.structs.replace(table, columns=columns)
    sums, *_ = run.metric_sums("rouge")
    assert np.array_equal(sums.cluster_sums, before.cluster_sums)


def test_runs_are_found_in_a_folder_hidden_ones_and_unfinished_ones_not(tmp_path):
    for name in ("b", "a", ".hidden", "unfinished"):
        shutil.copytree(MAJORITY, tmp_path / "reports" / name)
    (tmp_path / "reports/unfinished" / store.RESULTS).unlink()
    (tmp_path / "reports/notes.txt").write_text("x", encoding="utf-8")
    assert [path.name for path in find_runs(tmp_path / "reports")] == ["a", "b"]
    assert find_runs(tmp_path / "reports/b") == [tmp_path / "reports/b"]
    with pytest.raises(UserError, match="neither a finished run"):
        find_runs(tmp_path / "reports/unfinished")


def test_the_unit_of_resampling_is_the_cluster_where_any_run_names_some(run):
    data = msgspec.structs.replace(run.record.data, clusters=3)
    clustered = dataclasses.replace(run, record=msgspec.structs.replace(run.record, data=data))
    assert resampling_over([run, clustered], Resampling(seed=4)) == Resampling(seed=4, unit="cluster")
    assert resampling_over([run, run], Resampling(unit="cluster")) == Resampling(unit="dialogue")
