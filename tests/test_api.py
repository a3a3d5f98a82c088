"""The Python face: `cscbench.run`, `load`, `compare`, `rescore`, and a run as tables, in Python and in a notebook."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import cscbench
from cscbench.runs.options import RunOptions
from cscbench.values import Context


@pytest.fixture
def few(tmp_path):
    """Options that make a run quick."""
    return {"limit": 3, "encoder": "none", "out": tmp_path / "reports"}


def test_run_returns_a_finished_run_and_load_finds_it(few):
    run = cscbench.run("majority", **few)
    assert run.scored().counts.dialogues == 3
    again = cscbench.load(run.folder)
    assert again.scored() == run.scored()
    assert cscbench.load(str(run.folder)).name == run.name
    assert cscbench.run("majority", **few).scored().timing == run.scored().timing  # read, not run again


def test_options_are_those_of_the_command_line_with_names_for_values(few):
    assert list(inspect.signature(cscbench.run).parameters) == list(RunOptions.__struct_fields__)
    run = cscbench.run("gold", context="generated", language="en", overrides={"card.sampling.max_tokens": 64}, **few)
    assert run.record.protocol.context is Context.GENERATED
    assert run.record.model.sampling.max_tokens == 64
    assert run.record.protocol.overrides == ("card.sampling.max_tokens=64",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "gold", "limit": "many"}, r"cscbench\.run: Expected `int`, got `str` - at `\$\.limit`"),
        ({"model": "gold", "limit": -1}, "limit -1: use a number of dialogues"),
        ({"model": "gold", "context": "golden"}, "Invalid enum value 'golden'"),
        ({"model": "gould"}, "no model card 'gould'; did you mean 'gold'"),
        ({"model": "gold", "overrides": {"card.sampling.max": 1}}, r"--set card\.sampling\.max: no such field"),
    ],
)
def test_wrong_options_are_user_errors(options, message):
    with pytest.raises(cscbench.UserError, match=message):
        cscbench.run(**options)


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="limt"):
        cscbench.run("gold", limt=3)


def test_a_folder_without_a_run_is_a_user_error(tmp_path):
    with pytest.raises(cscbench.UserError, match=r"run\.json: no such file"):
        cscbench.load(tmp_path)


def test_a_run_prints_as_the_table_of_its_metrics(few, cscbench_show):
    run = cscbench.run("majority", **few)
    lines = str(run).splitlines()
    assert lines[0] == "majority on CSConv sample (authored): gold context, joint"
    assert lines[-1] == str(run.folder)
    for metric in run.scored().metrics:
        (line,) = [line.split() for line in lines if line.split()[:1] == [metric.name]]
        assert line[1] == f"{metric.value:.2f}"
        assert (f"{metric.low:.2f}" in line) == (metric.low is not None)
        assert line in cscbench_show(run)
    assert "<td" in run._repr_html_()


@pytest.fixture
def cscbench_show(cscbench, monkeypatch):
    """The lines, in words, that the command line prints for a run."""

    def show(run):
        done = cscbench("score", run.folder, "--encoder", "none")
        assert done.returncode == 0, done.stderr
        return [line.split() for line in done.stdout.splitlines()]

    return show


def test_hostile_names_stay_text_in_a_notebook(few, tmp_path):
    run = cscbench.run("gold", overrides={"task.title": "<script>alert(1)</script>"}, **few)
    html = run._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_run_that_is_not_scored_says_so(few):
    run = cscbench.run("gold", **few)
    (run.folder / "results.json").unlink()
    unfinished = cscbench.load(run.folder)
    assert str(unfinished) == f"{run.folder}: unfinished"
    assert unfinished._repr_html_() is None
    for frame in (unfinished.metrics_frame, unfinished.turns_frame):
        with pytest.raises(cscbench.UserError, match="not scored yet"):
            frame()


def test_frames_hold_what_the_files_hold(few):
    run = cscbench.run("retrieval", **few)
    metrics = run.metrics_frame().set_index("name")
    for metric in run.scored().metrics:
        row = metrics.loc[metric.name]
        assert (row["value"], row["n"], row["signature"]) == (metric.value, metric.n, metric.signature)
    turns = run.turns_frame()
    assert len(turns) == run.scored().counts.turns
    assert turns["text"].tolist() == [pair.text for pair in run.pairs.values()]
    shares = 100 * turns["strategy"].eq(turns["reference_strategy"]).mean()
    assert shares == pytest.approx(metrics.loc["strategy_accuracy", "value"])
    assert 100 * turns["rouge.f1"].sum() / turns["rouge.turns"].sum() == pytest.approx(metrics.loc["rouge_l", "value"])


def test_compare_takes_runs_and_folders(few):
    gold, majority = (cscbench.run(model, **few) for model in ("gold", "majority"))
    comparison = cscbench.compare([gold, str(majority.folder)])
    assert comparison == cscbench.compare([majority, gold], baseline=gold)
    assert comparison.baseline == gold.name
    printed = str(comparison)
    assert printed.startswith(f"33 turns of 3 dialogues, against {gold.name}\n")
    assert all(metric.name in printed for metric in comparison.metrics)
    assert "<td" in comparison._repr_html_()
    with pytest.raises(cscbench.UserError, match="at least two run"):
        cscbench.compare([gold])


def test_rescore_adds_a_scorer(few):
    run = cscbench.run("majority", **few)
    scored = cscbench.rescore(run, encoder="none", scorers=["diversity"])
    assert {metric.name for metric in scored.scored().metrics} > {metric.name for metric in run.scored().metrics}
    assert scored.folder == run.folder


def test_importing_is_light_and_the_names_are_listed():
    heavy = "{'numpy', 'torch', 'transformers', 'pandas', 'rich', 'click', 'scipy'}"
    code = f"import sys, cscbench; print(sorted({heavy} & set(sys.modules)), 'run' in dir(cscbench))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = cscbench.runn


def test_it_runs_where_an_event_loop_runs(few):
    import asyncio

    async def cell():
        return cscbench.run("gold", **few)

    assert asyncio.run(cell()).scored().counts.failed == 0


@pytest.mark.slow
def test_a_notebook_shows_a_run_as_a_table(tmp_path):
    """A real kernel runs it: `cscbench.run` inside the kernel's event loop, shown as HTML and as text."""
    import nbclient
    import nbformat

    cells = [
        "import cscbench\nrun = cscbench.run('majority', limit=2, encoder='none')\nrun",
        "print(run)",
        "run.turns_frame().head()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    done = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    executed = done.execute()
    shown, printed, frame = (cell["outputs"] for cell in executed.cells)
    (table,) = [output["data"] for output in shown if output["output_type"] == "execute_result"]
    assert "<td" in table["text/html"]
    assert "strategy_accuracy" in table["text/plain"]
    assert "strategy_accuracy" in printed[0]["text"]
    assert "reference_strategy" in frame[-1]["data"]["text/html"]
    assert next(Path(tmp_path / "reports").iterdir()).name.startswith("csconv_sample--gold--majority")


@pytest.mark.slow
def test_types_are_known_to_a_checker(tmp_path):
    (tmp_path / "use.py").write_text(
        "import cscbench\n\nrun = cscbench.run('gold', limit=3)\nreveal_type(run)\ncscbench.run('gold', limt=3)\n"
        "reveal_type(cscbench.compare([run, 'reports/x']))\n",
        encoding="utf-8",
    )
    root = Path(cscbench.__file__).parents[1]
    args = [sys.executable, "-m", "mypy", "--config-file", root / "pyproject.toml", "use.py"]
    done = subprocess.run(args, capture_output=True, text=True, check=False, cwd=tmp_path, env={"MYPYPATH": str(root)})
    assert 'Revealed type is "cscbench.runs.finished.FinishedRun"' in done.stdout, done.stdout + done.stderr
    assert 'Revealed type is "cscbench.comparing.compare.Comparison"' in done.stdout
    assert 'Unexpected keyword argument "limt"' in done.stdout
