"""The training itself: peft adds LoRA weights to a model, and transformers' Trainer trains them.

This module imports torch: import it only inside the function that needs it.
"""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors import SafetensorError
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.pytorch_utils import Conv1D

from cscbench.asking.progress import Progress, progress
from cscbench.content.yaml_file import did_you_mean
from cscbench.train import training_folder
from cscbench.train.options import ALL_LINEAR, Recipe, TrainOptions
from cscbench.train.sequences import Example
from cscbench.train.training_folder import EpochLoss
from cscbench.values import UserError

log = logging.getLogger("cscbench")

_IGNORED = -100  # the label that transformers' losses ignore
_HELD_OUT = "held_out"
_LOWER_RATE = "start another training with a lower --lr"


def add_lora(model: Any, recipe: Recipe) -> Any:
    """Add new LoRA weights, which change nothing yet, and freeze all others.

    Raises:
        UserError: the model's weights are quantized in a way that has no gradients (a GGUF file, for example), or it
            has no linear module with a name in `recipe.targets`.
    """
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None and not quantizer.is_trainable:
        method = str(model.quantization_method.value).upper()
        raise UserError(
            f"weights quantized as {method} cannot be trained: use --base with a card of the unquantized model"
        )
    set_seed(recipe.seed)
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, target_modules=_targets(model, recipe), task_type="CAUSAL_LM"
    )
    tuned = get_peft_model(model, config)
    # Otherwise peft asks the Hub at each checkpoint whether the vocabulary changed. Ours never does.
    tuned.peft_config["default"].base_model_name_or_path = None
    return tuned


def _targets(model: Any, recipe: Recipe) -> str | list[str]:
    if recipe.targets == (ALL_LINEAR,):
        return ALL_LINEAR
    layers = (part for part in model.named_modules() if isinstance(part[1], torch.nn.Linear | Conv1D))
    head = model.get_output_embeddings()  # often shared with the embeddings, and engines support no adapter on it
    known = sorted({name.rpartition(".")[2] for name, part in layers if part is not head})
    for target in recipe.targets:
        if target not in known:
            hint = did_you_mean(target, known)
            raise UserError(
                f"--target {target}: the model has no linear module with this name{hint}\nIt has: {', '.join(known)}"
            )
    return list(recipe.targets)


def tune(
    model: Any, train: Sequence[Example], held_out: Sequence[Example], options: TrainOptions, out: Path
) -> tuple[EpochLoss, ...]:
    """Train the LoRA weights of `model`, starting at the last complete checkpoint in `out`; save the last step too.

    Raises:
        UserError: the loss is not finite, memory runs out, or a checkpoint cannot be written.
    """
    recipe = options.recipe
    steps = math.ceil(math.ceil(len(train) / recipe.batch_size) / recipe.accumulate)
    arguments = _arguments(model, options, out / training_folder.CHECKPOINTS)
    check_gpus(arguments.n_gpu, getattr(model, "hf_device_map", {}))
    trainer = Trainer(model, arguments, data_collator=collate, train_dataset=train)
    trainer.remove_callback(PrinterCallback)
    checkpoint = training_folder.latest_checkpoint(out)
    with progress(f"{options.base}: training steps", recipe.epochs * steps) as bar:
        trainer.add_callback(_CheckpointCallback(held_out, steps, options.save_every, bar))
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{options.base}: out of memory: {error}\nRepeat the command with --recompute to continue; or start "
                "another training with half the --batch-size and double --accumulate, or with a smaller --max-length"
            ) from error
        except (OSError, RuntimeError, SafetensorError) as error:
            if _is_bug(error):
                raise
            raise UserError(
                f"{out}: cannot write a checkpoint: {error}\nFix this and repeat the command: training resumes from "
                "the last complete checkpoint"
            ) from error
    return losses(trainer.state.log_history, len(train), recipe.batch_size * recipe.accumulate)


def _is_bug(error: Exception) -> bool:
    """Whether an error is not a failed write: torch.save raises RuntimeError, recognizable only by a file name."""
    return isinstance(error, RuntimeError) and "inline_container" not in str(error)


def check_gpus(gpus: int, device_map: Mapping[str, Any]) -> None:
    """Refuse a model on one of several GPUs: Trainer would copy it to all of them and use larger steps.

    Raises:
        UserError: the model is on one of several GPUs.
    """
    if gpus > 1 and len(set(device_map.values())) < 2:
        raise UserError(
            f"the model uses one of {gpus} visible GPUs: set CUDA_VISIBLE_DEVICES=0, or set `options.device: auto` in "
            "the card to spread the layers over all of them"
        )


def _arguments(model: Any, options: TrainOptions, checkpoints: Path) -> TrainingArguments:
    recipe = options.recipe
    on_cpu = model.device.type == "cpu"
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        optim="adamw_torch",
        weight_decay=0.0,
        max_grad_norm=1.0,
        seed=recipe.seed,
        gradient_checkpointing=options.recompute,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        remove_unused_columns=False,
        # Checkpoints store every step's loss, so that an epoch's mean is the same however often training was killed.
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",  # `_CheckpointCallback` decides when
        save_total_limit=2,
        disable_tqdm=True,
        report_to="none",
        log_level="error",
    )


def collate(examples: Sequence[Example]) -> dict[str, Any]:
    """Pad examples on the right to the longest: `input_ids`, `attention_mask`, `labels` (rows, tokens).

    Labels are the ids of answers; the loss ignores everything else. Padding is identified by position, so that the end
    of turn is learned even if it is the pad token.
    """
    shape = (len(examples), max(len(example.ids) for example in examples))
    ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, _IGNORED, dtype=torch.long)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        mask[row, : len(example.ids)] = 1
        for start, end in example.answers:
            labels[row, start:end] = ids[row, start:end]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def answer_loss(model: Any, examples: Sequence[Example]) -> float:
    """Return the mean loss (nats) over all answer tokens, with each example as its own batch, without dropout."""
    training = model.training
    model.eval()
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for example in examples:
            batch = {name: tensor.to(model.device) for name, tensor in collate([example]).items()}
            answer_tokens = sum(end - start for start, end in example.answers)
            total += float(model(**batch).loss) * answer_tokens
            tokens += answer_tokens
    model.train(training)
    return total / tokens


class _CheckpointCallback(TrainerCallback):  # type: ignore[misc]
    """Measures the held-out loss before training and after each epoch, and decides when to write a checkpoint."""

    def __init__(self, held_out: Sequence[Example], steps_in_epoch: int, save_every: float, bar: Progress) -> None:
        self._held_out, self._steps_in_epoch = held_out, steps_in_epoch
        self._save_every, self._bar = save_every, bar
        self._saved = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        for _step in range(state.global_step):
            self._bar.skip()
        if state.global_step == 0:
            self._measure(0, model, state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.step()
        # The last step of an epoch is saved after its held-out loss is measured, so that a kill cannot lose the loss.
        due = time.monotonic() - self._saved >= self._save_every
        control.should_save = due and state.global_step % self._steps_in_epoch != 0

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not math.isfinite(logs.get("loss", 0.0)):
            raise UserError(f"the loss at step {state.global_step} is {logs['loss']}: {_LOWER_RATE}")

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self._measure(state.global_step // self._steps_in_epoch, model, state)
        control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        training_folder.seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
        self._saved = time.monotonic()

    def _measure(self, epoch: int, model: Any, state: Any) -> None:
        loss = answer_loss(model, self._held_out)
        when = f"after epoch {epoch}" if epoch else "before training"
        if not math.isfinite(loss):
            hint = (
                _LOWER_RATE
                if epoch
                else f"its weights are damaged, or overflow in {str(model.dtype).removeprefix('torch.')}"
            )
            raise UserError(f"the model's held-out loss {when} is {loss}: {hint}")
        log.info("held-out loss %s: %.4f", when, loss)
        state.log_history.append({"epoch": float(epoch), _HELD_OUT: loss})


def losses(history: Sequence[Mapping[str, float]], sequences: int, step: int) -> tuple[EpochLoss, ...]:
    """Return the losses by epoch from Trainer's history: one row per step, and our rows with the held-out loss.

    A step counts by its sequences: `step` of the epoch's `sequences`, or what is left in the last step.
    """
    epochs: list[EpochLoss] = []
    total, left = 0.0, sequences
    for row in history:
        if "loss" in row:
            total += row["loss"] * min(step, left)
            left -= min(step, left)
        elif _HELD_OUT in row:
            epoch = int(row["epoch"])
            epochs.append(EpochLoss(epoch, total / sequences if epoch else None, row[_HELD_OUT]))
            total, left = 0.0, sequences
    return tuple(epochs)
