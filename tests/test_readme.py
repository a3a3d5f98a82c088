"""What the README tells a person to type works, in the order in which it stands there."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(text: str) -> list[list[str]]:
    """Every `cscbench ...` line in a shell block."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("cscbench ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_readme_commands_run_with_slow_models_as_dry_runs(cscbench, tmp_path):
    shutil.copy(ROOT / "tasks/csconv_sample/data/test.jsonl", tmp_path / "sample.jsonl")
    # CSConv itself cannot be had here: a file of the published shape stands in for it.
    lines = (tmp_path / "sample.jsonl").read_text(encoding="utf-8").splitlines()
    for name in ("CSConv.json", "RoleCS.json"):
        (tmp_path / name).write_text(f"[{','.join(lines[:3])}]", encoding="utf-8")
    (tmp_path / "adapters/x").mkdir(parents=True)
    found = commands(README)
    assert len(found) >= 6
    for command in found:
        heavy = command[0] == "run" and command[command.index("--model") + 1] != "gold"
        extra = ["--dry-run"] if heavy else []
        if "csconv" in command and "--data" not in command:
            extra += ["--data", "CSConv.json"]
        done = cscbench(*command, *extra)
        if command[0] == "train":  # all is well up to weights that cannot be had here
            assert (done.returncode, "Qwen/Qwen2.5-7B-Instruct" in done.stderr) == (2, True), done.stderr
            continue
        assert done.returncode == 0, (command, done.stderr)


def test_readme_lists_every_metric_with_its_results_name(cscbench):
    import json

    section = README.partition("## The metrics")[2].partition("\n## ")[0]
    default, _, more = section.partition("More, by `--scorer NAME`")
    scorers = [name for name in re.findall(r"^\| `([\w:]+)` \|", more, re.MULTILINE) if ":" not in name]
    named = set(re.findall(r"`(\w+)`", more.partition("\n\n`results.json`")[0])) - set(scorers)
    cells = "".join(re.findall(r"^\| (`.*?) \|", default, re.MULTILINE))

    def metrics(*extra):
        done = cscbench("run", "--model", "gold", "--limit", "2", *extra)
        assert done.returncode == 0, done.stderr
        results = json.loads((Path(done.stdout.splitlines()[-1]) / "results.json").read_text(encoding="utf-8"))
        return {metric["name"] for metric in results["metrics"]}

    usual = metrics()
    assert set(re.findall(r"`(\w+)`", cells)) == usual
    assert named == metrics(*(word for name in scorers for word in ("--scorer", name))) - usual


@pytest.mark.parametrize("name", sorted(re.findall(r"\]\((?!http)([^)#]+)\)", README)))
def test_readme_links_lead_somewhere(name):
    assert (ROOT / name).exists()


def outline(text: str) -> dict[str, list[object]]:
    """What two languages of one page must have in common, in order; figures of speed stand in one of them only."""
    text = re.sub(r"\n## (?:Speed|速度)\n.*?(?=\n## )", "", text, flags=re.DOTALL)
    shown = re.sub(
        r"\s+#.*$", "", "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)), flags=re.MULTILINE
    )
    numbers = text.partition("\n## Measured\n")[2] or text.partition("\n## 实测\n")[2]
    return {
        "levels": [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)],
        "commands": shown.splitlines(),
        "links": sorted(set(re.findall(r"\]\((?!README)([^)]+)\)", text))),
        "options": sorted(set(re.findall(r"`[^`\n]*?(--[a-z][a-z-]*)", text))),
        "metrics": re.findall(r"^\| ((?:`[\w:.]+`[, 、]*)+) \|".replace("[, 、]*", "(?:, |、)?"), text, re.MULTILINE),
        "modules": re.findall(r"^((?:\w+(?:\.py|/)[ ,>-]*)+) {2,}\S", text, re.MULTILINE),
        "not yet": [
            text.count("\n- ", text.find(start), text.find(end)) for start, end in NOT_YET if f"\n{start}" in text
        ],
        "numbers": re.findall(r"\d+\.\d+", numbers.partition("\n## ")[0]),
    }


NOT_YET = (("## Not yet", "## Development"), ("## 尚未完成", "## 开发"))


def test_the_chinese_readme_says_the_same():
    chinese = (ROOT / "README.zh.md").read_text(encoding="utf-8")
    ours, theirs = outline(README), outline(chinese)
    for name, found in ours.items():
        same = [str(one).replace("、", ", ") for one in theirs[name]]
        assert same == [str(one) for one in found] != [], name


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.zh.md").read_text(encoding="utf-8"))))
)
def test_chinese_readme_links_lead_somewhere(name):
    assert (ROOT / name).exists()
