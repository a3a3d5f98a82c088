"""The `cscbench compare` command on real runs: its numbers, its formats, its errors."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from cscbench.asking import store
from cscbench.comparing.rows import HEAD
from cscbench.publishing import formats
from cscbench.runs import results
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.run import run


@pytest.fixture(scope="module")
def runs(finished_runs) -> dict[str, Path]:
    """The baselines on twelve dialogues, scored without an encoder; retrieval on eight, too."""
    return {
        **{model: finished_runs(model, limit=12) for model in ("gold", "majority", "retrieval")},
        "eight": finished_runs("retrieval", limit=8),
        "one": finished_runs("majority", limit=1),
        "other-one": finished_runs("retrieval", limit=1),
    }


def compared(cscbench, *args: object) -> dict:
    done = cscbench("compare", *args, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rows(comparison: dict, metric: str) -> dict[str, dict]:
    """The rows of a metric by the model in their run's name."""
    (table,) = [table for table in comparison["metrics"] if table["name"] == metric]
    return {row["run"].split("--")[2]: row for row in table["rows"]}


def test_values_are_those_of_the_runs_and_the_best_come_first(cscbench, runs):
    comparison = compared(cscbench, runs["majority"], runs["retrieval"], runs["gold"])
    for metric in comparison["metrics"]:
        values = [row["value"] for row in metric["rows"]]
        assert values == sorted(values, reverse=True)
        for model, row in rows(comparison, metric["name"]).items():
            reported = {entry.name: entry for entry in results.read(runs[model]).metrics}[metric["name"]]
            assert row["value"] == pytest.approx(reported.value)
            assert row["interval"] == pytest.approx([reported.low, reported.high])
    assert comparison["baseline"] == runs["majority"].name
    assert comparison["dialogues"] == 12


def test_a_difference_is_that_of_scikit_learn_and_its_words_are_right(cscbench, runs):
    comparison = compared(cscbench, runs["majority"], runs["retrieval"], runs["gold"])
    pairs = {name: results.read_pairs(runs[name]) for name in ("majority", "retrieval")}
    values = {}
    for name, turns in pairs.items():
        truth, predicted = [pair.reference_strategy for pair in turns], [pair.strategy for pair in turns]
        values[name] = 100 * f1_score(truth, predicted, average="macro", labels=sorted(set(truth)), zero_division=0)
    row = rows(comparison, "strategy_macro_f1")["retrieval"]
    assert row["paired"]["difference"] == pytest.approx(values["retrieval"] - values["majority"])
    low, high = row["paired"]["interval"]
    assert low < row["paired"]["difference"] < high
    assert row["verdict"] == "better"
    assert row["p"] < 0.05
    assert row["detectable"] > 1
    assert rows(comparison, "strategy_accuracy")["gold"]["verdict"] == "better"
    assert rows(comparison, "strategy_accuracy")["gold"]["paired"]["wins"] == 1
    assert rows(comparison, "parse_rate")["gold"]["verdict"] == "no difference shown"
    groups = {model: row["group"] for model, row in rows(comparison, "bleu_4").items()}
    assert groups["gold"] < groups["retrieval"] <= groups["majority"]


def test_the_baseline_can_be_any_of_them(cscbench, runs):
    comparison = compared(cscbench, runs["majority"], runs["retrieval"], "--baseline", runs["gold"])
    assert comparison["baseline"] == runs["gold"].name
    assert {row["verdict"] for row in rows(comparison, "bleu_2").values()} == {"baseline", "worse"}


def test_only_turns_that_all_answered_count(cscbench, runs):
    comparison = compared(cscbench, runs["gold"], runs["eight"])
    assert comparison["dialogues"] == 8
    assert any("not answered by all runs" in note for note in comparison["notes"])
    reported = {metric.name: metric.value for metric in results.read(runs["eight"]).metrics}
    assert rows(comparison, "bleu_4")["retrieval"]["value"] == pytest.approx(reported["bleu_4"])


def test_one_dialogue_gives_differences_and_no_verdict(cscbench, runs):
    comparison = compared(cscbench, runs["one"], runs["other-one"])
    row = rows(comparison, "bleu_2")["retrieval"]
    assert (row["interval"], row["p"], row["group"]) == (None, None, None)
    assert row["verdict"] == "too few dialogues to tell"
    assert np.isfinite(row["paired"]["difference"])


def test_the_same_words_twice_and_bca_moves_the_bounds(cscbench, runs):
    given = (runs["majority"], runs["retrieval"])
    first, again = compared(cscbench, *given), compared(cscbench, *given)
    assert first == again
    bca = compared(cscbench, *given, "--interval", "bca")
    assert "bca" in bca["resampling"]
    plain, moved = (rows(result, "bleu_4")["retrieval"]["paired"]["interval"] for result in (first, bca))
    assert plain != moved
    assert moved == pytest.approx(plain, rel=0.5)


def test_the_table_says_it_in_words(cscbench, runs):
    done = cscbench("compare", runs["majority"], runs["retrieval"])
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "retrieval" in line and line.rstrip().endswith("better")][
        :1
    ]
    assert line.split()[0] == "strategy_accuracy" or "retrieval" in line.split()[0]
    assert "`no difference shown` does not mean `equal`" in done.stdout


def test_csv_has_numbers_and_markdown_has_the_rows(cscbench, runs):
    given = ("compare", runs["majority"], runs["retrieval"])
    read = list(csv.DictReader(io.StringIO(cscbench(*given, "--format", "csv").stdout)))
    comparison = compared(cscbench, *given[1:])
    assert len(read) == sum(len(metric["rows"]) for metric in comparison["metrics"])
    (line,) = [row for row in read if row["metric"] == "bleu_4" and "retrieval" in row["run"]]
    paired = rows(comparison, "bleu_4")["retrieval"]["paired"]
    assert [float(line["difference_low"]), float(line["difference_high"])] == paired["interval"]
    table = cscbench(*given, "--format", "md").stdout.splitlines()
    assert {line.count(" | ") for line in table if not line.startswith("|---")} == {len(HEAD) - 1}
    done = cscbench(*given, "--format", "latex")
    assert (done.returncode, done.stderr) == (2, "cscbench: 'latex' is now `cscbench export --format latex`\n")


@pytest.mark.parametrize("name", ["=1+1", " @SUM(A1)", "a|b<script>", "50 % & $x_y^2$ {\\z}", "换\n行"])
def test_names_are_inert_in_every_format(name):
    assert not formats.csv_safe(name).lstrip().startswith(("=", "@"))
    line = formats.markdown(("run",), [(name,)]).splitlines()[2]
    assert line.count("|") - line.count("\\|") == 2
    assert "<" not in line.replace("\\<", "")


class TestRefused:
    def test_one_run(self, cscbench, runs):
        done = cscbench("compare", runs["gold"])
        assert (done.returncode, "at least two run folders" in done.stderr) == (2, True)

    def test_a_run_twice(self, cscbench, runs):
        done = cscbench("compare", runs["gold"], runs["gold"])
        assert (done.returncode, "is listed twice" in done.stderr) == (2, True)

    def test_a_run_that_is_not_scored(self, cscbench, runs, tmp_path):
        shutil.copytree(runs["gold"], tmp_path / "unscored")
        (tmp_path / "unscored" / store.RESULTS).unlink()
        done = cscbench("compare", runs["majority"], tmp_path / "unscored")
        assert (done.returncode, "not scored yet" in done.stderr) == (2, True)

    def test_runs_without_a_turn_in_common(self, cscbench, runs, tmp_path):
        english = run(prepare(RunOptions("gold", limit=1, language="en", encoder="none", out=str(tmp_path)))).folder
        chinese = run(prepare(RunOptions("gold", limit=1, language="zh", encoder="none", out=str(tmp_path)))).folder
        done = cscbench("compare", english, chinese)
        assert (done.returncode, "no answered turn in common" in done.stderr) == (2, True)
        assert "Traceback" not in done.stderr
