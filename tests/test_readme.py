"""What both READMEs show and tell a person to type is true: numbers, commands, links, metrics."""

import json
import re
from pathlib import Path

import pytest
from pages import ROOT, anchors, commands, links, page, python_blocks, rows, table

README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh.md").read_text(encoding="utf-8")
BOTH = pytest.mark.parametrize("text", [README, CHINESE], ids=["en", "zh"])
COLUMNS = ("strategy_accuracy", "bleu_2", "rouge_l", "bertscore_f1")
SMOLLM2 = ROOT / "leaderboards/csconv_sample/entries/csconv_sample--gold--smollm2-135m--4f01e127.json"


def metrics_of(cscbench, *options: str) -> dict[str, dict[str, float]]:
    """Run a model and return its metrics by name."""
    done = cscbench("run", *options)
    assert done.returncode == 0, done.stderr
    results = json.loads((Path(done.stdout.splitlines()[-1]) / "results.json").read_text(encoding="utf-8"))
    return {metric["name"]: metric for metric in results["metrics"]}


def cell(metric: dict[str, float]) -> str:
    """Return a metric as the table of results shows it."""
    return f"{metric['value']:.1f} [{metric['low']:.1f}, {metric['high']:.1f}]"


def result_table(text: str) -> dict[str, list[str]]:
    """Return the cells of the first table, by model."""
    return {row[0].partition("`")[0]: row[1:] for row in rows(text)}


@BOTH
def test_it_is_short_and_shows_results_on_its_first_screen(text):
    assert len(text.splitlines()) < 150
    assert rows("\n".join(text.splitlines()[:40]) + "\n") == rows(text)
    assert list(result_table(text)) == ["gold", "retrieval", "majority", "smollm2-135m"]
    assert all(
        re.fullmatch(r"[\d.]+ \[[\d.]+, [\d.]+\]", shown) for row in result_table(text).values() for shown in row
    )


@pytest.mark.parametrize("model", ["gold", "retrieval", "majority"])
def test_the_results_of_the_baselines_come_out_again(cscbench, model):
    metrics = metrics_of(cscbench, "--model", model, "--language", "en", "--encoder", "none")
    expected = [cell(metrics[name]) for name in COLUMNS if name in metrics]
    assert result_table(README)[model][: len(expected)] == expected
    assert {metric["n"] for metric in metrics.values()} == {164}
    assert len(expected) == len(COLUMNS) - 1


def test_the_results_of_smollm2_are_those_that_its_board_holds():
    """`leaderboard check` computes those again from the replies."""
    entry = json.loads(SMOLLM2.read_text(encoding="utf-8"))
    metrics = {metric["name"]: metric for metric in entry["results"]["metrics"]}
    assert result_table(README)["smollm2-135m"] == [cell(metrics[name]) for name in COLUMNS]
    assert entry["command"].endswith("--language en")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gold", "retrieval", "majority", "smollm2-135m"])
def test_all_results_come_out_again(cscbench, model):
    metrics = metrics_of(cscbench, "--model", model, "--language", "en")
    assert result_table(README)[model] == [cell(metrics[name]) for name in COLUMNS]


def test_the_output_shown_is_that_of_the_first_command(cscbench):
    (shown,) = re.findall(r"^```text\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    command = next(words for words in commands(README) if words[:2] == ["cscbench", "run"])
    metrics = metrics_of(cscbench, *command[2:], "--encoder", "none")
    printed = {line.split()[0]: line.split()[1:] for line in shown.splitlines()[2:]}
    for name, metric in metrics.items():
        values = [f"{metric[key]:.2f}" for key in ("value", "low", "high")]
        assert printed.pop(name) == [*values, str(metric["n"])], name
    assert list(printed) == ["bertscore_f1"]  # left out here: it takes an encoder


def test_its_commands_run(cscbench, tmp_path):
    """Models that are slow or not on this machine get `--dry-run`."""
    lines = (ROOT / "tasks/csconv_sample/data/test.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "CSConv.json").write_text(f"[{','.join(lines[:3])}]", encoding="utf-8")
    shown = [words[1:] for words in commands(README) if words[0] == "cscbench"]
    assert len(shown) >= 6
    for command in shown:
        extra = []
        if command[0] == "run":
            quick = command[command.index("--model") + 1] == "retrieval"
            extra = ["--encoder", "none"] if quick else ["--dry-run"]
        done = cscbench(*command, *extra)
        assert done.returncode == 0, (command, done.stderr)


def test_every_metric_is_listed_with_its_name_in_results(cscbench):
    more = table(page("results.md"), "More scorers")
    scorers = [row[0] for row in more if ":" not in row[0]]
    named = {name for row in more if ":" not in row[0] for name in re.findall(r"`([a-z]+_[a-z_\d]+)`", f"`{row[1]}`")}
    listed = {name for row in table(README, "The metrics") for name in re.split(r"[`, ]+", row[0])}
    quick = ["--model", "gold", "--limit", "2", "--encoder", "none"]
    usual = set(metrics_of(cscbench, *quick))
    assert listed == usual | {"bertscore_f1"}
    flags = [word for name in scorers for word in ("--scorer", name)]
    assert named == set(metrics_of(cscbench, *quick, *flags)) - usual
    assert all(f"`{name}`" in README for name in scorers)


@pytest.mark.parametrize(
    "name", ["README.md", "README.zh.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(name):
    path = ROOT / name
    for link in links(path.read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        assert file.exists(), link
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), link


def facts(text: str) -> dict[str, object]:
    """Return what both languages must share; the sentences around it are each language's own."""
    return {
        "sections": len(re.findall(r"^## ", text, re.MULTILINE)),
        "results": result_table(text),
        "output": re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL),
        "commands": commands(text),
        "python": [re.sub(r" +$", "", block, flags=re.MULTILINE) for block in python_blocks(text)],
        "links": set(links(text)) - {"README.md", "README.zh.md"},
        "options": set(re.findall(r"`[^`\n]*?(--[a-z][a-z-]*)", text)),
        "first cells": [
            cells.replace("、", ", ")
            for cells in re.findall(r"^\| ((?:`[^`]+`(?:, |、)?)+)(?= \|)", text, re.MULTILINE)
        ],
    }


@pytest.mark.parametrize("name", facts(README))
def test_the_chinese_readme_has_the_same_facts(name):
    english = facts(README)[name]
    assert facts(CHINESE)[name] == english
    assert english
