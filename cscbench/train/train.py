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
from cscbench.train import training_folder
from cscbench.train.options import MAX_LENGTH
from cscbench.train.plan import PACKAGES, TrainPlan, identity
from cscbench.train.sequences import TrainingSequences, build_sequences
from cscbench.train.training_folder import SCHEMA, EpochLoss, TrainingRecord
from cscbench.values import Frozen, UserError

log = logging.getLogger("cscbench")


class _Split(Frozen, frozen=True):
    train: TrainingSequences
    held_out: TrainingSequences


class _Trained(Frozen, frozen=True):
    """The results of training, apart from the weights in the last checkpoint."""

    sequences: _Split
    losses: tuple[EpochLoss, ...]
    facts: dict[str, str]
    notes: tuple[str, ...]
    started: str


def train(plan: TrainPlan) -> TrainingRecord:
    """Train, or resume training, and write weights and training.json to OUT; only read a finished training.

    Raises:
        UserError: something cannot be loaded, trained on or written; checkpoints on disk stay usable.
    """
    out = expanded(plan.options.out)
    plan_identity = identity(plan)
    with store.locked(out):
        finished = training_folder.read_training(out, plan_identity)
        if finished is not None:
            return finished
        require_extra("hf", ["torch", "transformers", "peft", "accelerate"], f"{plan.card.name}: training")
        return _publish(plan, out, plan_identity, _train(plan, out, plan_identity))


def _train(plan: TrainPlan, out: Path, plan_identity: dict[str, Any]) -> _Trained:
    from cscbench.models.hf.load import engine_facts, open_base
    from cscbench.train.tune import add_lora, tune

    options = plan.options
    model, chat = open_base(plan.card, options.trust_remote_code)
    facts = engine_facts(model, chat)
    sequences = _build_split(plan, chat)
    start = training_folder.record_start(out, plan_identity, facts)
    tuned = add_lora(model, options.recipe)
    losses = tune(tuned, sequences.train.examples, sequences.held_out.examples, options, out)
    return _Trained(sequences, losses, facts, tuple(chat.notes), start.started)


def _build_split(plan: TrainPlan, chat: Chat) -> _Split:
    name, max_tokens = plan.card.name, plan.options.recipe.max_length
    if reason := chat.untrainable():
        raise UserError(f"{name}: its chat template cannot be used for training: {reason}")
    if max_tokens > chat.window:
        raise UserError(f"--max-length {max_tokens}: the window of {name} is {chat.window} tokens: use no more")
    max_tokens = max_tokens or min(MAX_LENGTH, chat.window)
    with progress(f"{name}: tokenizing dialogues", len(plan.train) + len(plan.held_out)) as bar:
        split = _Split(
            build_sequences(plan.train, plan.prompts, chat, max_tokens, bar.step),
            build_sequences(plan.held_out, plan.prompts, chat, max_tokens, bar.step),
        )
    for kind, part in (("training", split.train), ("held-out", split.held_out)):
        if part.left_out:
            first = part.left_out[0]
            log.warning(
                "%d %s answers are left out; the first: %s: %s", len(part.left_out), kind, first.dialogue, first.reason
            )
        if not part.examples:
            first = part.left_out[0]
            raise UserError(f"none of the {kind} answers can be used; the first, {first.dialogue}: {first.reason}")
    return split


def _publish(plan: TrainPlan, out: Path, plan_identity: dict[str, Any], trained: _Trained) -> TrainingRecord:
    last = training_folder.latest_checkpoint(out)
    if last is None:
        raise UserError(f"{out}: the last checkpoint is missing: repeat the command")
    public = published_card(plan.card, HF)
    training_folder.publish_weights(out, last, public["weights"])
    now = environment(PACKAGES)
    record = TrainingRecord(
        schema=SCHEMA,
        cscbench=__version__,
        base=ModelRecord(label=plan.card.name, fingerprint=dict(HF.fingerprint(plan.card)), **public),
        identity=plan_identity,
        facts=trained.facts,
        data=DataRecord(plan.data.sources, plan.data.faults, plan.data.notes),
        held_out_dialogues=tuple(dialogue.id for dialogue in plan.held_out),
        train=trained.sequences.train.counts,
        held_out=trained.sequences.held_out.counts,
        left_out=(*trained.sequences.train.left_out, *trained.sequences.held_out.left_out),
        notes=trained.notes,
        losses=trained.losses,
        sha256=file_sha256(out / WEIGHTS),
        lora=lora_sha256(msgspec.structs.replace(plan.card, lora=str(out))),
        environment=msgspec.structs.replace(now, started=trained.started),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    training_folder.finish(out, record)
    return record
