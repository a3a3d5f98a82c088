"""`cscbench calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cscbench.cli.choices import renamed_option, set_option
from cscbench.values import UserError

if TYPE_CHECKING:
    from cscbench.content.tasks import Task
    from cscbench.judging.calibrate import Calibration
    from cscbench.judging.panel import Judge
    from cscbench.judging.ratings import Ratings


@click.group()
def calibrate() -> None:
    """Decide whether an instrument is fit, from planted cases and people's ratings."""


@calibrate.command("judge")
@click.argument("ratings", required=False, type=click.Path(path_type=Path))
@click.option("--judge", "judge_card", required=True, metavar="CARD", help="The judge.")
@click.option(
    "--task",
    "task_name",
    default="csconv_sample",
    show_default=True,
    metavar="NAME",
    help="Use this task's rubric and anchors.",
)
@set_option("the task or judging")
@renamed_option("--judge-repeats", "--set judge.repeats=N")
@click.option("--against", type=click.Path(path_type=Path), help="An earlier calibration.json: has the judge drifted?")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("reports/calibrations"),
    show_default=True,
    help="The folder to write to.",
)
@click.option("--trust-remote-code", is_flag=True, help="Allow a card that asks for it to run its model's own code.")
@click.pass_context
def calibrate_judge(
    ctx: click.Context,
    ratings: Path | None,
    judge_card: str,
    task_name: str,
    overrides: dict[str, Any],
    against: Path | None,
    out: Path,
    trust_remote_code: bool,
) -> None:
    """Compare a judge with people's ratings in RATINGS, a CSV file, or with the task's own anchors.

    Exit codes: 0 fit, 1 unfit or drifted, 2 invalid input, 3 the judge did not answer everything.
    """
    from cscbench.cli.show.calibration import show_calibration
    from cscbench.content.overrides import check_overrides, nested
    from cscbench.content.tasks import find_task
    from cscbench.judging.panel import resolve_judges
    from cscbench.judging.ratings import read_csv
    from cscbench.values import JudgeOptions, Language, Level

    checked = check_overrides(overrides)
    task = find_task(task_name, checked)
    rows = read_csv(ratings or _anchors(task))
    languages = [language for language in Language if any(row.language is language for row in rows.rows)]
    level = Level.TURN if any(row.reply for row in rows.rows) else Level.DIALOGUE
    options = {"level": level, **nested(checked, "judge")}
    if options["level"] is not level:
        raise UserError(f"--set judge.level={options['level']}: the ratings are of level {level}: leave it out")
    (judge,) = resolve_judges(task, languages, JudgeOptions((judge_card,), **options))
    calibration = _calibrate(task, rows, judge, against, out, trust_remote_code)
    show_calibration(calibration)
    click.echo(str(_folder(judge, out)))
    if calibration.failed:
        ctx.exit(3)
    ctx.exit(1 if calibration.unfit or (calibration.drift and calibration.drift.alarms) else 0)


def _anchors(task: "Task") -> Path:
    if task.anchors is None:
        raise UserError(f"{task.name}: the task has no anchors: give a file of ratings")
    return task.anchors


def _folder(judge: "Judge", out: Path) -> Path:
    from cscbench.judging.panel import FOLDER

    return out / FOLDER / judge.folder


def _calibrate(
    task: "Task", rows: "Ratings", judge: "Judge", against: Path | None, out: Path, trust_remote_code: bool
) -> "Calibration":
    from cscbench.asking.budget import Budget
    from cscbench.judging import calibrate as calibration
    from cscbench.judging.panel import ratings_record, run_judge
    from cscbench.judging.ratings import items_of_ratings
    from cscbench.scoring.bootstrap import Resampling

    path = _folder(judge, out) / calibration.FILE
    earlier = calibration.read(against) if against is not None else None
    if against is not None and against.resolve() == path.resolve():
        raise UserError(f"{against}: this calibration would replace it. Choose another --out.")
    items = items_of_ratings(rows, judge.rubrics)
    account = Budget().account(judge.record.label)
    judge_run = run_judge(judge, items, out, ratings_record(task, rows), trust_remote_code, account)
    result = calibration.calibrate(rows, judge_run, earlier, Resampling())
    calibration.write(path, result)
    return result
