"""A run printed: its metrics as rows, tables of text and HTML, and as pandas frames."""

import dataclasses
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from cscbench.runs import summary
from cscbench.runs.finished import load
from cscbench.values import UserError

MAJORITY = sorted((Path(__file__).parents[1] / "data/77eb998/runs").iterdir())[0]


@pytest.fixture
def run():
    return load(MAJORITY)


def test_a_row_has_value_interval_turns_and_direction(run):
    metric = run.results.metrics[0]
    lower = msgspec.structs.replace(
        metric, name="missing", value=0.125, low=None, high=None, n=7, higher_is_better=False
    )
    rows = summary.metric_rows(msgspec.structs.replace(run.results, metrics=(metric, lower)))
    assert rows == [
        (metric.name, f"{metric.value:.2f}", f"{metric.low:.2f}", f"{metric.high:.2f}", str(metric.n), ""),
        ("missing", "0.12", "", "", "7", "lower"),
    ]


def test_a_text_table_is_aligned_numbers_to_the_right_and_never_wrapped():
    long = "word " * 45
    names = ("a ", "bb ", "word ")
    shown = summary.text_table(("name", "n"), [("a", "1"), ("bb", "200"), (long, "3")], (1,)).splitlines()
    rows = [line.rstrip() for line in shown if line.lstrip().startswith(names)]
    assert [line.split()[-1] for line in rows] == ["1", "200", "3"]
    assert len({len(line) for line in rows}) == 1
    left = summary.text_table(("n", "name"), [("1", "a"), ("200", "b")]).splitlines()
    assert [line.index(number) for number in ("1", "200") for line in left if number in line] == [1, 1]


def test_a_table_is_no_wider_than_240_characters():
    lines = summary.text_table(("name",), [("x" * 1000,)]).splitlines()
    assert max(len(line.strip()) for line in lines) == 238  # and a space at either end


def test_brackets_in_a_table_are_text_and_no_markup():
    assert "[bold]x[/bold]" in summary.text_table(("name",), [("[bold]x[/bold]",)])


class Cells(HTMLParser):
    """The texts of a table's cells, with how each is aligned."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, str]] = []
        self._style = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._style = dict(attrs).get("style", "")

    def handle_data(self, data):
        self.cells.append((data, self._style.removeprefix("text-align:")))


def test_a_notebook_table_is_escaped_and_aligned():
    page = summary.html_table("a < b", ("name", "n"), [("<script>", "1")], (1,))
    assert "<script>" not in page
    assert Cells(page).cells == [
        ("a < b", ""), ("name", "left"), ("n", "right"), ("<script>", "left"), ("1", "right"),
    ]  # fmt: skip


def test_a_run_prints_as_its_metrics_and_an_unfinished_one_as_its_state(run):
    text = repr(run)
    assert "majority on CSConv sample (authored): gold context, joint" in text
    assert all(metric.name in text for metric in run.results.metrics)
    assert f"{run.results.counts.turns} turns" in text
    assert text.endswith(str(run.folder))
    page = Cells(run._repr_html_()).cells
    numbers = [style for text, style in page if text == f"{run.metric('rouge_l').value:.2f}"]
    assert numbers == ["right"]
    first = page.index(("rouge_l", "left"))
    assert [style for _, style in page[first : first + 5]] == ["left", *["right"] * 4]
    heads = [(text, style) for text, style in page if text in summary.COLUMNS]
    assert [style for _, style in heads] == ["left", *["right"] * 4, "left"]
    unfinished = dataclasses.replace(run, results=None)
    assert repr(unfinished) == f"{run.folder}: unfinished"
    assert unfinished._repr_html_() is None


def test_frames_have_a_row_a_metric_and_a_row_a_turn(run):
    metrics = run.metrics_frame()
    assert list(metrics["name"]) == [metric.name for metric in run.results.metrics]
    assert list(metrics["value"]) == [metric.value for metric in run.results.metrics]
    turns = run.turns_frame()
    assert list(zip(turns["dialogue"], turns["turn"], strict=True)) == list(run.pairs)
    assert turns["rouge.f1"].sum() == pytest.approx(sum(run.statistics.columns["rouge.f1"]))
    with pytest.raises(UserError, match="not scored yet"):
        dataclasses.replace(run, results=None).metrics_frame()
