"""Progress: rate, time left and how often a line comes, on a clock that the test sets."""

import io
import logging

import pytest

from cscbench.asking import progress as module
from cscbench.asking.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed, in a list of one."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="cscbench")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("done", "known", "seconds", "line"),
    [
        (10, 0, 20, "m: 10/30, 0.50/s, 0:00:40 left"),
        (20, 10, 20, "m: 20/30, 0.50/s, 0:00:20 left"),  # what was known says nothing about the speed
        (1, 0, 250, "m: 1/30, 0.00/s, 2:00:50 left"),
        (10, 0, 1800, "m: 10/30, 0.01/s, 1:00:00 left"),
        (2, 1, 127, "m: 2/30, 0.01/s, 0:59:16 left"),
        (30, 0, 15, "m: 30/30, 2.00/s, 0:00:00 left"),
        (10, 10, 20, "m: 10/30, 0.00/s, ? left"),
    ],
)
def test_a_line_has_the_rate_of_new_work_and_the_time_left(clock, lines, done, known, seconds, line):
    bar = Progress("m", 30)
    for _ in range(known):
        bar.skip()
    bar.step(done - known - 1) if done > known + 1 else None
    clock[0] += seconds
    bar.step() if done > known else bar.step(0)
    assert lines() == [line]


def test_lines_come_fifteen_seconds_apart(clock, lines):
    bar = Progress("m", 100)
    for second in range(1, 47):
        clock[0] = 1000.0 + second
        bar.step()
    assert [line.split(",")[0] for line in lines()] == ["m: 15/100", "m: 30/100", "m: 45/100"]


def test_the_total_grows_with_what_is_done_and_never_shrinks(clock, lines):
    bar = Progress("m", 2)
    for count in (1, 3, 1):
        clock[0] += 20
        bar.step(count)
    assert [line.split(",")[0] for line in lines()] == ["m: 1/2", "m: 4/4", "m: 5/5"]


def test_an_instant_has_a_rate_too(lines, clock, monkeypatch):
    monkeypatch.setattr(module, "_PLAIN_EVERY_S", 0.0)
    Progress("m", 4).step(2)
    assert lines()[0].endswith("0:00:00 left")


@pytest.mark.parametrize(("terminal", "quiet", "bars"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_a_bar_is_drawn_on_a_terminal_unless_quiet(monkeypatch, terminal, quiet, bars):
    drawn = []

    class Bar(Progress):
        def stop(self) -> None:
            drawn.append(self._done)

    monkeypatch.setattr(module, "_BarProgress", Bar)
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(module.log, "isEnabledFor", lambda level: not quiet)
    with module.progress("m", 3) as bar:
        bar.step(2)
    assert drawn == [2] * bars


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_is_drawn_on_standard_error_and_taken_away(monkeypatch):
    out, err = Terminal(), Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module.sys, "stdout", out)
    monkeypatch.setattr(module.sys, "stderr", err)
    monkeypatch.setattr(module.log, "isEnabledFor", lambda level: True)
    with module.progress("model-x", 4) as bar:
        bar.step(3)
    text = err.getvalue()
    assert "model-x" in text
    assert "3/4" in text
    assert text.endswith("\x1b[2K")  # the line is erased
    assert out.getvalue() == ""
