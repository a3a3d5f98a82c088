"""`cscbench leaderboard`."""

from pathlib import Path

import click


@click.group()
def leaderboard() -> None:
    """Publish runs on boards: folders in leaderboards/ (docs/leaderboard.md)."""


@leaderboard.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--board", required=True, metavar="NAME", help="The board.")
@click.option("--replace", is_flag=True, help="Overwrite an entry that has different content.")
def add(runs: tuple[Path, ...], board: str, replace: bool) -> None:
    """Add the finished runs in RUNS (run folders, or folders of run folders) to a board in the working directory."""
    from cscbench.publishing.board.add import add as add_run
    from cscbench.publishing.board.boards import find_board
    from cscbench.runs.finished import find_runs

    target, folder = find_board(board)
    for run in [run for path in runs for run in find_runs(path)]:
        click.echo(str(add_run(target, folder, run, replace)))


@leaderboard.command()
@click.option("--board", metavar="NAME", help="The board.  [default: all]")
@click.pass_context
def check(ctx: click.Context, board: str | None) -> None:
    """Check every entry of a board against its schema and its turns.

    Exit codes: 0 no problems, 1 problems, 2 invalid input.
    """
    from cscbench.publishing.board.boards import board_folders, find_board
    from cscbench.publishing.board.check import check as check_board
    from cscbench.values import UserError

    names = [board] if board else list(board_folders())
    if not names:
        raise UserError("no board found: create a folder leaderboards/NAME/ with a board.yaml")
    problems = 0
    for name in names:
        checked = check_board(*find_board(name))
        click.echo(f"{name}: {checked.entries} entries, {len(checked.problems)} problems")
        for line in (*checked.problems, *(f"note: {note}" for note in checked.notes)):
            click.echo(f"  {line}")
        problems += len(checked.problems)
    ctx.exit(1 if problems else 0)


@leaderboard.command()
@click.option("--board", required=True, metavar="NAME", help="The board.")
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Also show these runs, without adding them; repeatable.",
)
@click.option(
    "--out", default="site", show_default=True, type=click.Path(path_type=Path), help="The folder for the pages."
)
def build(board: str, runs: tuple[Path, ...], out: Path) -> None:
    """Build the static pages of a board: open index.html, or publish the folder on any web host."""
    from cscbench.publishing.board.add import with_unpublished_runs
    from cscbench.publishing.board.boards import find_board, read_entries
    from cscbench.publishing.board.rank import rank
    from cscbench.publishing.site import build_site
    from cscbench.runs.finished import find_runs
    from cscbench.scoring.bootstrap import Resampling

    target, folder = find_board(board)
    entries = with_unpublished_runs(target, read_entries(folder), [run for path in runs for run in find_runs(path)])
    site = build_site(target, entries, rank(target, entries, Resampling()), out)
    click.echo(f"{out / 'index.html'}: {len(entries)} entries, {site.pages} pages, {site.bytes / 1e6:.1f} MB")
