"""The `cscbench gate` command on real runs: its exit codes and its files for CI."""

import shutil
from pathlib import Path

import msgspec
import pytest
from junitparser import Error, Failure, JUnitXml
from markdown_it import MarkdownIt

from cscbench.asking import store
from cscbench.runs import results
from cscbench.runs.run import rescore

RULES = "rules:\n- {metric: strategy_accuracy, margin: 1}\n- {metric: bleu_4, margin: 1, confidence: 90}\n"


@pytest.fixture(scope="module")
def runs(finished_runs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Gold, majority, and gold with every tenth turn taken from majority: a model that got a little worse."""
    made = {model: finished_runs(model) for model in ("gold", "majority")}
    made["few"] = finished_runs("gold", limit=8)
    made["degraded"] = tmp_path_factory.mktemp("gate") / "degraded"
    shutil.copytree(made["gold"], made["degraded"])
    good, bad = (results.read_pairs(made[model]) for model in ("gold", "majority"))
    mixed = [bad[row] if row % 10 == 0 else pair for row, pair in enumerate(good)]
    results.write_pairs(made["degraded"], mixed)
    rescore(made["degraded"], "none", ())
    return made


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "gate.yaml"
    path.write_text(RULES, encoding="utf-8")
    return path


def broken(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    (to / store.SCORES).write_bytes(b"PAR1 torn")
    return to


def partial(run: Path, to: Path) -> Path:
    """The run with one reply that failed for good."""
    shutil.copytree(run, to)
    first, *others = results.read_pairs(run)
    failed = msgspec.structs.replace(first, strategy=None, text="", form="failed", error="no reply after 5 tries")
    results.write_pairs(to, [failed, *others])
    rescore(to, "none", ())
    return to


def test_each_exit_code(cscbench, runs, rules, tmp_path):
    def code(run: Path, *args: object) -> int:
        return cscbench("gate", run, "--rules", rules, *args).returncode

    against = ("--baseline", runs["gold"])
    assert code(runs["gold"], *against) == 0
    assert code(runs["degraded"], *against) == 1
    assert code(runs["majority"], *against) == 1
    assert code(runs["gold"], "--baseline", runs["majority"]) == 0
    assert code(runs["gold"]) == 2  # no baseline
    assert code(tmp_path / "nothing", *against) == 2
    assert code(broken(runs["gold"], tmp_path / "torn"), *against) == 3
    assert code(partial(runs["gold"], tmp_path / "partial"), *against) == 3
    assert code(runs["few"], *against) == 4


def test_a_line_a_rule_says_what_was_measured_and_what_it_can_detect(cscbench, runs, rules):
    done = cscbench("gate", runs["degraded"], "--rules", rules, "--baseline", runs["gold"])
    first, second, last = done.stdout.splitlines()
    pairs = results.read_pairs(runs["degraded"])
    right = 100 * sum(pair.strategy == pair.reference_strategy for pair in pairs) / len(pairs)
    assert first.startswith("regressed   strategy_accuracy  ")
    assert f"{right:.2f}, baseline 100.00, difference {right - 100:+.2f} (95% bounds: -" in first
    assert "may lose at most 1; " in first
    assert " with 80% power" in second
    assert "(90% bounds: " in second
    assert last.startswith("gate: regressed: ")
    assert "Traceback" not in done.stderr


def test_floors_and_ceilings_are_of_the_run_alone(cscbench, runs, rules):
    def outcomes(text: str) -> list[str]:
        rules.write_text(f"rules:\n{text}", encoding="utf-8")
        return [line.split()[0] for line in cscbench("gate", runs["majority"], "--rules", rules).stdout.splitlines()]

    value = next(metric for metric in results.read(runs["majority"]).metrics if metric.name == "strategy_accuracy")
    line = "- {{metric: strategy_accuracy, {}: {:.3f}}}\n".format
    assert outcomes(line("floor", value.low - 1))[0] == "passed"
    assert outcomes(line("floor", value.value))[0] == "cannot"
    assert outcomes(line("floor", value.high + 1))[0] == "regressed"


def test_a_results_file_alone_is_a_baseline_with_wider_bounds(cscbench, runs, rules, tmp_path):
    alone = tmp_path / "main.json"
    shutil.copy(runs["degraded"] / store.RESULTS, alone)
    rules.write_text("rules: [{metric: strategy_accuracy, margin: 1}]", encoding="utf-8")
    near = cscbench("gate", runs["gold"], "--rules", rules, "--baseline", runs["degraded"])
    far = cscbench("gate", runs["gold"], "--rules", rules, "--baseline", alone)
    assert (near.returncode, far.returncode) == (0, 0)
    assert "unpaired" in far.stdout
    assert "unpaired" not in near.stdout
    other = cscbench("gate", runs["few"], "--rules", rules, "--baseline", alone)
    assert other.returncode == 2
    assert "has a different limit: 0; the run has 8" in other.stderr


def test_ci_gets_junit_and_a_summary_that_render(cscbench, runs, rules, tmp_path):
    junit, summary = tmp_path / "ci" / "gate.xml", tmp_path / "summary.md"
    summary.write_text("# before\n\n", encoding="utf-8")
    rules.write_text(RULES + "- {metric: parse_rate, floor: 90}\n", encoding="utf-8")
    given = ("gate", runs["degraded"], "--rules", rules, "--baseline", runs["gold"])
    cscbench(*given, "--junit", junit, "--summary", summary)
    (suite,) = JUnitXml.fromfile(str(junit))
    assert (suite.tests, suite.failures, suite.errors) == (3, 2, 0)
    by_name = {case.name: case.result for case in suite}
    assert not by_name["parse_rate floor 90"]
    (failure,) = by_name["strategy_accuracy margin 1"]
    assert isinstance(failure, Failure)
    assert "baseline 100.00" in failure.message
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("# before\n")
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert html.count("<table>") == 2
    assert html.count("<tr>") == (1 + 1) + (1 + 3)
    assert "<h3>cscbench gate: regressed</h3>" in html


def test_what_is_broken_is_an_error_to_junit_too(cscbench, runs, rules, tmp_path):
    run, junit = partial(runs["gold"], tmp_path / "partial"), tmp_path / "gate.xml"
    done = cscbench("gate", run, "--rules", rules, "--baseline", runs["gold"], "--junit", junit)
    assert "broken: " in done.stdout
    assert "1 turns have no reply" in done.stdout
    (suite,) = JUnitXml.fromfile(str(junit))
    errors = [result for case in suite for result in case.result if isinstance(result, Error)]
    assert [error.type for error in errors] == ["broken"]


def test_a_metric_measured_otherwise_is_no_baseline(cscbench, runs, rules, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(runs["gold"], other)
    text = (other / store.RESULTS).read_text(encoding="utf-8")
    (other / store.RESULTS).write_text(text.replace("tok:", "tok:other-", 1), encoding="utf-8")
    rules.write_text("rules: [{metric: bleu_2, margin: 1}]", encoding="utf-8")
    done = cscbench("gate", runs["gold"], "--rules", rules, "--baseline", other)
    assert done.returncode == 2
    assert "bleu_2 was measured differently" in done.stderr


def test_run_and_gate_in_one_command(cscbench, runs, rules):
    def code(*args: object) -> int:
        return cscbench("run", "--encoder", "none", "--gate", rules, *args).returncode

    assert code("--model", "gold", "--baseline", runs["majority"]) == 0
    assert code("--model", "majority", "--baseline", runs["gold"]) == 1
    assert code("--model", "gold", "--limit", "5", "--baseline", runs["gold"]) == 4
    rules.write_text(
        f"baseline: {runs['gold'].name}\n{RULES}", encoding="utf-8"
    )  # relative to the rules file, where no such run exists
    done = cscbench("run", "--model", "gold", "--gate", rules, "--encoder", "none", "--out", "elsewhere")
    assert done.returncode == 2
    assert not Path("elsewhere").exists()  # rejected before anything ran
    (rules.parent / runs["gold"].name).symlink_to(runs["gold"])
    assert code("--model", "majority") == 1
    assert cscbench("run", "--model", "gold", "--baseline", runs["gold"]).returncode == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: []", "`rules` is empty"),
        ("rules: [{metric: bleu_4}]", "gate.yaml:1: the rule for 'bleu_4': set exactly one of `margin`"),
        ("rules:\n- {metric: bleu_4, margin: 1, floor: 2}", "gate.yaml:2: the rule for 'bleu_4': set exactly one of"),
        ("rules: [{metric: bleu_4, margin: -1}]", "`margin` is the largest acceptable loss"),
        ("rules: [{metric: bleu_4, floor: 1, confidence: 0.95}]", "a percentage between 50 and 100"),
        ("rules: [{metric: bleu_4, floor: 1, min_n: 1}]", "`min_n` is a number of dialogues and must be at least 2"),
        ("rules: [{metric: bleu_4, flor: 1}]", "did you mean 'floor'?"),
        ("rules: [{metric: bleu4, floor: 1}]", "has no metric 'bleu4'; did you mean 'bleu_4'"),
        ("rules: {metric: 准确率", "not valid YAML"),
    ],
)
def test_rules_that_cannot_be_are_told_with_their_line(cscbench, runs, rules, text, message):
    rules.write_text(text, encoding="utf-8")
    done = cscbench("gate", runs["gold"], "--rules", rules)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
