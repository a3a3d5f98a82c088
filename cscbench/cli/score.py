"""`cscbench score` and `cscbench show`."""

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--encoder", default="", metavar="CARD|PATH", help="Encoder for BERTScore, or `none` to skip it.")
@click.option("--scorer", "scorers", multiple=True, metavar="NAME", help="Add a scorer; repeatable.")
def score(run: Path, encoder: str, scorers: tuple[str, ...]) -> None:
    """Score the run in folder RUN again, without its model."""
    from cscbench.cli.show import results as show
    from cscbench.runs.run import rescore

    show.show_results(rescore(run, encoder, scorers))


@click.command("show")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
def show(runs: tuple[Path, ...]) -> None:
    """Show finished runs side by side, one column for each; a folder of runs adds every run in it."""
    from cscbench.cli.show.results import show_comparison
    from cscbench.runs.finished import find_runs, load

    show_comparison([load(folder).scored() for path in runs for folder in find_runs(path)])
