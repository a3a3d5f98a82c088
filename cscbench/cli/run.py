"""`cscbench run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cscbench.cli.choices import EnumChoice, given, renamed_option, set_option
from cscbench.cli.gate import Gate, apply_gate, read_gate
from cscbench.values import Condition, Context, Language

if TYPE_CHECKING:
    from cscbench.runs.plan import Plan


def _split(_ctx: click.Context, _option: click.Parameter, names: str) -> tuple[str, ...]:
    return tuple(names.split(",")) if names else ()


@click.command()
@click.option("--model", required=True, metavar="SPEC", help="The model card, with variants: base+variant+variant.")
@click.option("--task", default="csconv_sample", show_default=True, metavar="NAME", help="The task.")
@click.option("--lora", default="", metavar="PATH", help="Add these LoRA weights (a peft folder) to the model.")
@click.option(
    "--data", default="", metavar="PATH", help="Use these dialogues instead of the task's: .json, .jsonl, .parquet."
)
@click.option(
    "--context",
    type=EnumChoice(Context),
    default=Context.GOLD.value,
    show_default=True,
    help="What the history shows for earlier supporter turns: the reference replies, or the model's own.",
)
@click.option(
    "--condition",
    type=EnumChoice(Condition),
    default=Condition.JOINT.value,
    show_default=True,
    help="How to ask for strategy and reply (docs/tasks.md).",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Use only the first N dialogues.")
@click.option("--language", type=EnumChoice(Language), help="Use only dialogues in this language.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of sampled decoding.")
@click.option("--out", default="reports", show_default=True, metavar="DIR", help="Parent of the run folders.")
@click.option("--encoder", default="", metavar="CARD|PATH", help="Encoder for BERTScore, or `none` to skip it.")
@click.option("--scorer", "scorers", multiple=True, metavar="NAME", help="Add a scorer; repeatable.")
@click.option("--trust-remote-code", is_flag=True, help="Allow a card that asks for it to run its model's own code.")
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0, min_open=True),
    metavar="AMOUNT",
    help="Stop before the replies cost more than this, in the currency of the card's price.",
)
@click.option(
    "--gate", "rules", type=click.Path(path_type=Path), help="Check the finished run against these gate rules."
)
@click.option("--baseline", type=click.Path(path_type=Path), help="The run to compare with: see `cscbench gate`.")
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
@click.option("--dry-run", is_flag=True, help="Show the resolved card, task and prompts; load nothing.")
@click.pass_context
def run(ctx: click.Context, /, rules: Path | None, baseline: Path | None, dry_run: bool, **options: Any) -> None:
    """Run a model on a task, score it, and write a run folder.

    To resume an interrupted run, repeat the command. Repeating a finished run prints its results and asks the model
    nothing. With --gate, the exit code is that of `cscbench gate`.
    """
    from cscbench.cli.show import results as show
    from cscbench.runs.options import RunOptions
    from cscbench.runs.plan import prepare

    if baseline is not None and rules is None:
        raise click.UsageError("--baseline needs --gate RULES.")
    gate = read_gate(rules, baseline) if rules is not None else None  # before the hours of a run
    plan = prepare(given(RunOptions, options))
    show.show_faults(plan.data.faults)
    if dry_run:
        _show_dry_run(plan)
        return
    folder, code = _run(plan)
    ctx.exit(code if gate is None else _check_gate(folder, gate))


def _show_dry_run(plan: "Plan") -> None:
    from cscbench.cli.show import results as show
    from cscbench.runs.plan import check_scoring
    from cscbench.values import UserError

    check_scoring(plan)
    try:
        weights = str(dict(plan.backend.fingerprint(plan.card)))
    except UserError as error:
        weights = f"not available here: {error}"
    show.show_dry_run(plan, weights)


def _run(plan: "Plan") -> tuple[Path | None, int]:
    """Run and print the results; return the folder (None if the budget stopped the run) and the exit code."""
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
    missing = "some replies" if not results.run.complete else "some ratings"
    click.echo(f"{missing} failed: repeat the command to ask for them again", err=True)
    return finished.folder, 3


def _check_gate(folder: Path | None, gate: "Gate") -> int:
    """Return the gate's exit code; a run without results counts as partial."""
    from cscbench.comparing.gate.verdict import ExitCode

    return apply_gate(folder, gate).code if folder is not None else ExitCode.BROKEN
