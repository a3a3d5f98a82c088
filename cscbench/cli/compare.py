"""`cscbench compare`."""

from enum import StrEnum
from pathlib import Path

import click

from cscbench.cli.choices import EnumChoice
from cscbench.scoring.bootstrap import IntervalMethod


class _Format(StrEnum):
    TABLE = "table"
    MARKDOWN = "md"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), help="The run to compare with.  [default: the first]")
@click.option("--interval", type=EnumChoice(IntervalMethod), default=IntervalMethod.PERCENTILE, show_default=True)
@click.option("--resamples", type=click.IntRange(min=100), default=1000, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--format", "form", type=EnumChoice(_Format), default=_Format.TABLE, show_default=True)
def compare(
    runs: tuple[Path, ...],
    baseline: Path | None,
    interval: IntervalMethod,
    resamples: int,
    seed: int,
    form: _Format,
) -> None:
    """Compare the runs in folders RUNS with a baseline, over the turns that all of them answered.

    Differences have paired intervals over dialogues; p is of a permutation test, corrected by Holm. MDE is the smallest
    true difference that these dialogues would show 80 times in 100; wins the share of dialogues in which a run is
    better than the baseline, ties half; runs of one group are tied.
    """
    import json

    import msgspec

    from cscbench.cli.show.comparison import show_comparison
    from cscbench.comparing.compare import compare as compared
    from cscbench.publishing import formats
    from cscbench.runs.finished import load
    from cscbench.scoring.bootstrap import Resampling

    first = baseline or runs[0]
    folders = [first, *(run for run in runs if run.resolve() != first.resolve())] if baseline else runs
    found = compared([load(folder) for folder in folders], Resampling(resamples, seed, interval))
    lines = formats.rows(found)
    match form:
        case _Format.TABLE:
            show_comparison(found)
        case _Format.MARKDOWN:
            click.echo(formats.markdown(formats.HEAD, lines), nl=False)
        case _Format.LATEX:
            click.echo(formats.latex(formats.HEAD, lines), nl=False)
        case _Format.CSV:
            click.echo(formats.as_csv(found), nl=False)
        case _Format.JSON:
            click.echo(json.dumps(msgspec.to_builtins(found), indent=1, ensure_ascii=False, allow_nan=False))
