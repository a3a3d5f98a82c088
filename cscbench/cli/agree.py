"""`cscbench agree`."""

from pathlib import Path

import click


@click.command()
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option(
    "--tokenizer",
    default="",
    metavar="CARD|PATH|ID",
    help="What to count tokens with: a card, a folder, a hub id in the local cache, or `none` for characters. "
    "Without it: that of the runs' own model, where it is on this machine.",
)
@click.option("--first", default=16, show_default=True, type=click.IntRange(min=1), help="So many tokens alike count.")
@click.option("--examples", default=3, show_default=True, type=click.IntRange(min=0), help="Partings to show.")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Write everything here too.")
def agree(run_a: Path, run_b: Path, tokenizer: str, first: int, examples: int, json_file: Path | None) -> None:
    """Compare the runs in folders RUN_A and RUN_B over the turns that both have.

    Says what differs beside the engine, where the texts first part and how often, and what it does to each metric.
    """
    import msgspec

    from cscbench.asking import files
    from cscbench.cli.show.agreement import show_agreement
    from cscbench.comparing.agree.agree import agree as compare
    from cscbench.comparing.agree.units import text_unit
    from cscbench.runs.finished import load

    a, b = load(run_a), load(run_b)
    found = compare(a, b, text_unit(tokenizer, a.record, b.record), first, examples)
    if json_file is not None:
        files.write_json(json_file, msgspec.to_builtins(found))
    show_agreement(found)
