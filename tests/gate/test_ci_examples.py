"""The CI examples: each of their commands runs as in CI, with a local model."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from junitparser import JUnitXml

from cscbench.asking import store
from cscbench.cli import cli
from cscbench.comparing.gate.rules import read_rules
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.run import run

DOCS = Path(__file__).parents[2] / "docs"
OURS = "OWNER/cscbench/docs/ci@main"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", folder, DOCS.parent], check=True, capture_output=True, cwd=folder)
    return folder


@pytest.fixture
def place(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with rules and a baseline; pip finds cscbench without a network, and puts it into a folder here."""
    (tmp_path / "baselines").mkdir()
    options = RunOptions(model="majority", encoder="none", out=str(tmp_path / "before"))
    shutil.copy(run(prepare(options)).folder / store.RESULTS, tmp_path / "baselines" / "main.json")
    (tmp_path / "gate.yaml").write_text("rules: [{metric: strategy_accuracy, margin: 1}]", encoding="utf-8")
    site, tools = tmp_path / "site", tmp_path / "bin"
    tools.mkdir()
    (tools / "python").symlink_to(sys.executable)
    command = f'#!/bin/sh\nPYTHONPATH={site} exec {sys.executable} -c "from cscbench.cli import main; main()" "$@"\n'
    (tools / "cscbench").write_text(command, encoding="utf-8")
    (tools / "cscbench").chmod(0o755)
    for name, value in {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_TARGET": str(site),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "step-summary.md"),
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def bash(script: str, env: Mapping[str, str] = {}) -> "subprocess.CompletedProcess[str]":
    """As GitHub and GitLab start it."""
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def expand(text: str, values: Mapping[str, str]) -> str:
    """GitHub's `${{ name }}`."""
    return re.sub(r"\$\{\{\s*([\w.]+)\s*\}\}", lambda match: values[match[1]], text)


def run_action(given: Mapping[str, str], place: Path) -> "subprocess.CompletedProcess[str]":
    """Every step of the composite action; the first that fails is the last."""
    action: dict[str, Any] = yaml.safe_load((DOCS / "ci" / "action.yml").read_text(encoding="utf-8"))
    assert set(given) <= set(action["inputs"])
    values = {f"inputs.{name}": given.get(name, spec.get("default", "")) for name, spec in action["inputs"].items()}
    output = place / "outputs"
    for step in action["runs"]["steps"]:
        env = {name: expand(value, values) for name, value in step.get("env", {}).items()}
        done = bash(expand(step["run"], values), {**env, "GITHUB_OUTPUT": str(output)})
        if done.returncode:
            break
        if output.exists():
            lines = output.read_text(encoding="utf-8").splitlines()
            values |= {f"steps.{step['id']}.outputs.{line.partition('=')[0]}": line.partition("=")[2] for line in lines}
            output.unlink()
    return done


@pytest.mark.slow
@pytest.mark.parametrize(("model", "code", "words"), [("gold", 0, "passed"), ("majority", 1, "regressed")])
def test_the_github_example_and_the_action_that_it_uses(place, model, code, words):
    workflow = yaml.safe_load((DOCS / "ci" / "github.yml").read_text(encoding="utf-8"))
    (step,) = [step for step in workflow["jobs"]["gate"]["steps"] if step["uses"] == OURS]
    assert not [step for step in workflow["jobs"]["gate"]["steps"] if "run" in step]  # all else is GitHub's own
    (place / "gate.yaml").write_text("rules: [{metric: strategy_accuracy, floor: 90}]", encoding="utf-8")
    done = run_action({**step["with"], "model": model, "options": "--encoder none"}, place)
    assert done.returncode == code, done.stderr
    assert f"gate: {words}" in done.stdout
    assert len(JUnitXml.fromfile("gate.xml")) == 1
    assert f"cscbench gate: {words}" in (place / "step-summary.md").read_text(encoding="utf-8")
    assert (place / "site" / "cscbench").is_dir()  # and it was this one that ran


@pytest.mark.slow
def test_an_input_is_no_command(place):
    run_action({"model": 'gold"; touch owned; "', "options": "--encoder none"}, place)
    assert not Path("owned").exists()


@pytest.mark.slow
def test_the_gitlab_example(place):
    job = yaml.safe_load((DOCS / "ci" / "gitlab.yml").read_text(encoding="utf-8"))["gate"]
    env = {**job["variables"], "MODEL": "gold", "OPTIONS": "--encoder none"}
    done = bash("\n".join(job["script"]), env)
    assert done.returncode == 0, done.stderr
    assert "gate: passed" in done.stdout
    assert Path(job["artifacts"]["reports"]["junit"]).is_file()
    assert all(Path(path).exists() for path in job["artifacts"]["paths"])


@pytest.mark.slow
def test_the_pages_workflow_builds_the_board(place):
    workflow = yaml.safe_load((DOCS / "ci" / "pages.yml").read_text(encoding="utf-8"))
    shutil.copytree(DOCS.parent / "leaderboards" / "csconv_sample", place / "leaderboards" / "csconv_sample")
    steps = workflow["jobs"]["build"]["steps"]
    for step in steps:
        if "run" in step:
            # Here pip puts its packages into a folder `site`.
            done = bash(step["run"].replace("--out site", "--out pages"), workflow["env"])
            assert done.returncode == 0, done.stderr
    (upload,) = [step for step in steps if step.get("uses", "").startswith("actions/upload-pages-artifact@")]
    assert f"--out {upload['with']['path']}" in "".join(step.get("run", "") for step in steps)
    assert "csconv_sample" in (place / "pages" / "index.html").read_text(encoding="utf-8")
    assert workflow["permissions"] == {"contents": "read", "pages": "write", "id-token": "write"}


@pytest.mark.parametrize("name", ["action.yml", "gitlab.yml", "pages.yml"])
def test_the_commands_of_the_examples_have_options_that_exist(name):
    text = (DOCS / "ci" / name).read_text(encoding="utf-8")
    commands = re.findall(
        r"cscbench ((?:run|gate|leaderboard)\b[^|\n]*)", re.sub(r"^\s+description:.*", "", text, flags=re.M)
    )
    assert commands
    for words in map(str.split, commands):
        command = cli.get_command(click.Context(cli), words[0])
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words[1])
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", " ".join(words))) <= known


def test_the_rules_of_the_page_are_rules(tmp_path):
    page = (DOCS / "gate.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "gate.yaml").write_text(block, encoding="utf-8")
    rules = read_rules(tmp_path / "gate.yaml")
    assert [rule.limit for rule in rules.rules] == [2, 1, 95]
    assert rules.baseline == tmp_path / "baselines/main"
