"""`cscbench train`."""

from typing import Any

import click

from cscbench.cli.choices import EnumChoice, given
from cscbench.train.options import ALL_LINEAR, MAX_LENGTH, Recipe, TrainOptions
from cscbench.values import Condition, Language

_POSITIVE, _SEED = click.IntRange(min=1), click.IntRange(0, 2**32 - 1)
_RECIPE = Recipe()


@click.command()
@click.option("--base", required=True, metavar="SPEC", help="The model card to train from; its adapter must be hf.")
@click.option("--out", required=True, metavar="DIR", help="The folder for the LoRA weights.")
@click.option(
    "--data",
    default="",
    metavar="PATH",
    help="Train on these dialogues instead of the task's: .json, .jsonl, .parquet.",
)
@click.option("--task", default="csconv_sample", show_default=True, metavar="NAME", help="Use this task's prompts.")
@click.option(
    "--condition",
    type=EnumChoice([Condition.JOINT, Condition.TWO_STEP, Condition.GOLD_STRATEGY]),
    default=Condition.JOINT.value,
    show_default=True,
    help="How `run` will ask (two-step serves ranked, too).",
)
@click.option("--language", type=EnumChoice(Language), help="Use only dialogues in this language.")
@click.option("--limit", type=_POSITIVE, metavar="N", help="Use only the first N dialogues.")
@click.option(
    "--lora-r", "rank", type=_POSITIVE, default=_RECIPE.rank, show_default=True, help="Rank of the LoRA matrices."
)
@click.option(
    "--lora-alpha",
    "alpha",
    type=_POSITIVE,
    default=_RECIPE.alpha,
    show_default=True,
    help="Scale of the LoRA matrices: alpha / rank.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    default=_RECIPE.targets,
    show_default=True,
    metavar="MODULE",
    help=f"A linear module to train, or `{ALL_LINEAR}`; repeatable.",
)
@click.option(
    "--lr",
    "learning_rate",
    type=click.FloatRange(min=0, min_open=True),
    default=_RECIPE.learning_rate,
    show_default=True,
    help="The learning rate at the first step; it decays linearly to 0.",
)
@click.option("--epochs", type=_POSITIVE, default=_RECIPE.epochs, show_default=True, help="Passes over the data.")
@click.option(
    "--batch-size", type=_POSITIVE, default=_RECIPE.batch_size, show_default=True, help="Dialogues in a batch."
)
@click.option(
    "--accumulate", type=_POSITIVE, default=_RECIPE.accumulate, show_default=True, help="Batches in an optimizer step."
)
@click.option(
    "--max-length",
    type=_POSITIVE,
    metavar="TOKENS",
    help=f"Split longer dialogues here.  [default: {MAX_LENGTH}, or the model's window if that is smaller]",
)
@click.option(
    "--holdout",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=_RECIPE.holdout,
    show_default=True,
    metavar="SHARE",
    help="Share of dialogues held out to measure the loss on, at least one.",
)
@click.option(
    "--seed",
    type=_SEED,
    default=_RECIPE.seed,
    show_default=True,
    help="Seed of initial weights, data order and holdout.",
)
@click.option(
    "--save-every",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between checkpoints; each epoch also ends with one.",
)
@click.option("--recompute", is_flag=True, help="Use less memory and a third more time (gradient checkpointing).")
@click.option("--trust-remote-code", is_flag=True, help="Allow a card that asks for it to run its model's own code.")
def train(**options: Any) -> None:
    """Fine-tune a model with LoRA on supporter turns, in the prompts that `cscbench run` uses.

    To resume an interrupted training from its last checkpoint, repeat the command. Repeating a finished training prints
    its losses.
    """
    from cscbench.cli.show import results as show
    from cscbench.cli.show.training import show_training
    from cscbench.train.plan import prepare
    from cscbench.train.train import train as train_plan
    from cscbench.train.training_folder import TRAINING

    chosen = given(TrainOptions, {**options, "recipe": given(Recipe, options)})
    plan = prepare(chosen)
    show.show_faults(plan.data.faults, TRAINING)
    show_training(train_plan(plan), chosen.base, chosen.out)
