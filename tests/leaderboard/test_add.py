"""Adding runs to a board: what is kept, what is refused, and that the command it names makes the run again."""

import json
import shlex

import pytest
from leaderboard.conftest import copied, made

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


def test_the_entry_names_the_command_that_makes_the_run_again(filled, runs, tmp_path):
    for own in read_entries(filled):
        words = shlex.split(own.entry.command)
        assert words[:2] == ["cscbench", "run"]
        again = made(tmp_path, words[3], *words[4:])
        assert again.name == own.entry.id  # the hash covers all that decides a run
        assert json.loads((again / "results.json").read_bytes())["metrics"] == json.loads(
            json.dumps([vars_of(metric) for metric in own.entry.results.metrics])
        )


def vars_of(metric):
    return {field: getattr(metric, field) for field in metric.__struct_fields__}


def test_every_option_of_a_command_is_one_that_run_has(filled):
    known = {name for option in cli.get_command(None, "run").params for name in option.opts}
    for own in read_entries(filled):
        assert {word for word in shlex.split(own.entry.command) if word.startswith("--")} <= known


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda found: found["run"].update(complete=False), r"replies failed: a board takes whole runs"),
        (lambda found: found["task"].update(name="csconv"), r"a run on csconv: board test is of csconv_sample"),
        (lambda found: found["protocol"].update(condition="ranked"), r"no track for gold ranked; it has gold joint"),
        (lambda found: found.update(schema="cscbench/results/0"), r"expected the schema cscbench/results/1"),
    ],
)
def test_what_does_not_belong_on_a_board_is_refused(board, runs, tmp_path, spoil, said):
    run = copied(runs["gold"], tmp_path)
    found = json.loads((run / "results.json").read_bytes())
    spoil(found)
    (run / "results.json").write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(UserError, match=said):
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
