"""`cscbench export`."""

from pathlib import Path

import click

from cscbench.cli.choices import EnumChoice, renamed_option
from cscbench.publishing.export import Target


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "target", type=EnumChoice(Target), required=True, help="The form to write (docs/exports.md).")
@renamed_option("--to", "--format")
@click.option(
    "--out", default="exports", show_default=True, type=click.Path(path_type=Path), help="The folder to write to."
)
@click.option("--dataset", default="", metavar="OWNER/NAME", help="The data's Hub id, for the .eval_results of `hf`.")
def export(runs: tuple[Path, ...], target: Target, out: Path, dataset: str) -> None:
    """Write the finished runs in RUNS (run folders, or folders of run folders) in the form of another tool."""
    from cscbench.publishing import export as exports
    from cscbench.runs.finished import find_runs

    exported = [exports.exported(run) for folder in runs for run in find_runs(folder)]
    for path in exports.write(exports.export(exported, target, dataset), out):
        click.echo(str(path))
