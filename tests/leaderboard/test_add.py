"""Adding runs to a board: what is stored, what is refused, and that the entry's command reproduces the run."""

import json
import shlex
from pathlib import Path

import pytest
from leaderboard.conftest import copied

from cscbench.cli import cli
from cscbench.publishing.board.add import add
from cscbench.publishing.board.boards import read_board, read_entries
from cscbench.values import UserError


def test_the_command_adds_runs_once_and_for_all(cscbench, board, runs):
    given = [runs["gold"], runs["retrieval"]]
    first = cscbench("leaderboard", "add", *given, "--board", "test")
    assert first.returncode == 0, first.stderr
    files = {path: path.read_bytes() for path in board.rglob("*") if path.is_file()}
    assert {str(path) for path in files if path.suffix == ".json" and path.parent.name == "entries"} == {
        *first.stdout.split()
    }
    for run in given:
        for name in ("run.json", "predictions.parquet", "scores.parquet"):
            assert files[board / "entries" / run.name / name] == (run / name).read_bytes()
    again = cscbench("leaderboard", "add", *given, "--board", "test")
    assert again.returncode == 0
    assert {path: path.read_bytes() for path in files} == files


def test_the_entry_names_the_command_that_makes_the_run_again(cscbench, filled, tmp_path):
    for listed in read_entries(filled):
        words = shlex.split(listed.entry.command)
        assert words[:2] == ["cscbench", "run"]
        done = cscbench("-q", *words[1:], "--encoder", "none", "--out", tmp_path)
        assert done.returncode == 0, done.stderr
        again = tmp_path / Path(done.stdout.splitlines()[-1]).name
        assert again.name == listed.entry.id  # the hash covers all that decides a run
        assert json.loads((again / "results.json").read_bytes())["metrics"] == json.loads(
            json.dumps([vars_of(metric) for metric in listed.entry.results.metrics])
        )


def vars_of(metric):
    return {field: getattr(metric, field) for field in metric.__struct_fields__}


def test_every_option_of_a_command_is_one_that_run_has(filled):
    known = {name for option in cli.get_command(None, "run").params for name in option.opts}
    for listed in read_entries(filled):
        assert {word for word in shlex.split(listed.entry.command) if word.startswith("--")} <= known


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda results: results["run"].update(complete=False), r"partial run: 0 of 419 replies failed"),
        (
            lambda results: results["task"].update(name="csconv"),
            r"the run's task is 'csconv'; the task of board test is 'csconv_sample'",
        ),
        (
            lambda results: results["protocol"].update(condition="ranked"),
            r"no track for gold ranked; it has gold joint",
        ),
        (lambda results: results.update(schema="cscbench/results/0"), r"expected the schema cscbench/results/\d"),
    ],
)
def test_what_does_not_belong_on_a_board_is_refused(board, runs, tmp_path, spoil, message):
    run = copied(runs["gold"], tmp_path)
    results = json.loads((run / "results.json").read_bytes())
    spoil(results)
    (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        add(read_board(board), board, run)
    assert not (board / "entries").exists()


def test_an_unfinished_run_is_refused(board, runs, tmp_path):
    run = copied(runs["gold"], tmp_path)
    (run / "results.json").unlink()
    with pytest.raises(UserError, match="not scored yet"):
        add(read_board(board), board, run)


def test_an_entry_is_replaced_only_when_asked(filled, runs, tmp_path):
    run = copied(runs["gold"], tmp_path)
    (run / "scores.parquet").write_bytes((runs["majority"] / "scores.parquet").read_bytes())
    before = (filled / "entries" / run.name / "scores.parquet").read_bytes()
    with pytest.raises(UserError, match="--replace"):
        add(read_board(filled), filled, run)
    assert (filled / "entries" / run.name / "scores.parquet").read_bytes() == before
    add(read_board(filled), filled, run, replace=True)
    assert (filled / "entries" / run.name / "scores.parquet").read_bytes() != before
