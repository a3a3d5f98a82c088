"""Boards and entries as files: what is read, and the error messages."""

import json

import pytest
from leaderboard.conftest import BOARD

from cscbench.publishing.board.boards import board_folders, find_board, read_board, read_entries
from cscbench.values import Condition, Context, UserError


def test_a_board_is_read_from_the_working_directory_and_the_shipped_ones_beside_it(board):
    assert {"test", "csconv", "csconv_sample"} <= {*board_folders()}
    read, folder = find_board("test")
    assert folder == board
    assert (read.name, read.title.zh, read.task) == ("test", "测试榜", "csconv_sample")
    assert [(track.context, track.condition) for track in read.tracks] == [
        (Context.GOLD, Condition.JOINT),
        (Context.GENERATED, Condition.JOINT),
    ]


def test_an_unknown_board_is_answered_with_the_nearest_name(board):
    with pytest.raises(UserError, match=r"no board 'csconv_sampel'.*'csconv_sample'"):
        find_board("csconv_sampel")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: csconv_sample", "tsak: csconv_sample", r"board.yaml:3: .*did you mean 'task'"),
        ("context: generated", "context: generatd", r"board.yaml:6"),
        ("rank_by: bleu_2", "rank_by: bleu_3", r"track generated: `rank_by` 'bleu_3' is not a column.*bleu_2"),
        ("id: generated", "id: gold", r"`tracks` lists gold twice"),
        ("context: generated", "context: gold", r"lists gold, joint twice"),
        ("metric: bleu_2", "metric: rouge_l", r"`columns` lists rouge_l twice"),
        ("title: {en: Test board, zh: 测试榜}", "name: test", r"board.yaml:1: remove `name`"),
        (BOARD, "- one\n", r"board.yaml:1: a board file must be a mapping"),
        ("Test board", "[", r"board.yaml:1"),
    ],
)
def test_a_wrong_board_says_where_and_what(board, old, new, message):
    path = board / "board.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_board(board)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "cscbench/entry/9"}', '{"schema": "cscbench/entry/1"}'])
def test_a_damaged_entry_is_named_with_a_hint(filled, content):
    path = sorted((filled / "entries").glob("*.json"))[0]
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=path.stem):
        read_entries(filled)


def test_an_entry_of_another_name_than_its_file_is_refused(filled):
    path = sorted((filled / "entries").glob("*.json"))[0]
    path.rename(path.with_name("other.json"))
    with pytest.raises(UserError, match="must be the file's name"):
        read_entries(filled)


def test_every_shipped_board_is_sound_and_holds_no_path_of_a_machine(cscbench):
    done = cscbench("leaderboard", "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "csconv: 22 entries, 0 problems" in done.stdout
    for folder in board_folders().values():
        for path in folder.rglob("*.json"):
            text = path.read_text(encoding="utf-8")
            json.loads(text)
            assert not any(home in text for home in ("/home/", "/root/", "/tmp/", "/Users/")), path
