"""A training, resolved before anything is loaded or written, and its identity."""

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
from cscbench.models.hf import HF
from cscbench.models.hf import options as hf_options
from cscbench.train.options import Recipe, TrainOptions
from cscbench.values import Dialogue, Frozen, Language, ModelCard, UserError

PACKAGES = (*HF.packages, "accelerate")


class TrainPlan(Frozen, frozen=True):
    """A training with its model card, dialogues and prompts resolved."""

    options: TrainOptions
    card: ModelCard
    data: TaskData
    train: tuple[Dialogue, ...]
    held_out: tuple[Dialogue, ...]
    prompts: Mapping[Language, NamedPrompt]


def prepare(options: TrainOptions) -> TrainPlan:
    """Resolve card, data and prompts, and hold out a share of the dialogues.

    Raises:
        UserError: the card, the data or a prompt is unknown or invalid, or there are too few dialogues.
    """
    card = _base_card(options.base)
    task = find_task(options.task)
    data = _training_data(task, options.data)
    candidates = [dialogue for dialogue in data.train if options.language in (None, dialogue.language)]
    dialogues = candidates[: options.limit] if options.limit else candidates
    if len(dialogues) < 2:
        raise UserError(
            f"{options.data or task.name}: {len(dialogues)} dialogues to train on, but at least 2 are needed, because "
            "one is held out: use other --data, or relax --language and --limit"
        )
    held_out_ids = _held_out_ids(dialogues, options.recipe)
    train = tuple(dialogue for dialogue in dialogues if dialogue.id not in held_out_ids)
    held_out = tuple(dialogue for dialogue in dialogues if dialogue.id in held_out_ids)
    languages = [language for language in Language if any(dialogue.language is language for dialogue in dialogues)]
    prompts = {language: task.prompt(card.prompts, language, options.condition) for language in languages}
    return TrainPlan(options, card, data, train, held_out, prompts)


def _base_card(spec: str) -> ModelCard:
    base, *variants = spec.split("+")
    without = "+".join([base, *(variant for variant in variants if variant != "lora")])
    if "lora" in variants:
        raise UserError(f"--base {spec}: training starts from the model without LoRA weights: use --base {without}")
    card = resolve_card(spec)
    if find_backend(card.adapter) is not HF:
        raise UserError(
            f"--base {spec}: training needs a card with the hf adapter, but this one has {card.adapter}: choose another"
        )
    if card.lora:
        raise UserError(f"--base {spec}: its card already adds LoRA weights: use a card or variant without `lora`")
    if hf_options(card).dtype == "float16":
        raise UserError(
            f"--base {spec}: `options.dtype` float16 overflows in training: set bfloat16 or float32 in the card"
        )
    return card


def _training_data(task: Task, path: str) -> TaskData:
    """Return the dialogues to train on as `train` of a task's data: a file's, or the task's own."""
    if path:
        loaded = task_data(load_csconv(expanded(path), task.strategies))
        return msgspec.structs.replace(loaded, test=(), train=loaded.test)
    data = task.load(None)
    if not data.train:
        raise UserError(f"{task.name}: the task has no training dialogues: add --data PATH")
    return data


def _held_out_ids(dialogues: Sequence[Dialogue], recipe: Recipe) -> set[str]:
    """Return the ids of a share of the dialogues, at least one and not all; with more data, most stay held out."""
    count = min(max(1, round(recipe.holdout * len(dialogues))), len(dialogues) - 1)

    def random_key(dialogue: Dialogue) -> str:
        return hashlib.sha256(f"{recipe.seed}/{dialogue.id}".encode()).hexdigest()

    return {dialogue.id for dialogue in sorted(dialogues, key=random_key)[:count]}


def identity(plan: TrainPlan) -> dict[str, Any]:
    """Return everything that affects the weights; paths and times do not.

    Raises:
        UserError: the base weights are missing.
    """
    settings = hf_options(plan.card)
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
