"""`cscbench report`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cscbench.cli.choices import EnumChoice, renamed_option
from cscbench.publishing.report import ReportFormat
from cscbench.values import UserError

if TYPE_CHECKING:
    from cscbench.publishing.report.study import Study

_MOVED = {"tex": "`cscbench export --format latex`"}


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), help="The run to compare with.  [default: the first]")
@click.option(
    "--ladder", type=click.Path(path_type=Path), metavar="YAML", help="Compare steps, each with the one before."
)
@click.option("--sizes", type=click.Path(path_type=Path), metavar="YAML", help="Compare base and tuned models by size.")
@click.option("--trend", is_flag=True, help="Show RUNS of one model by date.")
@click.option(
    "--format", "forms", multiple=True, type=EnumChoice(ReportFormat, _MOVED), help="Only this form.  [default: all]"
)
@renamed_option("--form", "--format")
@click.option(
    "--out", default="report", show_default=True, type=click.Path(path_type=Path), help="The folder to write to."
)
def report(
    runs: tuple[Path, ...],
    baseline: Path | None,
    ladder: Path | None,
    sizes: Path | None,
    trend: bool,
    forms: tuple[ReportFormat, ...],
    out: Path,
) -> None:
    """Write a report on the runs in folders RUNS: one run by itself, or several against a baseline.

    The report says in words what the runs show, how certain that is and where models are weak, with tables, examples
    and the commands that repeat the runs (docs/reports.md).
    """
    from cscbench.publishing import report as reports
    from cscbench.scoring.bootstrap import Resampling

    study = _study(runs, baseline, ladder, sizes, trend)
    document = reports.report(study, Resampling())
    for path in reports.write(document, forms or tuple(ReportFormat), out):
        click.echo(str(path))


def _study(
    runs: tuple[Path, ...], baseline: Path | None, ladder: Path | None, sizes: Path | None, trend: bool
) -> "Study":
    from cscbench.publishing.report import study

    asked = [name for name, given in (("--ladder", ladder), ("--sizes", sizes), ("--trend", trend)) if given]
    if len(asked) > 1:
        raise UserError(f"give one of {' and '.join(asked)}")
    if (ladder or sizes) and (runs or baseline):
        raise UserError(f"{asked[0]} names its runs in the file: leave other runs and --baseline out")
    if ladder:
        return study.ladder(ladder)
    if sizes:
        return study.sizes(sizes)
    if not runs:
        raise UserError("give at least one run folder, for example reports/RUN_A")
    if trend:
        if baseline:
            raise UserError("--trend compares each run with the one before: leave --baseline out")
        return study.trend(runs)
    first = [baseline] if baseline else []
    others = [run for run in runs if baseline is None or run.resolve() != baseline.resolve()]
    return study.of_runs([*first, *others])
