"""`cscbench show` and `cscbench score`, as they are typed."""

import json
import re
import shutil
from pathlib import Path

import pytest
from helpers import metrics_of, refused, results_of


@pytest.fixture(scope="module")
def runs(finished_runs, tmp_path_factory) -> dict[str, Path]:
    """Two finished runs without BERTScore, each in a folder of its own."""
    out = tmp_path_factory.mktemp("shown")
    return {
        model: finished_runs.copies(out / model, finished_runs(model, limit=4))[0] for model in ("gold", "majority")
    }


@pytest.fixture
def majority(runs, tmp_path) -> Path:
    """A run of one's own, to be spoiled."""
    return Path(shutil.copytree(runs["majority"], tmp_path / "run"))


def shown(done) -> dict[str, str]:
    """The lines that `show` printed, by their first word."""
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}


def test_runs_are_shown_side_by_side_in_aligned_columns(cscbench, runs):
    done = cscbench("show", runs["gold"], runs["majority"])
    lines = shown(done)
    ends = [end.end() for end in re.finditer(r"gold\b|majority\b", lines["gold"])]
    assert len(ends) == 2
    both = {name: [results_of(runs["gold"]), results_of(runs["majority"])] for name in metrics_of(runs["gold"])}
    for number, name in enumerate(both):
        cells = []
        for scored in both[name]:
            metric = scored["metrics"][number]
            cells.append(f"{metric['value']:.1f} [{metric['low']:.1f}, {metric['high']:.1f}]")
        # Numbers are set flush right under the name of their run.
        for end, cell in zip(ends, cells, strict=True):
            assert lines[name][:end].endswith(f" {cell}")
    assert "43 turns" in done.stdout


def test_a_folder_of_runs_stands_for_all_of_them(cscbench, runs):
    done = cscbench("show", runs["gold"].parent, runs["majority"].parent)
    assert done.stdout == cscbench("show", runs["gold"], runs["majority"]).stdout


def test_a_run_without_a_metric_that_another_has_leaves_its_cell_empty(cscbench, runs, majority):
    scored = results_of(majority)
    scored["metrics"] = [metric for metric in scored["metrics"] if metric["name"] != "bleu_4"]
    (majority / "results.json").write_text(json.dumps(scored), encoding="utf-8")
    lines = shown(cscbench("show", runs["gold"], majority))
    assert lines["bleu_4"].count("[") == 1
    assert lines["bleu_4"].split()[1] == "100.0"
    assert lines["bleu_2"].count("[") == 2


def test_scoring_again_prints_and_writes_what_the_run_did(cscbench, majority):
    before = results_of(majority)
    done = cscbench("score", majority, "--encoder", "none")
    assert done.returncode == 0, done.stderr
    after = results_of(majority)
    assert {**after, "timing": {}} == {**before, "timing": {}}
    for metric in after["metrics"]:
        row = next(line for line in done.stdout.splitlines() if line.split()[:1] == [metric["name"]])
        numbers = [f"{metric[key]:.2f}" for key in ("value", "low", "high")]
        assert row.split()[1:5] == [*numbers, str(metric["n"])]


def test_bertscore_is_put_in_and_left_out_by_the_encoder(cscbench, tmp_path):
    args = ("--model", "majority", "--language", "en", "--limit", "2", "--out", tmp_path / "out")
    done = cscbench("run", *args, "--encoder", "minilm-l6")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "out").iterdir()
    first = metrics_of(folder)
    assert 0 < first["bertscore_f1"]["low"] < first["bertscore_f1"]["value"] < first["bertscore_f1"]["high"] < 90
    assert results_of(folder)["scoring"]["encoder"].startswith("minilm-l6@")
    assert cscbench("score", folder, "--encoder", "none").returncode == 0
    without = metrics_of(folder)
    assert without == {name: metric for name, metric in first.items() if name != "bertscore_f1"}
    assert results_of(folder)["scoring"]["encoder"] == ""
    assert cscbench("score", folder, "--encoder", "minilm-l6").returncode == 0
    assert metrics_of(folder) == first


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ("minilm-l6", "minilm-l6 does not support zh"),
        ("e5-smal", "e5-small"),
        ("./no/encoder", "no/encoder/config.json"),
        ("smollm2-135m", "not an encoder"),
    ],
)
def test_an_encoder_that_cannot_be_used_is_refused_before_anything_is_asked(cscbench, encoder, said, tmp_path):
    done = cscbench("run", "--model", "gold", "--limit", "3", "--encoder", encoder, "--out", tmp_path / "out")
    refused(done, said)
    assert not list(tmp_path.glob("out/*/replies.jsonl"))
    assert not list(tmp_path.glob("out/*/results.json"))


def test_an_unknown_scorer_is_refused_and_the_results_stay(cscbench, majority):
    before = (majority / "results.json").read_bytes()
    refused(cscbench("score", majority, "--encoder", "none", "--scorer", "roughe"), "no scorer 'roughe'", "rouge")
    assert (majority / "results.json").read_bytes() == before


def test_a_folder_that_is_no_run_is_refused(cscbench, tmp_path):
    refused(cscbench("show", tmp_path / "nowhere"), tmp_path / "nowhere", "results.json")
    refused(cscbench("score", tmp_path / "nowhere"), tmp_path / "nowhere" / "run.json")
    assert not (tmp_path / "nowhere").exists()


def test_a_run_that_was_not_finished_is_refused_with_the_cure(cscbench, majority):
    (majority / "results.json").unlink()
    refused(cscbench("show", majority), majority, "no results.json")
    (majority / "predictions.parquet").unlink()
    refused(cscbench("score", majority, "--encoder", "none"), "predictions.parquet", "to finish the run")


def test_a_changed_results_file_is_refused_and_its_cure_works(cscbench, majority):
    before = metrics_of(majority)
    scored = results_of(majority)
    del scored["metrics"][0]["value"]
    (majority / "results.json").write_text(json.dumps(scored), encoding="utf-8")
    done = cscbench("show", majority)
    refused(done, majority / "results.json", "`value` - at `$.metrics[0]`", "remove it", f"cscbench score {majority}")
    (majority / "results.json").unlink()
    assert cscbench("score", majority, "--encoder", "none").returncode == 0
    assert metrics_of(majority) == before


def test_foreign_predictions_are_refused_and_the_cure_works(cscbench, majority):
    before = metrics_of(majority)
    (majority / "predictions.parquet").write_bytes(b"dialogue,turn\n")
    refused(cscbench("score", majority, "--encoder", "none"), majority / "predictions.parquet")
    for name in ("predictions.parquet", "results.json"):
        (majority / name).unlink()
    name = json.loads((majority / "run.json").read_text(encoding="utf-8"))["name"]
    again = majority.rename(majority.parent / name)
    done = cscbench("run", "--model", "majority", "--limit", "4", "--encoder", "none", "--out", again.parent)
    assert done.returncode == 0, done.stderr
    assert metrics_of(again) == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "cscbench/run/1"}'])
def test_a_run_file_that_was_changed_is_refused(cscbench, majority, content):
    (majority / "run.json").write_text(content, encoding="utf-8")
    refused(cscbench("score", majority, "--encoder", "none"), majority / "run.json")
