"""Exports, read back by the tools they are for."""

import json
import os
import re
import subprocess
from pathlib import Path

import msgspec
import pandas
import pyarrow.parquet
import pytest
import yaml
from pages import page
from pages import table as page_table

from cscbench.publishing.export import ExportedRun, Target, export, exported
from cscbench.publishing.export.latex import latex_table
from cscbench.publishing.export.lm_eval import model_folder
from cscbench.publishing.export.tables import METRIC_HEAD, TURN_HEAD
from cscbench.values import UserError

HOSTILE = [
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "<script>window.x=1</script>",
    '"><img src=x onerror=alert(1)>',
    "\\input{/etc/passwd}",
    "100% & $x_1^2$ #{}~",
    "---\nmodel-index: []",
    "a: b\n- c",
    "| a | b |",
    "[x](javascript:alert(1))",
    "'; DROP TABLE runs; --",
    "../../etc/passwd",
    "你好，世界\u3000\u202egnp.exe",
    "line\r\nbreak",
    '{"a": 1}',
    "!!python/object/apply:os.system ['true']",
    "\u0000nul",
]


@pytest.fixture(scope="module")
def folders(finished_runs, tmp_path_factory) -> list[Path]:
    """Two finished runs of baselines, in a folder of their own."""
    runs = [finished_runs(model, limit=3) for model in ("majority", "retrieval")]
    return sorted(finished_runs.copies(tmp_path_factory.mktemp("runs"), *runs))


@pytest.fixture(scope="module")
def runs(folders) -> list[ExportedRun]:
    return [exported(folder) for folder in folders]


@pytest.fixture(scope="module")
def hostile(runs) -> list[ExportedRun]:
    """The same with hostile labels, topics and replies."""
    renamed = []
    for number, run in enumerate(runs):
        texts = HOSTILE[number:] + HOSTILE[:number]
        pairs = tuple(
            msgspec.structs.replace(pair, text=texts[at % len(texts)], topic=texts[-1 - at % len(texts)])
            for at, pair in enumerate(run.pairs)
        )
        model = msgspec.structs.replace(run.results.model, label=texts[5])
        renamed.append(
            msgspec.structs.replace(run, results=msgspec.structs.replace(run.results, model=model), pairs=pairs)
        )
    return renamed


def only(files, ending):
    (match,) = [content for path, content in files.items() if str(path).endswith(ending)]
    return match


def test_the_command_writes_every_form_twice_to_the_same_bytes(cscbench, folders, tmp_path):
    for target in Target:
        given = folders[:1] if target is Target.HF else folders[0].parent
        args = ("export", *(given if isinstance(given, list) else [given]), "--format", target)
        first, second = (cscbench(*args, "--out", tmp_path / target / name) for name in ("a", "b"))
        assert first.returncode == second.returncode == 0, first.stderr
        paths = [Path(line) for line in first.stdout.splitlines()]
        assert paths
        for path in paths:
            again = tmp_path / target / "b" / path.relative_to(tmp_path / target / "a")
            assert path.read_bytes() == again.read_bytes()


def test_pandas_reads_the_csv_back(runs, tmp_path):
    files = export(runs, Target.CSV)
    (tmp_path / "m.csv").write_bytes(only(files, "metrics.csv"))
    table = pandas.read_csv(tmp_path / "m.csv")
    assert tuple(table.columns) == METRIC_HEAD
    for run in runs:
        values = table[table.run == run.results.run.name].set_index("metric").value
        assert {name: values[name] for name in values.index} == {m.name: m.value for m in run.results.metrics}


def test_pyarrow_reads_the_parquet_back_with_texts_as_they_are(hostile, tmp_path):
    files = export(hostile, Target.PARQUET)
    (tmp_path / "t.parquet").write_bytes(only(files, "turns.parquet"))
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    assert tuple(table.column_names) == TURN_HEAD
    assert table["text"].to_pylist() == [pair.text for run in hostile for pair in run.pairs]
    assert table["topic"].to_pylist() == [pair.topic for run in hostile for pair in run.pairs]


def test_no_cell_of_the_csv_is_a_formula(hostile, tmp_path):
    for content in export(hostile, Target.CSV).values():
        (tmp_path / "x.csv").write_bytes(content)
        table = pandas.read_csv(tmp_path / "x.csv", dtype=str, keep_default_na=False)
        cells = [cell for column in table for cell in table[column]]
        texts = [cell for cell in cells if not cell.replace(".", "", 1).replace("-", "", 1).isdigit()]
        assert not any(text.lstrip()[:1] in {"=", "+", "-", "@"} for text in texts if "e-" not in text)
        assert len(table) in {
            len(hostile[0].pairs) + len(hostile[1].pairs),
            sum(len(r.results.metrics) for r in hostile),
        }


@pytest.mark.parametrize("text", [*HOSTILE, "[star]", "***bold*** `code` ^ $x^2$ \\(y\\)", "换\n行"])
def test_a_hostile_name_is_text_in_latex(text):
    def commands(table: str) -> set[str]:
        return set(re.findall(r"\\[a-zA-Z]+", table))

    head, rows = ("a", "b"), [("c", "d"), (text, text)]
    table = latex_table((*head, text), [(text, [(*row, text) for row in rows])], (1,))
    plain = latex_table((*head, "c"), [("c", [(*row, "c") for row in rows])], (1,))
    assert commands(table) - {r"\textbackslash", r"\textasciitilde", r"\textasciicircum"} <= commands(plain)
    assert len(table.splitlines()) == len(plain.splitlines())
    braces = table.replace(r"\{", "").replace(r"\}", "")
    assert braces.count("{") == braces.count("}")
    assert not re.search(r"(?<!\\)[#%^~$]|\\\\\s*\[", table)


def test_latex_has_a_row_per_metric(hostile):
    text = only(export(hostile, Target.LATEX), "metrics.tex").decode()
    assert text.count("\\\\") == 1 + sum(len(run.results.metrics) for run in hostile)


def test_huggingface_hub_reads_the_model_card_back(runs):
    from huggingface_hub import ModelCard
    from huggingface_hub.repocard_data import model_index_to_eval_results

    text = only(export(runs[:1], Target.HF), "README.md").decode()
    card = ModelCard(text)
    name, results = model_index_to_eval_results(card.data.to_dict()["model-index"])
    assert name == runs[0].results.model.label
    assert [(result.metric_type, result.metric_value) for result in results] == [
        (m.name, m.value) for m in runs[0].results.metrics
    ]
    assert results[0].metric_args["signature"] == runs[0].results.metrics[0].signature


def test_huggingface_hub_reads_the_eval_results_back(runs):
    from huggingface_hub import parse_eval_result_entries

    files = export(runs[:1], Target.HF, "owner/data")
    entries = parse_eval_result_entries(yaml.safe_load(only(files, "cscbench.yaml")))
    assert [entry.value for entry in entries] == [metric.value for metric in runs[0].results.metrics]
    assert {entry.dataset_id for entry in entries} == {"owner/data"}
    assert entries[0].task_id == "strategy_accuracy_gold_joint"


@pytest.mark.parametrize("label", HOSTILE)
def test_a_hostile_name_stays_a_name_on_the_card(runs, label):
    from huggingface_hub import ModelCard

    run = runs[0]
    model = msgspec.structs.replace(run.results.model, label=label)
    run = msgspec.structs.replace(run, results=msgspec.structs.replace(run.results, model=model))
    card = ModelCard(only(export([run], Target.HF), "README.md").decode())
    assert card.data.to_dict()["model-index"][0]["name"] == label
    folder = model_folder(label)
    assert len(Path(folder).parts) == 1
    assert folder not in {".", ".."}
    assert "\x00" not in folder


def test_a_card_is_of_one_model(runs):
    with pytest.raises(UserError, match="a model card describes one model; these runs are from majority, retrieval"):
        export(runs, Target.HF)
    with pytest.raises(UserError, match=r"OWNER/NAME"):
        export(runs[:1], Target.HF, "nowhere")
    with pytest.raises(UserError, match="is listed twice"):
        export([runs[0], runs[0]], Target.CSV)


def test_lm_evals_files_have_the_fields_that_its_own_have(hostile):
    files = export(hostile, Target.LM_EVAL)
    for path, content in files.items():
        assert len(path.parts) == 2
        if path.suffix == ".json":
            results = json.loads(content)
            (name,) = results["results"]
            assert {"results", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples"} <= {
                *results
            }
            assert results["n-samples"][name]["original"] > 0
        else:
            lines = [json.loads(line) for line in content.decode().split("\n")[:-1]]
            assert [line["doc_id"] for line in lines] == [*range(len(lines))]
            assert {line["resps"][0][0] for line in lines} <= {*HOSTILE}


def test_a_standard_error_is_half_the_interval(runs):
    results = json.loads(next(iter(export(runs[:1], Target.LM_EVAL).values())))
    (values,) = results["results"].values()
    metric = runs[0].results.metrics[0]
    assert values[f"{metric.name}_stderr,none"] == pytest.approx((metric.high - metric.low) / 3.92, rel=1e-3)


READS = """
import glob, json, sys
from lm_eval.utils import get_latest_filename, get_results_filenames, get_sample_results_filenames, make_table
names = glob.glob(sys.argv[1] + "/*/*")
results = get_results_filenames(names)
assert len(results) == len(get_sample_results_filenames(names)) == 2, names
latest = get_latest_filename(results)
print(make_table(json.load(open(latest, encoding="utf-8"))))
"""


def test_lm_evals_own_table_maker_reads_the_files(runs, tmp_path):
    python = os.environ.get("CSCBENCH_LM_EVAL", "")
    if not python:
        pytest.skip("needs lm-eval, in its own environment: make test-more")
    from cscbench.publishing.export import write

    write(export(runs, Target.LM_EVAL), tmp_path / "out")
    done = subprocess.run([python, "-c", READS, tmp_path / "out"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for metric in runs[0].results.metrics:
        assert metric.name in done.stdout
    assert "±" in done.stdout


def test_the_page_names_every_form_and_what_it_writes(runs):
    rows = {row[0]: row[1] for row in page_table(page("exports.md"), "Exports")}
    assert set(rows) == {target.value for target in Target}
    for target in Target:
        for path in export(runs[:1], target, "a/b" if target is Target.HF else ""):
            assert path.suffix in rows[target.value]
