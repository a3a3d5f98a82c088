"""The three packages of docs/extending.md are short, are shown in full, install, and run as that page says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pages import ROOT, commands, page, shown_files

PAGE = page("extending.md")
MODULES = {
    "task": ROOT / "docs/examples/task/cscbench_refunds/__init__.py",
    "adapter": ROOT / "docs/examples/adapter/cscbench_rules.py",
    "scorer": ROOT / "docs/examples/scorer/cscbench_length_error.py",
}


DIALOGUES = [
    json.loads(line)["dialogue"]
    for line in (MODULES["task"].parent / "refunds.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder into which `pip install` of the page put the three packages, without a network."""
    target = tmp_path_factory.mktemp("site")
    (command,) = [words for words in commands(PAGE) if words[0] == "pip"]
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--target", target]
    done = subprocess.run(
        [sys.executable, "-m", "pip", command[1], *flags, *command[2:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def outputs(installed, tmp_path_factory):
    """What every command of the page printed, run in its order in a folder with the files that the page shows."""
    folder = tmp_path_factory.mktemp("work")
    shutil.copytree(ROOT / "docs", folder / "docs")
    for name, text in shown_files(PAGE).items():
        if not name.startswith("docs/"):
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_text(text, encoding="utf-8")
    real = {"cscbench": [sys.executable, "-m", "cscbench"], "cp": ["cp"]}
    printed = {}
    for command, *rest in commands(PAGE):
        if command == "pip":  # done by `installed`
            continue
        done = subprocess.run(
            [*real[command], *rest],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, (command, rest, done.stderr)
        printed[" ".join(rest)] = done.stdout
    return folder, printed


def results_of(outputs, task):
    folder, printed = outputs
    (output,) = [text for command, text in printed.items() if f"--task {task}" in command]
    return output, json.loads((folder / output.splitlines()[-1] / "results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MODULES)
def test_each_module_is_under_thirty_lines(name):
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) < 30


@pytest.mark.parametrize("name", MODULES)
def test_the_page_shows_each_module_and_its_pyproject_as_they_are(name):
    shown = shown_files(PAGE)
    for path in (MODULES[name], ROOT / "docs/examples" / name / "pyproject.toml"):
        assert shown[path.relative_to(ROOT).as_posix()] == path.read_text(encoding="utf-8")


def test_each_package_is_one_module(installed):
    modules = {path.relative_to(installed).as_posix() for path in installed.rglob("*.py")}
    assert modules == {"cscbench_refunds/__init__.py", "cscbench_rules.py", "cscbench_length_error.py"}


def test_installed_and_own_content_is_listed(outputs):
    _, printed = outputs
    assert "Refunds (authored)" in printed["tasks"]
    assert "My refunds" in printed["tasks"]  # a folder in the working directory stands beside the package's
    rows = [line.split() for line in printed["models"].splitlines()]
    assert ["refund-rules", "rules"] in [row[:2] for row in rows]


def test_the_run_scores_the_rules_on_the_task_with_the_scorer(outputs):
    output, results = results_of(outputs, "refunds")
    turns = [turn for turns in DIALOGUES for turn in turns if "strategy" in turn]
    assert (results["counts"]["dialogues"], results["counts"]["turns"]) == (len(DIALOGUES), len(turns))
    assert results["counts"]["unparsed"] == 0
    (metric,) = [metric for metric in results["metrics"] if metric["name"] == "length_error"]
    assert metric["low"] < metric["value"] < metric["high"]
    assert metric["n"] == len(turns)
    assert metric["higher_is_better"] is False
    assert metric["signature"].startswith("unit:character|level:corpus|length-error:1|task:refunds|data:")
    assert "length_error" in output
    assert f"{metric['value']:.2f}" in output


def test_the_values_are_those_counted_by_hand_from_the_data(outputs):
    """What the rules say is found again here without cscbench; so are the labels."""
    _, results = results_of(outputs, "refunds")
    rules = yaml.safe_load(shown_files(PAGE)["model_cards/refund-rules.md"].split("---")[1])["options"]["rules"]
    labels = {
        "GT": ("策略1 礼貌问候", "Greeting"),
        "IV": ("策略2 确认身份", "Identity Verification"),
        "PR": ("策略4 细化问题", "Problem Refinement"),
        "EM": ("策略5 情感管理", "Emotional Management"),
        "ID": ("策略7 信息传达", "Information Delivery"),
        "AC": ("策略11 感谢与告别", "Appreciation and Closure"),
    }
    right = off = length = turns = 0
    for dialogue in DIALOGUES:
        customer_text = ""
        for turn in dialogue:
            if "strategy" in turn:
                rule = next(rule for rule in rules if re.search(rule["when"], customer_text, re.IGNORECASE))
                right += turn["strategy"] in labels[rule["strategy"]]
                off += abs(len(rule["say"]) - len(turn["text"]))
                length += len(turn["text"])
                turns += 1
            customer_text = turn["text"]
    values = {metric["name"]: metric["value"] for metric in results["metrics"]}
    assert values["strategy_accuracy"] == pytest.approx(100 * right / turns)
    assert values["length_error"] == pytest.approx(100 * off / length)
    assert 0 < right < turns


def test_a_folder_of_ones_own_holds_the_same_task_without_a_package(outputs):
    _, results = results_of(outputs, "my_refunds")
    values = {metric["name"]: metric["value"] for metric in results["metrics"]}
    assert values["strategy_accuracy"] == values["rouge_l"] == 100
    _, packaged = results_of(outputs, "refunds")
    assert results["data"]["files"] == packaged["data"]["files"]
    assert results["protocol"]["prompts"] == packaged["protocol"]["prompts"]


@pytest.mark.parametrize("condition", ["two-step", "gold-strategy"])
def test_the_rules_answer_every_condition(installed, outputs, cscbench, monkeypatch, condition):
    folder, _ = outputs
    monkeypatch.chdir(folder)
    command = ["run", "--model", "refund-rules", "--task", "refunds", "--encoder", "none", "--context", "generated"]
    done = cscbench(*command, "--condition", condition, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr
    results = json.loads((folder / done.stdout.splitlines()[-1] / "results.json").read_text(encoding="utf-8"))
    _, joint = results_of(outputs, "refunds")
    bleu = [m["value"] for m in results["metrics"] if m["name"] == "bleu_4"]
    assert bleu == [m["value"] for m in joint["metrics"] if m["name"] == "bleu_4"]


def test_a_mistyped_rule_is_told_with_the_nearest_name(installed, outputs, cscbench, monkeypatch, tmp_path):
    card = shown_files(PAGE)["model_cards/refund-rules.md"].replace('{when: "^$"', '{whem: "^$"')
    (tmp_path / "model_cards").mkdir()
    (tmp_path / "model_cards/refund-rules.md").write_text(card, encoding="utf-8")
    done = cscbench(
        "run", "--model", "refund-rules", "--task", "refunds", "--encoder", "none", PYTHONPATH=str(installed)
    )
    assert done.returncode == 2
    assert "refund-rules: `options` of its card:" in done.stderr
    assert "did you mean 'when'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(Path("reports").glob("*/results.json"))


def test_without_the_packages_the_names_are_unknown(outputs, cscbench, monkeypatch):
    folder, _ = outputs
    monkeypatch.chdir(folder)
    done = cscbench("run", "--model", "gold", "--task", "my_refunds", "--scorer", "length_error", "--encoder", "none")
    assert (done.returncode, "no scorer 'length_error'" in done.stderr) == (2, True)
    done = cscbench("run", "--model", "refund-rules", "--task", "my_refunds", "--encoder", "none")
    assert (done.returncode, "no adapter 'rules'" in done.stderr) == (2, True)
