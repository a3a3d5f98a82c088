"""A training with everything resolved before anything is loaded or written, and what identifies it."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cscbench import __version__
from cscbench.content.cards import resolve_card
from cscbench.content.csconv import load_csconv
from cscbench.content.extras import versions
from cscbench.content.hashes import digest, plain_dialogues
from cscbench.content.prompts import NamedPrompt
from cscbench.content.shipped import expanded
from cscbench.content.tasks import Task, TaskData, find_task, task_data
from cscbench.models.backend import find_backend
from cscbench.models.hf import HF, options
from cscbench.train.options import Recipe, TrainOptions
from cscbench.values import Dialogue, Frozen, Language, ModelCard, UserError

PACKAGES = (*HF.packages, "accelerate")


class TrainPlan(Frozen, frozen=True):
    """A training with everything resolved, before anything is loaded or written."""

    options: TrainOptions
    card: ModelCard
    data: TaskData
    train: tuple[Dialogue, ...]
    held_out: tuple[Dialogue, ...]
    prompts: Mapping[Language, NamedPrompt]


def prepare(given: TrainOptions) -> TrainPlan:
    """Resolve card, data and prompts, and keep whole dialogues back.

    Raises:
        UserError: any of them is unknown or broken, or there are too few dialogues.
    """
    card = _base_card(given.base)
    task = find_task(given.task)
    data = _data(task, given.data)
    chosen = [dialogue for dialogue in data.train if given.language in (None, dialogue.language)]
    dialogues = chosen[: given.limit] if given.limit else chosen
    if len(dialogues) < 2:
        raise UserError(
            f"{given.data or task.name}: {len(dialogues)} dialogues to train on: at least 2 are needed, because one is "
            "held out (give others with --data, or less narrow --language and --limit)"
        )
    kept = _kept_back(dialogues, given.recipe)
    train = tuple(dialogue for dialogue in dialogues if dialogue.id not in kept)
    held_out = tuple(dialogue for dialogue in dialogues if dialogue.id in kept)
    languages = [language for language in Language if any(one.language is language for one in dialogues)]
    prompts = {language: task.prompt(card.prompts, language, given.condition) for language in languages}
    return TrainPlan(given, card, data, train, held_out, prompts)


def _base_card(spec: str) -> ModelCard:
    base, *variants = spec.split("+")
    without = "+".join([base, *(variant for variant in variants if variant != "lora")])
    if "lora" in variants:
        raise UserError(f"--base {spec}: LoRA training begins from the model without LoRA weights: --base {without}")
    card = resolve_card(spec)
    if find_backend(card.adapter) is not HF:
        raise UserError(f"--base {spec}: training needs a card with the hf adapter, this one has {card.adapter}")
    if card.lora:
        raise UserError(f"--base {spec}: its card puts LoRA weights on already: name a card or variant without `lora`")
    if options(card).dtype == "float16":
        raise UserError(
            f"--base {spec}: `options.dtype` float16 overflows in training: set bfloat16 or float32 in the card"
        )
    return card


def _data(task: Task, path: str) -> TaskData:
    """The dialogues to train on, as `train` of a task's data: those of a file, or the task's own."""
    if path:
        loaded = task_data(load_csconv(expanded(path), task.strategies))
        return msgspec.structs.replace(loaded, test=(), train=loaded.test)
    data = task.load(None)
    if not data.train:
        raise UserError(f"{task.name}: the task has no training dialogues of its own: give --data PATH")
    return data


def _kept_back(dialogues: Sequence[Dialogue], recipe: Recipe) -> set[str]:
    """The ids of a share of the dialogues, at least one and not all; more data keeps most of the same ones back."""
    count = min(max(1, round(recipe.holdout * len(dialogues))), len(dialogues) - 1)

    def lot(dialogue: Dialogue) -> str:
        return hashlib.sha256(f"{recipe.seed}/{dialogue.id}".encode()).hexdigest()

    return {dialogue.id for dialogue in sorted(dialogues, key=lot)[:count]}


def identity(plan: TrainPlan) -> dict[str, Any]:
    """Everything that changes a weight. Paths and times are not among it.

    Raises:
        UserError: the base weights are not there.
    """
    settings = options(plan.card)
    return {
        "cscbench": __version__,
        "base": {
            **HF.fingerprint(plan.card),
            "dtype": settings.dtype,
            "context_length": settings.context_length,
            "prompts": plan.card.prompts,
        },
        "packages": versions(PACKAGES),
        "prompts": {prompt.name: prompt.sha256 for prompt in plan.prompts.values()},
        "condition": plan.options.condition.value,
        "train": digest(plain_dialogues(plan.train)),
        "held_out": digest(plain_dialogues(plan.held_out)),
        "recipe": msgspec.to_builtins(plan.options.recipe),
    }
