"""Results and entries that a person edited into something else: every command says what is wrong, and none breaks."""

import copy
import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cscbench.cli import cli
from cscbench.runs import results
from cscbench.values import UserError, read_tables

DRAWS, MANY_DRAWS = 60, 1500
# Documented codes: done, problems or a regression, a mistake in what was given, a broken run, too little data.
CODES = range(5)
NUMBERS = [-1, 0, 1.5, 1e300, -1e300, 1e-300, 10**15, 10**30, 10**400, float("nan"), float("inf"), float("-inf")]
WRONG = [None, "", "x", "9" * 50, "\ud800", "<b>", True, [], {}, [1], ["x"], [None], [[]], {"a": 1}, *NUMBERS]
BOARD = """\
title: {en: Test board, zh: 测试榜}
about: {en: For tests., zh: 仅供测试。}
task: csconv_sample
tracks:
  - {id: gold, title: {en: Gold, zh: 参考}, context: gold, condition: joint, rank_by: strategy_accuracy}
columns:
  - {metric: strategy_accuracy, title: {en: Accuracy, zh: 准确率}}
  - {metric: bleu_2, title: {en: BLEU-2, zh: BLEU-2}}
"""
RULES = "rules:\n- {metric: bleu_2, margin: 5, min_n: 2}\n- {metric: strategy_accuracy, floor: 5, min_n: 2}\n"
REPORTED = {
    "kind": "reported",
    "schema": "cscbench/entry/2",
    "id": "entry",
    "label": "Theirs",
    "family": "Q",
    "parameters": 7e9,
    "lora": False,
    "context": "gold",
    "task": "csconv_sample",
    "source": "A paper",
    "url": "https://example.invalid",
    "unknowns": ["seed"],
    "values": [{"metric": "bleu_2", "value": 12.5}],
}
ESTIMATE = {"value": 3.5, "low": 3.0, "high": 4.0}
JUDGES = [
    {
        "judge": name,
        "n": 10,
        "missing": 1,
        "failed": 0,
        "tries": 12,
        "stars": ESTIMATE,
        "length_correlation": {"value": 0.1, "low": None, "high": None},
        "repeat_deviation": 0.5,
        "same_family": False,
    }
    for name in ("one", "other")
]
AGREEMENT = {"alpha": ESTIMATE, "kappas": [{"a": "one", "b": "other", "n": 9, "kappa": None}]}


def invoked(*args: object) -> Result:
    return CliRunner().invoke(cli, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def made(finished_runs, tmp_path_factory) -> dict[str, Path]:
    """Two finished runs; the second has tables of judges, as a panel leaves them."""
    models = ("gold", "majority")
    copies = finished_runs.copies(tmp_path_factory.mktemp("made"), *(finished_runs(model, limit=4) for model in models))
    folders = dict(zip(models, copies, strict=True))
    path = folders["majority"] / "results.json"
    data = json.loads(path.read_bytes())
    data["tables"] |= {"judges": JUDGES, "judge_agreement": AGREEMENT}
    data["model"] |= {"family": "Q", "parameters": 7e9}
    data["timing"]["cost"] |= {"wall_seconds": 12.0, "tokens_out": 50, "amount": 1.5, "currency": "USD"}
    path.write_text(json.dumps(data), encoding="utf-8")
    return folders


@pytest.fixture
def runs(made, tmp_path) -> dict[str, Path]:
    """Copies, to be spoilt, in the working directory, with rules and a board on which the second is the only entry."""
    folders = {name: Path(shutil.copytree(folder, tmp_path / name)) for name, folder in made.items()}
    Path("gate.yaml").write_text(RULES, encoding="utf-8")
    board = Path("leaderboards/test")
    board.mkdir(parents=True)
    (board / "board.yaml").write_text(BOARD, encoding="utf-8")
    done = invoked("leaderboard", "add", folders["majority"], "--board", "test")
    assert done.exit_code == 0, done.output
    (entry,) = (board / "entries").glob("*.json")
    entry.with_suffix("").rename(board / "entries" / "entry")
    data = json.loads(entry.read_bytes())
    (board / "entries" / "entry.json").write_text(json.dumps({**data, "id": "entry"}), encoding="utf-8")
    entry.unlink()
    return folders


def dice(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - the same draws in every run of the tests


def spoilt(data: Any, rng: random.Random) -> tuple[Any, str]:
    """A copy with one value of another kind, left out, added, or there twice; and what was done."""
    node = changed = copy.deepcopy(data)
    path: list[Any] = []
    while True:
        path.append(rng.choice(list(node) if isinstance(node, dict) else range(len(node))))
        inner = node[path[-1]]
        if not (isinstance(inner, dict | list) and inner and rng.random() < 0.85):
            break
        node = inner
    chance, value = rng.random(), rng.choice(WRONG)
    if chance < 0.12:
        del node[path[-1]]
        return changed, f"without {path}"
    if chance < 0.16 and isinstance(node, dict):
        node["further"] = value
        return changed, f"{path[:-1]} further: {value!r}"
    if chance < 0.2 and isinstance(node, list):
        node.append(inner)
        return changed, f"{path} twice"
    node[path[-1]] = value
    return changed, f"{path}: {value!r:.60}"


def commands(runs: dict[str, Path]) -> list[tuple[object, ...]]:
    """All that read the spoilt results of `majority`."""
    good, bad = runs["gold"], runs["majority"]
    exports = [
        ("export", bad, "--format", form, "--out", "out") for form in ("lm-eval", "hf", "csv", "parquet", "latex")
    ]
    return [
        ("show", good, bad),
        ("compare", good, bad),
        ("compare", bad, good, "--format", "json"),
        ("gate", bad, "--rules", "gate.yaml", "--baseline", good, "--junit", "out.xml", "--summary", "out.md"),
        ("gate", good, "--rules", "gate.yaml", "--baseline", bad),
        ("gate", good, "--rules", "gate.yaml", "--baseline", bad / "results.json"),
        ("report", bad, "--out", "out"),
        ("report", good, bad, "--out", "out"),
        ("leaderboard", "build", "--board", "test", "--run", bad, "--out", "site"),
        *exports,
    ]


def ended(draw: str, *args: object) -> int:
    """The code that a command ended with: a documented one, with a message for a person where it is 2."""
    done = invoked(*args)
    context = f"{' '.join(map(str, args[:2]))}, {draw}: {done.output[-500:]}"
    assert done.exception is None or isinstance(done.exception, SystemExit), f"{context} {done.exception!r}"
    assert done.exit_code in CODES, context
    assert "Traceback" not in done.output, context
    assert done.exit_code != 2 or done.output.startswith("cscbench: "), context
    return done.exit_code


def results_draws(runs: dict[str, Path], draws: int) -> Iterator[int]:
    """Spoil results.json so often, and give the code of one command, in turn, or of all."""
    rng = dice(f"results {draws}")
    path = runs["majority"] / "results.json"
    data, every = json.loads(path.read_bytes()), commands(runs)
    for number in range(draws):
        changed, what = spoilt(data, rng)
        path.write_text(json.dumps(changed), encoding="utf-8")
        yield ended(f"draw {number}: {what}", *every[number % len(every)])


def entry_draws(draws: int, build_each: int) -> Iterator[int]:
    """Spoil the entry so often, a run's and a reported one by turns, and give the code of `check` or `build`."""
    rng = dice(f"entries {draws}")
    path = Path("leaderboards/test/entries/entry.json")
    both = [json.loads(path.read_bytes()), REPORTED]
    for number in range(draws):
        changed, what = spoilt(both[number % 2], rng)
        path.write_text(json.dumps(changed), encoding="utf-8")
        build = ("build", "--out", "site") if number % build_each == 0 else ("check",)
        yield ended(f"draw {number}: {what}", "leaderboard", *build, "--board", "test")


def test_60_spoilt_results_break_no_command(runs):
    codes = list(results_draws(runs, DRAWS))
    assert len(codes) == DRAWS
    assert codes.count(2) > DRAWS // 2


def test_60_spoilt_entries_break_no_board(runs):
    codes = list(entry_draws(DRAWS, build_each=7))
    assert len(codes) == DRAWS
    assert codes.count(1) > DRAWS // 2


@pytest.mark.slow
def test_1500_spoilt_results_break_no_command(runs):
    assert len(list(results_draws(runs, MANY_DRAWS))) == MANY_DRAWS


@pytest.mark.slow
def test_1500_spoilt_entries_break_no_board(runs):
    assert len(list(entry_draws(MANY_DRAWS, build_each=3))) == MANY_DRAWS


def changed_at(data: Any, *path: Any, value: Any) -> Any:
    changed = node = copy.deepcopy(data)
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("by_strategy", 0, "n"), "x", "Expected `int`, got `str` - at `$.tables.by_strategy[0].n`"),
        (("by_strategy", 0, "n"), None, "$.tables.by_strategy[0].n"),
        (("by_strategy", 0, "n"), -1, "Expected `int` >= 0 - at `$.tables.by_strategy[0].n`"),
        (("by_strategy",), {}, "$.tables.by_strategy"),
        (("by_strategy", 0), [], "$.tables.by_strategy[0]"),
        (("by_strategy", 0, "metrics"), [], "$.tables.by_strategy[0].metrics"),
        (("by_stage", 0, "metrics", "bleu_2"), 3, "$.tables.by_stage[0].metrics[...]"),
        (("by_stage", 0, "metrics", "bleu_2", "value"), None, "$.tables.by_stage[0].metrics[...].value"),
        (("by_stage", 0, "metrics", "bleu_2", "value"), 1e300, "$.tables.by_stage[0].metrics[...].value"),
        (("by_language", 0, "metrics", "bleu_2", "low"), None, "`low` and `high` must both be numbers or both be null"),
        (("by_topic", 0, "topic"), 7, "$.tables.by_topic[0].topic"),
        (("given_strategy", 0, "strategy_was"), None, "$.tables.given_strategy[0].strategy_was"),
        (("confusion",), [], "$.tables.confusion"),
        (("confusion", "counts", 0), [1], "needs one list per entry of `rows`, with one number per entry of `columns`"),
        (("confusion", "counts"), [], "$.tables.confusion"),
        (("confusion", "counts", 0, 0), 1.5, "$.tables.confusion.counts[0][0]"),
        (("judges", 0, "stars"), 4, "$.tables.judges[0].stars"),
        (("judges", 0, "failed"), None, "$.tables.judges[0].failed"),
        (("judges", 0, "repeat_deviation"), "x", "$.tables.judges[0].repeat_deviation"),
        (("judge_agreement", "kappas", 0, "kappa"), [], "$.tables.judge_agreement.kappas[0].kappa"),
    ],
)
def test_a_wrong_value_in_a_table_is_named(path, value, problem, made):
    tables = json.loads((made["majority"] / "results.json").read_bytes())["tables"]
    assert read_tables(tables).judges
    with pytest.raises(ValueError, match=re.escape(problem)):
        read_tables(changed_at(tables, *path, value=value))


def test_a_wrong_table_is_named_with_its_file_in_results_and_in_an_entry(runs):
    problem = "Expected `int`, got `null` - at `$.tables.by_strategy[0].n`"
    file, entry = runs["majority"] / "results.json", Path("leaderboards/test/entries/entry.json")
    path = ("tables", "by_strategy", 0, "n")
    file.write_text(json.dumps(changed_at(json.loads(file.read_bytes()), *path, value=None)))
    with pytest.raises(UserError, match=re.escape(f"{file}: damaged: {problem}")):
        results.read(runs["majority"])
    entry.write_text(json.dumps(changed_at(json.loads(entry.read_bytes()), "results", *path, value=None)))
    done = invoked("leaderboard", "check", "--board", "test")
    assert done.exit_code == 1
    assert f"{entry.resolve()}: damaged: {problem}" in done.output


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("NaN", "NaN is not a finite number"),
        ("-Infinity", "-Infinity is not a finite number"),
        ("1e999", "1e999 is not a finite number"),
        ("9" * 30, "is a number of more than 64 bits"),
        ("9" * 9000, "is a number of more than 64 bits"),
        ("[" * 20_000, "hundreds of levels deep"),
        ('"\\ud800"', "it contains half a character, '\\ud800'"),
    ],
)
def test_json_that_no_file_of_ours_has_is_refused(text, problem, runs):
    path = runs["majority"] / "results.json"
    path.write_text('{"schema": ' + text + "}", encoding="utf-8")
    done = invoked("show", runs["majority"])
    assert done.exit_code == 2
    assert done.output.startswith(f"cscbench: {path}: cannot read: ")
    assert problem in done.output
    assert done.output.endswith(f": remove it, then `cscbench score {runs['majority']}` writes it again\n")
    assert len(done.output) < 600


def test_further_tables_and_fields_are_kept_and_what_is_read_is_written_byte_for_byte(made, runs):
    path = runs["gold"] / "results.json"
    before = path.read_bytes()
    results.write(runs["gold"], results.read(runs["gold"]), (runs["gold"] / "scores.parquet").read_bytes())
    assert path.read_bytes() == before
    data = json.loads(before)
    data["tables"]["mine"] = {"rows": [1, None, "x"]}
    data["tables"]["by_stage"][0]["weight"] = 0.5
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    results.write(runs["gold"], results.read(runs["gold"]), (runs["gold"] / "scores.parquet").read_bytes())
    assert json.loads(path.read_bytes()) == data
    assert results.read(runs["gold"]).known_tables == results.read(made["gold"]).known_tables


def test_tables_that_are_not_there_are_empty():
    tables = read_tables({})
    assert (tables.by_stage, tables.judges, tables.confusion, tables.groups("topic")) == ((), (), None, ())


def test_a_board_with_a_damaged_entry_does_not_take_its_run_again_without_a_message(runs):
    (path,) = Path("leaderboards/test/entries").glob("*.json")
    name = runs["majority"].resolve()
    done = invoked("leaderboard", "add", name, "--board", "test")
    assert done.exit_code == 0
    path = path.with_name(f"{json.loads((name / 'results.json').read_bytes())['run']['name']}.json")
    path.write_text(path.read_text(encoding="utf-8").replace('"turns"', '"tvrns"', 1), encoding="utf-8")
    done = invoked("leaderboard", "add", name, "--board", "test")
    assert done.exit_code == 2
    assert done.output.startswith(f"cscbench: {path.resolve()}: damaged: ")
