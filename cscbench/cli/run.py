"""`cscbench run`."""

from typing import TYPE_CHECKING

import click

from cscbench.cli.choices import EnumChoice
from cscbench.records import Condition, Context, Language

if TYPE_CHECKING:
    from cscbench.plan import Plan


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
@click.option("--dry-run", is_flag=True, help="Show what would be run, without loading weights.")
@click.pass_context
def run(
    ctx: click.Context,
    model: str,
    task: str,
    lora: str,
    data: str,
    context: Context,
    condition: Condition,
    limit: int | None,
    language: Language | None,
    seed: int,
    out: str,
    encoder: str,
    scorers: tuple[str, ...],
    trust_remote_code: bool,
    max_cost: float | None,
    dry_run: bool,
) -> None:
    """Run a model on a task, score it, and leave a run folder.

    Killed at any moment, the same command goes on where it stopped; a finished run is only shown.
    """
    from cscbench import show
    from cscbench.plan import RunOptions, prepare

    options = RunOptions(
        model=model,
        task=task,
        lora=lora,
        data=data,
        context=context,
        condition=condition,
        limit=limit or 0,
        language=language,
        seed=seed,
        out=out,
        encoder=encoder,
        scorers=scorers,
        trust_remote_code=trust_remote_code,
        max_cost=max_cost,
    )
    plan = prepare(options)
    show.show_faults(plan.data.faults)
    if dry_run:
        _show_dry_run(plan)
    else:
        ctx.exit(_run(plan))


def _show_dry_run(plan: "Plan") -> None:
    from cscbench import show
    from cscbench.errors import UserError
    from cscbench.plan import check_scoring

    check_scoring(plan)
    try:
        weights = str(dict(plan.kind.fingerprint(plan.card)))
    except UserError as error:
        weights = f"not to be had here: {error}"
    show.show_dry_run(plan, weights)


def _run(plan: "Plan") -> int:
    """Run and show; the exit code."""
    from cscbench import show
    from cscbench.budget import BudgetSpent
    from cscbench.run import run as run_plan

    try:
        folder, results = run_plan(plan)
    except BudgetSpent as stop:
        click.echo(f"cscbench: {stop}", err=True)
        return 4
    show.show_results(results)
    click.echo(str(folder))
    if results.run.complete:
        return 0
    click.echo("some replies failed: the same command asks for them again", err=True)
    return 3
