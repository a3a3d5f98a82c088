"""What `cscbench leaderboard check` finds in a damaged board."""

import json
import shutil

import pytest

from cscbench.publishing.board.add import add
from cscbench.publishing.board.boards import read_board
from cscbench.publishing.board.check import check


def spoilt(filled, change):
    """The result of a check after a change to the JSON of the first entry."""
    path = sorted((filled / "entries").glob("*--gold--gold--*.json"))[0]
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    return check(read_board(filled), filled)


def test_a_sound_board_has_no_problem_and_says_what_stands_apart(filled, runs):
    assert check(read_board(filled), filled).problems == ()
    add(read_board(filled), filled, runs["retrieval en"])
    checked = check(read_board(filled), filled)
    assert checked.problems == ()
    assert checked.notes == ("track gold: 2 sets of dialogues, each ranked separately",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: data["results"]["metrics"][0].update(value=99.0),
            "strategy_accuracy is 99.0000, but 100",
        ),
        (lambda data: data["results"]["run"].update(complete=False), "partial"),
        (lambda data: data["results"]["counts"].update(turns=7), "7 in the entry"),
        (lambda data: data["results"]["task"].update(name="csconv"), "the run's task is 'csconv'"),
        (lambda data: data["results"]["protocol"].update(condition="ranked"), "no track for gold ranked"),
        (lambda data: data["results"]["run"].update(hash="0" * 8), "belongs to another run"),
        (lambda data: data.update(schema="x"), "expected the schema cscbench/"),
        (lambda data: data.pop("results"), "damaged"),
    ],
)
def test_a_number_or_a_fact_that_was_changed_is_found(filled, change, message):
    (problem,) = spoilt(filled, change).problems
    assert message in problem


@pytest.mark.parametrize("name", ["run.json", "predictions.parquet", "scores.parquet"])
def test_turns_that_are_missing_or_torn_are_found(filled, name):
    path = next(filled.glob(f"entries/*--gold--majority--*/{name}"))
    path.write_bytes(path.read_bytes()[:50])
    (torn,) = check(read_board(filled), filled).problems
    assert name in torn
    path.unlink()
    (missing,) = check(read_board(filled), filled).problems
    assert name in missing


def test_one_run_under_two_names_is_found(filled):
    path = next(filled.glob("entries/*--gold--majority--*.json"))
    data = json.loads(path.read_bytes())
    data["id"] = "other"
    path.with_name("other.json").write_text(json.dumps(data), encoding="utf-8")
    shutil.copytree(path.with_suffix(""), path.with_name("other"))
    problems = check(read_board(filled), filled).problems
    assert len(problems) == 2
    assert all("holds the same run" in problem for problem in problems)


def test_a_reported_row_must_say_whose_it_is_and_use_the_boards_columns(filled):
    entry = {
        "kind": "reported",
        "schema": "cscbench/entry/2",
        "id": "theirs",
        "label": "Theirs",
        "family": "",
        "parameters": 0,
        "lora": False,
        "context": "gold",
        "task": "csconv",
        "source": "",
        "url": "",
        "unknowns": [],
        "values": [{"metric": "bleu_9", "value": 1}],
    }
    (filled / "entries" / "theirs.json").write_text(json.dumps(entry), encoding="utf-8")
    problems = " ".join(check(read_board(filled), filled).problems)
    assert "`task` is 'csconv'" in problems
    assert "'bleu_9' is not a column" in problems
    assert "`source` is empty" in problems


def test_the_command_says_all_problems_and_exits_with_1(cscbench, filled):
    for path in filled.glob("entries/*--gold--*.json"):
        path.write_text("{", encoding="utf-8")
    done = cscbench("leaderboard", "check", "--board", "test")
    assert done.returncode == 1
    assert "test: 4 entries, 3 problems" in done.stdout
    assert "Traceback" not in done.stderr
