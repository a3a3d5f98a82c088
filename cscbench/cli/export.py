"""`cscbench export`."""

from pathlib import Path

import click

from cscbench.cli.choices import EnumChoice
from cscbench.publishing.export import Target


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", "target", type=EnumChoice(Target), required=True, help="Whose form (docs/exports.md).")
@click.option("--out", default="exports", show_default=True, type=click.Path(path_type=Path), help="The folder.")
@click.option("--dataset", default="", metavar="OWNER/NAME", help="The data's id on the Hub, for `hf`'s .eval_results.")
def export(runs: tuple[Path, ...], target: Target, out: Path, dataset: str) -> None:
    """Write the finished runs in RUNS, run folders or folders of them, in the form of another tool."""
    from cscbench.publishing import export as exports
    from cscbench.runs.finished import find_runs

    found = [exports.exported(run) for given in runs for run in find_runs(given)]
    for path in exports.write(exports.export(found, target, dataset), out):
        click.echo(str(path))
