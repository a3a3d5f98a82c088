"""Commands that write several files, killed with SIGKILL: a reader sees all old or all new, and the same command again
leaves the folder as if there had been no kill.

Each writer is killed at every step that it takes on disk, the whole command at some; with --slow, as a process of its
own, at twenty random moments.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from kills import each_kill, killed, tree
from leaderboard.conftest import BOARD

from cscbench.asking import files, store
from cscbench.cli import cli
from cscbench.publishing import export as exports
from cscbench.publishing import report as reports
from cscbench.publishing.board.add import add
from cscbench.publishing.board.boards import OF_RUN, read_board, read_entries
from cscbench.publishing.board.check import check
from cscbench.publishing.export import Target, exported
from cscbench.publishing.report.blocks import Document, Section, Text
from cscbench.runs import results
from cscbench.runs.finished import find_runs
from cscbench.values import UserError

ENTRIES = Path("leaderboards", "test", "entries")


AGAIN = ("--encoder", "none", "--scorer", "diversity")


class Made(NamedTuple):
    """A finished run, and the same scored again with one more scorer."""

    old: Path
    new: Path


def cscbench(*args: str | Path) -> None:
    """The command, in this process."""
    cli([*map(str, args)], prog_name="cscbench", standalone_mode=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory, shared_cache) -> Made:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CSCBENCH_CACHE", str(shared_cache))
        out = tmp_path_factory.mktemp("runs")
        cscbench("-q", "run", "--model", "majority", "--encoder", "none", "--limit", "3", "--out", out / "old")
        shutil.copytree(out / "old", out / "new")
        (old,), (new,) = (find_runs(out / name) for name in Made._fields)
        cscbench("-q", "score", new, *AGAIN)
        return Made(old, new)


class Writer(NamedTuple):
    """A command that writes a set: its folder, how to prepare the folder, and how to view it."""

    args: tuple[str | Path, ...]
    folder: Path
    before: Callable[[], object]
    write: Callable[[], object]
    view: Callable[[], object]


def timeless(content: bytes) -> Any:
    """A results.json without its times."""
    return {**json.loads(content), "timing": None}


def afresh(folder: Path, source: Path) -> None:
    """The folder as a copy of the source."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)


def score(made: Made) -> Writer:
    """Results and scores of a run, scored again."""
    run = Path("run", made.old.name).absolute()
    again, scores = results.read(made.new), (made.new / store.SCORES).read_bytes()

    def write() -> None:
        with store.locked(run):
            results.write(run, again, scores)

    def view() -> object:
        exported(run)
        return timeless(files.read(run / store.RESULTS)), files.read(run / store.SCORES)

    return Writer(("score", run, *AGAIN), run, lambda: afresh(run, made.old), write, view)


def score_first(made: Made) -> Writer:
    """Results and scores of a run that has none yet."""
    writer = score(made)

    def before() -> None:
        writer.before()
        for name in (store.RESULTS, store.SCORES):
            (writer.folder / name).unlink()

    def view() -> object:
        try:
            (run,) = find_runs(writer.folder.parent)
        except UserError:
            return None
        assert run == writer.folder
        return writer.view()

    return writer._replace(before=before, view=view)


def export(made: Made) -> Writer:
    """Two tables in a folder that has the person's own files."""
    out = Path("out").absolute()
    earlier = msgspec.structs.replace(exported(made.old), pairs=())  # else both would have the same turns
    before, after = (exports.export([run], Target.CSV) for run in (earlier, exported(made.new)))

    exports.write(before, Path("before"))
    Path("before", "sub").mkdir()
    Path("before", "sub", "metrics.csv").write_bytes(b"the person's")

    def view() -> object:
        assert (out / "sub" / "metrics.csv").read_bytes() == b"the person's"
        return [files.read(out / name) for name in after]

    args = ("export", made.new, "--format", "csv", "--out", out)
    return Writer(args, out, lambda: afresh(out, Path("before")), lambda: exports.write(after, out), view)


def replace(made: Made) -> Writer:
    """An entry of a board and its turns, replacing others."""
    board, entries = ENTRIES.parent.absolute(), ENTRIES.absolute()
    board.mkdir(parents=True)
    (board / "board.yaml").write_text(BOARD, encoding="utf-8")
    read, name = read_board(board), made.old.name
    add(read, board, made.old)
    shutil.copytree(entries, "before")

    def view() -> object:
        (placed,) = read_entries(board)
        return placed.entry, *(files.read(entries / name / file) for file in OF_RUN)

    args = ("leaderboard", "add", made.new, "--board", "test", "--replace")
    return Writer(
        args, entries, lambda: afresh(entries, Path("before")), lambda: add(read, board, made.new, replace=True), view
    )


def report(made: Made) -> Writer:
    """A report in both formats."""
    out, forms = Path("report").absolute(), (reports.ReportFormat.HTML, reports.ReportFormat.MARKDOWN)
    before, after = (Document("Report", (Section("A", (Text(text),)),)) for text in ("old", "new"))
    reports.write(before, forms, Path("before"))

    def view() -> object:
        return [files.read(out / f"report.{form}") for form in forms]

    return Writer((), out, lambda: afresh(out, Path("before")), lambda: reports.write(after, forms, out), view)


def states(writer: Writer, act: Callable[[], object]) -> tuple[object, object, dict[str, Any]]:
    """What a reader sees before and after an uninterrupted action, and the folder's content afterwards."""
    writer.before()
    old = writer.view()
    act()
    return old, writer.view(), contents(writer.folder)


def contents(folder: Path) -> dict[str, Any]:
    """`tree`, results.json without its times."""
    return {
        name: timeless(content) if content and Path(name).name == store.RESULTS else content
        for name, content in tree(folder).items()
    }


@pytest.fixture
def _no_sync(monkeypatch):
    """A kill, unlike a power cut, takes nothing from the system's memory."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.usefixtures("_no_sync")
@pytest.mark.parametrize("kind", [score, score_first, export, replace, report])
def test_killed_at_every_step_all_is_old_or_new(made, kind):
    writer = kind(made)
    old, new, whole = states(writer, writer.write)
    assert old != new
    views = []
    for step in each_kill(writer.folder, writer.before, writer.write):
        views.append(writer.view())
        assert views[-1] in (old, new), step
        writer.write()
        assert contents(writer.folder) == whole, step
    assert [view == new for view, _ in groupby(views)] == [False, True]  # it turns new once, and for good
    assert len(views) > 15


@pytest.mark.usefixtures("_no_sync")
@pytest.mark.parametrize("kind", [score, export, replace])
def test_the_whole_command_killed_at_some_steps(made, kind, capfd):
    writer = kind(made)
    old, new, whole = states(writer, lambda: cscbench(*writer.args))
    assert old != new
    drawn = random.Random(kind.__name__)  # noqa: S311
    views = []
    for step in sorted(drawn.sample(range(4, 20), 3)):
        writer.before()
        assert killed(lambda: cscbench(*writer.args), step, writer.folder)
        views.append(writer.view())
        assert views[-1] in (old, new), step
        cscbench(*writer.args)
        assert contents(writer.folder) == whole, step


def test_a_board_is_sound_whenever_its_entry_was_killed(made):
    writer = replace(made)
    board = ENTRIES.parent.absolute()
    for step in range(10, 36, 5):
        writer.before()
        assert killed(writer.write, step)
        checked = check(read_board(board), board)
        assert (checked.entries, checked.problems) == (1, ()), step


def started(writer: Writer, *program: str | Path) -> subprocess.Popen:
    """The command as a separate process."""
    return subprocess.Popen([sys.executable, *program, *writer.args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def steps_of(writer: Writer) -> int:
    """The number of steps of a process that is not killed."""
    with started(writer, Path(__file__).with_name("kills.py"), "0", str(writer.folder)) as process:
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    return int(said.split()[-1])


def killed_at(writer: Writer, step: int) -> None:
    """Let the process kill itself at a step."""
    with started(writer, Path(__file__).with_name("kills.py"), str(step), str(writer.folder)) as process:
        said = process.communicate(timeout=120)[1]
    assert process.returncode == -9, said


def killed_after(writer: Writer, seconds: float) -> None:
    """Kill the process this long after it began to write."""
    with started(writer, "-m", "cscbench") as process:
        while not (writer.folder / files.LOCK).exists() and process.poll() is None:
            pass
        time.sleep(seconds)
        process.kill()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [score, export, replace])
def test_the_process_killed_at_twenty_random_moments(made, kind, record_property):
    writer = kind(made)
    old, new, whole = states(writer, lambda: cscbench(*writer.args))
    drawn = random.Random(f"{kind.__name__} of a process")  # noqa: S311
    writer.before()
    steps = steps_of(writer)
    moments = [(killed_at, drawn.randint(1, steps)) for _ in range(10)]
    moments += [(killed_after, drawn.uniform(0, 0.02)) for _ in range(10)]
    seen = {"old": 0, "new": 0}
    for kill, moment in moments:
        writer.before()
        kill(writer, moment)
        view = writer.view()
        assert view in (old, new), moment
        seen["new" if view == new else "old"] += 1
        cscbench(*writer.args)
        assert contents(writer.folder) == whole, moment
    record_property("seen", seen)
    print(f"{kind.__name__}: {steps} steps; {seen}")
    assert all(seen.values())
