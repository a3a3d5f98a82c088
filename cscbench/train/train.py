"""One training, from a plan to LoRA weights in OUT."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from cscbench import __version__
from cscbench.asking import store
from cscbench.asking.progress import progress
from cscbench.asking.record import DataRecord, ModelRecord, environment
from cscbench.content.extras import require_extra
from cscbench.content.hashes import file_sha256
from cscbench.content.shipped import expanded
from cscbench.models.backend import published_card
from cscbench.models.chat import Chat
from cscbench.models.hf import HF
from cscbench.models.lora import WEIGHTS, lora_sha256
from cscbench.train import folder
from cscbench.train.folder import SCHEMA, EpochLoss, TrainingRecord
from cscbench.train.options import MOST_TOKENS
from cscbench.train.plan import PACKAGES, TrainPlan, identity
from cscbench.train.sequences import Material, material
from cscbench.values import Frozen, UserError

log = logging.getLogger("cscbench")


class _Materials(Frozen, frozen=True):
    train: Material
    held_out: Material


class _Trained(Frozen, frozen=True):
    """What the model gave, beside the weights in the last checkpoint."""

    materials: _Materials
    losses: tuple[EpochLoss, ...]
    facts: dict[str, str]
    notes: tuple[str, ...]
    started: str


def train(plan: TrainPlan) -> TrainingRecord:
    """Train what is missing, and leave weights and training.json in OUT; a finished training is read, not done again.

    Raises:
        UserError: what cannot be loaded, trained on or written; checkpoints on disk stay good.
    """
    out = expanded(plan.options.out)
    own = identity(plan)
    with store.locked(out):
        finished = folder.read_finished(out, own)
        if finished is not None:
            return finished
        require_extra("hf", ["torch", "transformers", "peft", "accelerate"], f"{plan.card.name}: training")
        return _publish(plan, out, own, _train(plan, out, own))


def _train(plan: TrainPlan, out: Path, own: dict[str, Any]) -> _Trained:
    from cscbench.models.hf.load import engine_facts, open_base
    from cscbench.train.tune import add_lora, tune

    options = plan.options
    model, chat = open_base(plan.card, options.trust_remote_code)
    facts = engine_facts(model, chat)
    materials = _materials(plan, chat)
    begun = folder.begin(out, own, facts)
    tuned = add_lora(model, options.recipe)
    losses = tune(tuned, materials.train.examples, materials.held_out.examples, options, out)
    return _Trained(materials, losses, facts, tuple(chat.notes), begun.started)


def _materials(plan: TrainPlan, chat: Chat) -> _Materials:
    name, most = plan.card.name, plan.options.recipe.max_length
    if reason := chat.untrainable():
        raise UserError(f"{name}: its chat template does not serve for training: {reason}")
    if most > chat.window:
        raise UserError(f"--max-length {most}: the window of {name} is {chat.window} tokens")
    most = most or min(MOST_TOKENS, chat.window)
    with progress(f"{name}: dialogues to tokens", len(plan.train) + len(plan.held_out)) as bar:
        found = _Materials(
            material(plan.train, plan.prompts, chat, most, bar.step),
            material(plan.held_out, plan.prompts, chat, most, bar.step),
        )
    for what, one in (("to train on", found.train), ("held out", found.held_out)):
        if one.counts.left_out:
            first = one.left_out[0]
            log.warning(
                "%d answers %s are left out; the first: %s: %s", len(one.left_out), what, first.dialogue, first.reason
            )
        if not one.examples:
            first = one.left_out[0]
            raise UserError(f"none of the answers {what} can be used; the first, {first.dialogue}: {first.reason}")
    return found


def _publish(plan: TrainPlan, out: Path, own: dict[str, Any], trained: _Trained) -> TrainingRecord:
    last = folder.latest(out)
    if last is None:
        raise UserError(f"{out}: the last checkpoint is gone: run the same command again")
    public = published_card(plan.card, HF)
    folder.publish_weights(out, last, public["weights"])
    now = environment(PACKAGES)
    record = TrainingRecord(
        schema=SCHEMA,
        cscbench=__version__,
        base=ModelRecord(label=plan.card.name, fingerprint=dict(HF.fingerprint(plan.card)), **public),
        identity=own,
        facts=trained.facts,
        data=DataRecord(plan.data.sources, plan.data.faults, plan.data.notes),
        held_out_dialogues=tuple(dialogue.id for dialogue in plan.held_out),
        train=trained.materials.train.counts,
        held_out=trained.materials.held_out.counts,
        left_out=(*trained.materials.train.left_out, *trained.materials.held_out.left_out),
        notes=trained.notes,
        losses=trained.losses,
        sha256=file_sha256(out / WEIGHTS),
        lora=lora_sha256(msgspec.structs.replace(plan.card, lora=str(out))),
        environment=msgspec.structs.replace(now, started=trained.started),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    folder.finish(out, record)
    return record
