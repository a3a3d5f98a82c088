"""docs/leaderboard.md against the code: its board, its fields, its commands."""

import msgspec
from pages import commands, page, shown_files, table

from cscbench.cli import cli
from cscbench.publishing.board.boards import read_board
from cscbench.publishing.board.records import Board, ReportedEntry

PAGE = page("leaderboard.md")


def test_the_board_shown_is_a_board(tmp_path):
    ((name, text),) = shown_files(PAGE).items()
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert read_board(path.parent).columns[0].title.zh == "策略准确率"


def test_every_field_is_in_the_table():
    fields = {name.strip("` ") for row in table(PAGE, "board.yaml") for name in row[0].split(",")}
    assert fields == {*Board.__struct_fields__} - {"name"}
    for field in {*ReportedEntry.__struct_fields__} - {"schema", "id"}:
        assert f"`{field}`" in PAGE
    assert "reported" in msgspec.inspect.type_info(ReportedEntry).tag


def test_every_command_is_one():
    shown = commands(PAGE)
    assert {words[2] for words in shown if words[1] == "leaderboard"} == {
        *cli.get_command(None, "leaderboard").commands
    }
    for words in shown:
        command = cli.get_command(None, words[1])
        if words[1] == "leaderboard":
            command = command.commands[words[2]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known
