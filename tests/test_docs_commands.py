"""The commands, options and Python of the pages exist: a renamed command is renamed in every page."""

import re
import shlex
from pathlib import Path

import click
import pytest
from pages import ROOT, commands, page, python_blocks, rows, table

from cscbench.cli import cli

PAGES = ["README.md", "README.zh.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


def commands_named(text: str) -> set[str]:
    """Return every `cscbench ...` of the shell blocks and of the sentences."""
    inline = re.findall(r"`(cscbench [^`\n]+)`", text.replace("\\|", "|"))
    return {*inline, *(shlex.join(words) for words in commands(text) if words[0] == "cscbench")}


def resolve(words: list[str]) -> list[click.Command]:
    """Return the command that the words begin with; `add|check` is two commands."""
    resolved: list[click.Command] = [cli]
    for word in words:
        groups = [command for command in resolved if isinstance(command, click.Group)]
        if word.startswith("-") or not groups or word == "COMMAND":
            break
        resolved = [subcommand(group, name) for group in groups for name in word.split("|")]
    return resolved


def subcommand(group: click.Group, name: str) -> click.Command:
    command = group.get_command(click.Context(group), name)
    assert command is not None, f"no command {name}"
    return command


def leaves(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    """Return the commands that do something, by their names with spaces."""
    commands_by_name: dict[str, click.Command] = {}
    for name in group.list_commands(click.Context(group)):
        command = subcommand(group, name)
        commands_by_name |= (
            leaves(command, f"{prefix}{name} ") if isinstance(command, click.Group) else {prefix + name: command}
        )
    return commands_by_name


@pytest.mark.parametrize("name", PAGES)
def test_every_command_and_option_named_exists(name):
    for line in commands_named((ROOT / name).read_text(encoding="utf-8")):
        words = shlex.split(line)[1:]
        for command in resolve(words):
            known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
            assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, line


def test_the_page_of_commands_has_every_command_and_only_options_that_exist():
    real = leaves(cli)
    shown = {row[0]: set(re.findall(r"--[a-z-]+", row[2])) for row in rows(page("cli.md"))}
    assert set(shown) == set(real)
    for name, options in shown.items():
        assert options <= {option for parameter in real[name].params for option in parameter.opts}, name


@pytest.mark.parametrize("example", [row[0] for row in table(page("cli.md"), "Set any field")])
def test_the_examples_of_set_are_accepted(cscbench, example):
    judges = ["--judge", "smollm2-135m"] if "judge." in example else []
    done = cscbench("run", "--model", "smollm2-135m", "--limit", "1", *judges, *example.split(), "--dry-run")
    assert done.returncode == 0, done.stderr


def test_the_python_of_the_readme_runs(capsys):
    (block,) = python_blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    names: dict = {}
    quick = block.replace("limit=4", 'limit=2, encoder="none"').replace("scorers=", 'encoder="none", scorers=')
    exec(quick, names)  # noqa: S102 - the page's own example
    printed = capsys.readouterr().out
    assert "strategy_accuracy" in printed
    assert {row.run for metric in names["comparison"].metrics for row in metric.rows} >= {names["other"].folder.name}
    assert set(names["metrics"]["name"]) >= {"bleu_2", "rouge_l"}
    assert len(names["turns"]) == names["run"].results.counts.turns
    assert names["again"].folder == Path(names["run"].folder)


def test_the_python_of_the_page_of_commands_runs():
    (block,) = python_blocks(page("cli.md"))
    names: dict = {}
    exec(block, names)  # noqa: S102 - the page's own example
    assert set(names["metrics"]["name"]) >= {"bleu_2", "rouge_l"}
