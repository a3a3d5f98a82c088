"""`cscbench compare`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cscbench.cli.choices import EnumChoice
from cscbench.scoring.bootstrap import IntervalMethod, Resampling
from cscbench.values import UserError

if TYPE_CHECKING:
    from cscbench.comparing.compare import Comparison


class Format(StrEnum):
    """A form of the comparison on standard output."""

    TABLE = "table"
    MARKDOWN = "md"
    CSV = "csv"
    JSON = "json"


_MOVED = {"latex": "`cscbench export --format latex`"}


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), help="The run to compare with.  [default: the first]")
@click.option(
    "--interval",
    type=EnumChoice(IntervalMethod),
    default=IntervalMethod.PERCENTILE.value,
    show_default=True,
    help="How to compute the intervals of differences (docs/statistics.md).",
)
@click.option(
    "--resamples", type=click.IntRange(min=100), default=1000, show_default=True, help="Resamples of the dialogues."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the resamples.")
@click.option(
    "--format",
    "form",
    type=EnumChoice(Format, _MOVED),
    default=Format.TABLE.value,
    show_default=True,
    help="The form to print.",
)
@click.option("--texts", is_flag=True, help="Compare the replies of two runs: where their texts first diverge.")
@click.option(
    "--tokenizer",
    default="",
    metavar="CARD|PATH|ID",
    help="With --texts: count tokens with this card, folder or cached Hub id, or `none` to count characters.  "
    "[default: the runs' own model, if it is on this machine]",
)
@click.option(
    "--first", default=16, show_default=True, type=click.IntRange(min=1), help="With --texts: tokens that must agree."
)
@click.option(
    "--examples", default=3, show_default=True, type=click.IntRange(min=0), help="With --texts: divergences to show."
)
def compare(
    runs: tuple[Path, ...],
    baseline: Path | None,
    interval: IntervalMethod,
    resamples: int,
    seed: int,
    form: Format,
    texts: bool,
    tokenizer: str,
    first: int,
    examples: int,
) -> None:
    """Compare the runs in folders RUNS with a baseline, over the turns that all of them answered.

    Differences have paired intervals over dialogues; p comes from a permutation test, corrected by Holm. MDE is the
    smallest true difference that these dialogues would detect 80 times in 100; wins is the share of dialogues in which
    a run beats the baseline (ties count half); runs of one group are tied.

    With --texts, compare the replies of two runs instead, for example of one model on two engines.
    """
    if texts:
        if len(runs) != 2 or baseline is not None:
            raise UserError("--texts compares two runs: give two folders, without --baseline")
        _compare_texts(*runs, tokenizer, first, examples, form)
        return
    from cscbench import api

    _show(api.compare(runs, baseline, Resampling(resamples, seed, interval)), form)


def _show(comparison: "Comparison", form: Format) -> None:
    import msgspec

    from cscbench.asking import files
    from cscbench.cli.show.comparison import show_comparison
    from cscbench.comparing.rows import HEAD, rows
    from cscbench.publishing import formats

    match form:
        case Format.TABLE:
            show_comparison(comparison)
        case Format.MARKDOWN:
            click.echo(formats.markdown(HEAD, rows(comparison)), nl=False)
        case Format.CSV:
            click.echo(formats.as_csv(comparison), nl=False)
        case Format.JSON:
            click.echo(files.json_bytes(msgspec.to_builtins(comparison)).decode(), nl=False)


def _compare_texts(run_a: Path, run_b: Path, tokenizer: str, first: int, examples: int, form: Format) -> None:
    import msgspec

    from cscbench.asking import files
    from cscbench.cli.show.agreement import show_agreement
    from cscbench.comparing.agree.agree import agree
    from cscbench.comparing.agree.units import text_unit
    from cscbench.runs.finished import load

    if form not in (Format.TABLE, Format.JSON):
        raise UserError(f"--texts has no --format {form}: use table or json")
    a, b = load(run_a), load(run_b)
    agreement = agree(a, b, text_unit(tokenizer, a.record, b.record), first, examples)
    if form is Format.JSON:
        click.echo(files.json_bytes(msgspec.to_builtins(agreement)).decode(), nl=False)
    else:
        show_agreement(agreement)
