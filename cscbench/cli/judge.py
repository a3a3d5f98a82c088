"""`cscbench judge`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cscbench.content.tasks import Task
    from cscbench.judging.calibrate import Calibration
    from cscbench.judging.panel import Judge, JudgeRun
    from cscbench.judging.ratings import Ratings


@click.group()
def judge() -> None:
    """Look at judges: models that give stars."""


@judge.command()
@click.argument("ratings", required=False, type=click.Path(path_type=Path))
@click.option("--judge", "name", required=True, metavar="CARD", help="The judge.")
@click.option("--task", "task_name", default="csconv_sample", show_default=True, help="Whose rubric and anchors.")
@click.option("--judge-repeats", "repeats", type=click.IntRange(min=1), metavar="N", help="Answers to each item.")
@click.option("--against", type=click.Path(path_type=Path), help="An earlier calibration.json: has the judge drifted?")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/calibrations"), show_default=True)
@click.option("--trust-remote-code", is_flag=True, help="Allow a card that asks for it to run its model's own code.")
@click.pass_context
def calibrate(
    ctx: click.Context,
    ratings: Path | None,
    name: str,
    task_name: str,
    repeats: int | None,
    against: Path | None,
    out: Path,
    trust_remote_code: bool,
) -> None:
    """Compare a judge with people's ratings in RATINGS, a CSV file, or with the task's own anchors.

    Exit codes: 0 fit, 1 unfit or drifted, 2 a mistake in what was given, 3 the judge did not answer everything.
    """
    from cscbench.cli.show.calibration import show_calibration
    from cscbench.content.tasks import find_task
    from cscbench.judging.panel import resolve_judges
    from cscbench.judging.ratings import read_csv
    from cscbench.values import JudgeOptions, Language, Level

    task = find_task(task_name)
    rows = read_csv(ratings or _anchors(task))
    languages = [language for language in Language if any(row.language is language for row in rows.rows)]
    level = Level.TURN if any(row.reply for row in rows.rows) else Level.DIALOGUE
    (one,) = resolve_judges(task, languages, JudgeOptions((name,), level, repeats or 0))
    found = _calibrate(task, rows, one, against, out, trust_remote_code)
    show_calibration(found)
    click.echo(str(_folder(one, out)))
    if found.failed:
        ctx.exit(3)
    ctx.exit(1 if found.unfit or (found.drift and found.drift.alarms) else 0)


def _anchors(task: "Task") -> Path:
    from cscbench.values import UserError

    if task.anchors is None:
        raise UserError(f"{task.name}: the task has no anchors: give a file of ratings")
    return task.anchors


def _folder(one: "Judge", out: Path) -> Path:
    from cscbench.judging.panel import FOLDER

    return out / FOLDER / one.folder


def _calibrate(
    task: "Task", rows: "Ratings", one: "Judge", against: Path | None, out: Path, trust_remote_code: bool
) -> "Calibration":
    from cscbench.asking.budget import Budget
    from cscbench.judging import calibrate as calibration
    from cscbench.judging.panel import ratings_record, run_judge
    from cscbench.judging.ratings import items_of_ratings
    from cscbench.scoring.bootstrap import Resampling
    from cscbench.values import UserError

    place = _folder(one, out) / calibration.FILE
    before = calibration.read(against) if against is not None else None
    if against is not None and against.resolve() == place.resolve():
        raise UserError(f"{against}: its replies would be read from disk again: choose another --out")
    items = items_of_ratings(rows, one.rubrics)
    judged: JudgeRun = run_judge(
        one, items, out, ratings_record(task, rows), trust_remote_code, Budget().account(one.record.label)
    )
    found = calibration.calibrate(rows, judged, before, Resampling())
    calibration.write(place, found)
    return found
