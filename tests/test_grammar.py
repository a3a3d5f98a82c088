"""The grammar of commands: help, the fields that --set reaches, old names, and wrong input."""

import re

import click
import pytest
from click.testing import CliRunner
from pages import page, table
from test_docs_commands import leaves

from cscbench.cli import _COMMANDS, cli
from cscbench.content.overrides import known_fields

COMMANDS = leaves(cli)


def options(command: click.Command) -> set[str]:
    visible = [option for option in command.params if not getattr(option, "hidden", False)]
    return {name for option in visible for name in option.opts if name.startswith("--")}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_describes_every_option(name):
    shown = CliRunner().invoke(cli, [*name.split(), "--help"])
    assert shown.exit_code == 0
    assert options(COMMANDS[name]) <= set(re.findall(r"--[\w-]+", shown.output))
    described = [option for option in COMMANDS[name].params if isinstance(option, click.Option) and not option.hidden]
    assert all(option.help for option in described)
    assert not re.search(r"to be had|goes on|anew|in the place of", shown.output)


def test_the_list_of_commands_shows_each_with_a_sentence():
    shown = CliRunner().invoke(cli, ["--help"]).output
    for name, (_, sentence) in _COMMANDS.items():
        assert f"  {name} " in shown
        assert sentence.endswith(".")


def test_the_page_lists_every_field_that_set_reaches():
    documented = {row[0]: row[1] for row in table(page("cli.md"), "Paths")}
    assert set(documented) == {*known_fields(), "card.options.NAME"}


OLD = {
    "agree a b": "`cscbench agree A B` is now `cscbench compare --texts A B`",
    "judge": "`cscbench judge calibrate` is now `cscbench calibrate judge`",
    "judge calibrate --judge x": "`cscbench judge calibrate` is now `cscbench calibrate judge`",
    "run --model gold --judge-level dialogue": "--judge-level is now --set judge.level=LEVEL",
    "run --model gold --judge-repeats 2": "--judge-repeats is now --set judge.repeats=N",
    "calibrate judge --judge x --judge-repeats 2": "--judge-repeats is now --set judge.repeats=N",
    "export a --to csv": "--to is now --format",
    "report a --form html": "--form is now --format",
    "compare a b --format latex": "'latex' is now `cscbench export --format latex`",
    "report a --format tex": "'tex' is now `cscbench export --format latex`",
}


@pytest.mark.parametrize("line", OLD)
def test_an_old_name_gives_the_new_one(cscbench, line):
    done = cscbench(*line.split())
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"cscbench: {OLD[line]}\n")


WRONG = {
    "runn": "no command 'runn'; did you mean 'run'?",
    "run --modle gold": "No such option '--modle'.",
    "run": "Missing option '--model'.",
    "compare a b --format xml": "'xml' is not one of 'table', 'md', 'csv', 'json'",
    "export a --format xml": "'xml' is not one of 'lm-eval'",
    "report a --format pdf": "'pdf' is not one of 'html', 'md'",
    "compare --texts a b --format md": "--texts has no --format md: use table or json",
    "run --model gold --set card.samplng.max_tokens=4": "did you mean 'card.sampling.max_tokens'?",
    "run --model gold --set judge.cards=x": "--set judge.cards: no such field",
    "run --model gold --set card.sampling.max_tokens=four": "expected `int`, got `str`",
    "run --model gold --set card.sampling.max_tokens": "write PATH=VALUE",
    "run --model gold --set card.sampling.max_tokens=0": "expected `int` >= 1",
    "run --model gold --set card.sampling.temperature=-1": "expected `float` >= 0",
    "run --model gold --set judge.repeats=-1 --dry-run": "expected `int` >= 0",
    "run --model gold --set card.sampling.seed=3": "--set card.sampling.seed: no such field",
    "run --model gold --set card.sampling=1": "--set card.sampling: no such field",
    "run --model gold --set card.sampling.max_tokens=[1": "not valid YAML",
    "run --model gold --set judge.level=page --dry-run": "invalid enum value 'page'",
    "run --model gold --set knowledge.passages=3": "--set knowledge.passages: no such field",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_input_is_one_line_and_code_2(cscbench, line):
    done = cscbench(*line.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert WRONG[line] in done.stderr
    assert done.stderr.startswith("cscbench: ")
    assert done.stderr.count("\n") == 1
