"""`cscbench run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cscbench.cli.choices import EnumChoice, given, renamed_option, set_option
from cscbench.cli.gate import Gate, judge_run, read_gate
from cscbench.values import Condition, Context, Language

if TYPE_CHECKING:
    from cscbench.runs.plan import Plan


def _split(_ctx: click.Context, _option: click.Parameter, names: str) -> tuple[str, ...]:
    return tuple(names.split(",")) if names else ()


@click.command()
@click.option("--model", required=True, metavar="SPEC", help="A model card, with variants: base+variant+variant.")
@click.option("--task", default="csconv_sample", show_default=True, metavar="NAME", help="A task.")
@click.option("--lora", default="", metavar="PATH", help="LoRA weights (a peft folder) to put on the model.")
@click.option(
    "--data", default="", metavar="PATH", help="Dialogues to use instead of the task's: .json, .jsonl, .parquet."
)
@click.option(
    "--context",
    type=EnumChoice(Context),
    default=Context.GOLD.value,
    show_default=True,
    help="What the history shows for earlier supporter turns: the reference, or the model's own.",
)
@click.option(
    "--condition",
    type=EnumChoice(Condition),
    default=Condition.JOINT.value,
    show_default=True,
    help="Strategy and reply in one answer; in two; in two, the strategy by likelihood; the reply alone, given it.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N dialogues.")
@click.option("--language", type=EnumChoice(Language), help="Only dialogues in this language.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of sampled decoding.")
@click.option("--out", default="reports", show_default=True, metavar="DIR", help="Parent of the run folders.")
@click.option("--encoder", default="", metavar="CARD|PATH", help="Encoder of BERTScore, or `none` to leave it out.")
@click.option("--scorer", "scorers", multiple=True, metavar="NAME", help="A further scorer; may be repeated.")
@click.option("--trust-remote-code", is_flag=True, help="Allow a card that asks for it to run its model's own code.")
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0, min_open=True),
    metavar="AMOUNT",
    help="Stop before replies cost more than this, in the currency of the card's price.",
)
@click.option("--gate", "rules", type=click.Path(path_type=Path), help="Judge the run by these rules when it is done.")
@click.option("--baseline", type=click.Path(path_type=Path), help="What the rules compare with: see `cscbench gate`.")
@click.option(
    "--judge",
    "judges",
    default="",
    callback=_split,
    metavar="CARD[,CARD...]",
    help="Have LLM judges rate the replies (1-5 stars).",
)
@set_option("the card, task, data or judging")
@renamed_option("--judge-level", "--set judge.level=LEVEL")
@renamed_option("--judge-repeats", "--set judge.repeats=N")
@click.option("--dry-run", is_flag=True, help="Show what would be run, without loading weights.")
@click.pass_context
def run(ctx: click.Context, /, rules: Path | None, baseline: Path | None, dry_run: bool, **options: Any) -> None:
    """Run a model on a task, score it, and leave a run folder.

    Killed at any moment, the same command goes on where it stopped; a finished run is only shown. With --gate, the exit
    code is that of `cscbench gate`.
    """
    from cscbench.cli.show import results as show
    from cscbench.runs.options import RunOptions
    from cscbench.runs.plan import prepare

    if baseline is not None and rules is None:
        raise click.UsageError("--baseline is for --gate RULES")
    read = read_gate(rules, baseline) if rules is not None else None  # before the hours of a run
    plan = prepare(given(RunOptions, options))
    show.show_faults(plan.data.faults)
    if dry_run:
        _show_dry_run(plan)
        return
    folder, code = _run(plan)
    ctx.exit(code if read is None else _judge(folder, read))


def _show_dry_run(plan: "Plan") -> None:
    from cscbench.cli.show import results as show
    from cscbench.runs.plan import check_scoring
    from cscbench.values import UserError

    check_scoring(plan)
    try:
        weights = str(dict(plan.backend.fingerprint(plan.card)))
    except UserError as error:
        weights = f"not to be had here: {error}"
    show.show_dry_run(plan, weights)


def _run(plan: "Plan") -> tuple[Path | None, int]:
    """Run and show; the folder, None where the budget stopped it, and the exit code."""
    from cscbench.asking.budget import BudgetSpent
    from cscbench.cli.show import results as show
    from cscbench.runs.results import failed_ratings
    from cscbench.runs.run import run as run_plan

    try:
        finished = run_plan(plan)
    except BudgetSpent as stop:
        click.echo(f"cscbench: {stop}", err=True)
        return None, 4
    results = finished.scored()
    show.show_results(results)
    click.echo(str(finished.folder))
    if results.run.complete and not failed_ratings(results):
        return finished.folder, 0
    what = "some replies" if not results.run.complete else "some ratings"
    click.echo(f"{what} failed: the same command asks for them again", err=True)
    return finished.folder, 3


def _judge(folder: Path | None, read: "Gate") -> int:
    """The gate's exit code; a run without results is a partial one."""
    from cscbench.comparing.gate.verdict import ExitCode

    return judge_run(folder, read).code if folder is not None else ExitCode.BROKEN
