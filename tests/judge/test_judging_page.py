"""docs/judging.md says what the code does."""

import re

import pytest
from click.testing import CliRunner
from pages import commands, page, shown_files, table

from cscbench.asking.judge_plays import REPEATS, TEMPERATURE
from cscbench.cli import cli
from cscbench.content.cards import resolve_card
from cscbench.content.rubrics import RubricFile, read_rubric
from cscbench.content.shipped import folders
from cscbench.judging.calibrate import CHANCE, CHANGE, MISSING, ORDER, SHIFT
from cscbench.judging.ratings import _KNOWN, read_csv
from cscbench.values import TRIES, Language

PAGE = page("judging.md")


def test_its_example_of_ratings_can_be_read(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text(shown_files(PAGE)["ratings.csv"], encoding="utf-8")
    rows = read_csv(path).rows
    assert [row.rating for row in rows] == [4.5, 1, 5, 2]
    assert rows[2].lines == ((False, "您好，请讲。"), (True, "我的快递三天没动了。"))
    assert {row[0] for row in table(PAGE, "Calibration")} == set(_KNOWN)


def test_the_fields_of_a_rubric_are_documented():
    documented = {name for row in table(page("tasks.md"), "Rubrics and anchors") for name in row[0].split("`, `")}
    assert documented == set(RubricFile.__struct_fields__)


def test_its_numbers_are_the_code_s():
    words = " ".join(PAGE.split())
    assert f"fewer than {ORDER:g} % of the pairs" in words
    assert f"better than chance ({CHANCE:g} %), or if more than {MISSING:g} % of its ratings are missing" in words
    assert f"moved by {SHIFT:g} stars or more" in words
    assert f"more than {CHANGE:g}, or" in words
    assert (TRIES, REPEATS) == (3, 3)
    assert f"three times at temperature {TEMPERATURE}" in words


@pytest.mark.parametrize("line", commands(PAGE), ids=" ".join)
def test_its_commands_are_typed_right(line):
    """Their options are known, and so are their cards."""
    assert CliRunner().invoke(cli, [*line[1:], "--help"]).exit_code == 0
    for card in line[line.index("--judge") + 1].split(","):
        assert resolve_card(card).adapter in ("hf", "vllm")


@pytest.mark.parametrize(("rubric_set", "language"), [("default", "zh"), ("default", "en"), ("prometheus", "en")])
def test_every_shipped_rubric_is_sound_and_the_two_languages_ask_the_same(rubric_set, language):
    (root,) = [folder / "csconv" / "rubrics" for folder in folders("tasks") if (folder / "csconv").is_dir()][-1:]
    rubric = read_rubric(root, rubric_set, Language(language))
    codes = [dimension.code for dimension in rubric.file.dimensions]
    assert codes == (["opening", "empathy", "handling", "clarity", "closing"] if rubric_set == "default" else [])
    assert all(re.search(rf"`stars_{code}`", PAGE) for code in (codes[:1] + codes[-1:]))
    assert resolve_card("prometheus7b").prompts == "prometheus"
