"""OUT, the folder of a training: its settings and checkpoints during training, weights and record at the end.

.checkpoints/begun.json      settings and the loaded model's facts: a training only resumes if they are the same
.checkpoints/checkpoint-N/   as transformers writes them; complete.json, written last, has the sha256 of each file
adapter_config.json, adapter_model.safetensors   put in place by rename when training ends
training.json                written last: its presence means that the training is finished
"""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from cscbench.asking.files import write_atomic, write_json
from cscbench.asking.record import DataRecord, Environment, ModelRecord
from cscbench.asking.store import read_value
from cscbench.content.hashes import digest, file_sha256
from cscbench.models.lora import CONFIG, WEIGHTS
from cscbench.train.sequences import LeftOut, SequenceCounts
from cscbench.values import Frozen, UserError

log = logging.getLogger("cscbench")

SCHEMA = "cscbench/training/1"
TRAINING, CHECKPOINTS = "training.json", ".checkpoints"
_BEGUN, _COMPLETE = "begun.json", "complete.json"


class EpochLoss(Frozen, frozen=True):
    """Mean loss (nats per token) after an epoch; epoch 0 is the model before training, which has no training loss.

    `train` is the mean over the epoch's steps, weighted by their sequences, each before its update; `held_out` is the
    mean over all answer tokens of the held-out dialogues.
    """

    epoch: int
    train: float | None
    held_out: float


class TrainingStart(Frozen, frozen=True):
    """What a training started with; `facts` are the device, the dtype and the chat template."""

    identity: dict[str, Any]
    facts: dict[str, str]
    started: str


class TrainingRecord(Frozen, frozen=True):
    """The content of training.json. Equal trainings differ only in `environment` and `finished`.

    `sha256` is of adapter_model.safetensors; `lora` is the hash that identifies these weights in a run.
    """

    schema: str
    cscbench: str
    base: ModelRecord
    identity: dict[str, Any]
    facts: dict[str, str]
    data: DataRecord
    held_out_dialogues: tuple[str, ...]
    train: SequenceCounts
    held_out: SequenceCounts
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    losses: tuple[EpochLoss, ...]
    sha256: str
    lora: str
    environment: Environment
    finished: str


def read_training(out: Path, identity: Mapping[str, Any]) -> TrainingRecord | None:
    """Return the record of this training if it is finished, else None.

    Raises:
        UserError: the folder holds another training, other weights, or weights that were changed since.
    """
    if not (out / TRAINING).exists():
        start = _read_start(out)
        if start is not None:
            _check_same(out, "an unfinished training with other settings", start.identity, identity)
        elif (out / WEIGHTS).exists():
            raise UserError(f"{out}: contains LoRA weights that this command did not write: choose another --out")
        return None
    record = read_value(out / TRAINING, TrainingRecord, "a training", f"remove {out}, or choose another --out", SCHEMA)
    _check_same(out, "a different training", record.identity, identity)
    if not (out / WEIGHTS).is_file() or file_sha256(out / WEIGHTS) != record.sha256:
        raise UserError(f"{out / WEIGHTS}: not the weights that {TRAINING} describes: remove {out} and train again")
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return record


def record_start(out: Path, identity: Mapping[str, Any], facts: Mapping[str, str]) -> TrainingStart:
    """Record what a training starts with, or check that a training to resume started with the same.

    Raises:
        UserError: it started on another device, in another dtype or with another chat template.
    """
    then = _read_start(out)
    if then is not None:
        _check_same(out, "a training that was started differently", then.facts, facts)
        return then
    now = TrainingStart(dict(identity), dict(facts), datetime.now(UTC).isoformat(timespec="seconds"))
    (out / CHECKPOINTS).mkdir(exist_ok=True)
    write_json(out / CHECKPOINTS / _BEGUN, msgspec.to_builtins(now))
    return now


def _read_start(out: Path) -> TrainingStart | None:
    path = out / CHECKPOINTS / _BEGUN
    hint = f"remove {out}, or choose another --out"
    return read_value(path, TrainingStart, "a training", hint) if path.exists() else None


def _check_same(out: Path, content: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if digest(then) == digest(now):
        return
    before, after = _flatten(then), _flatten(now)
    changed = [
        f"{name} was {before.get(name)}, is {after.get(name)}"
        for name in {**before, **after}
        if digest(before.get(name)) != digest(after.get(name))
    ]
    raise UserError(f"{out}: contains {content} ({'; '.join(changed)}): choose another --out, or remove that folder")


def _flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings by dotted name, with hashes shortened."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner_name}": inner for inner_name, inner in _flatten(value).items()}
        else:
            flat[name] = value[:12] if isinstance(value, str) else value
    return flat


def seal(checkpoint: Path) -> None:
    """Mark a checkpoint as complete: nothing is written into it afterwards."""
    write_json(checkpoint / _COMPLETE, _hashes(checkpoint))


def latest_checkpoint(out: Path) -> Path | None:
    """Return the last complete checkpoint; remove later ones that a kill left incomplete.

    Raises:
        UserError: a checkpoint cannot be read.
    """
    checkpoints = (out / CHECKPOINTS).glob("checkpoint-*")
    for checkpoint in sorted(checkpoints, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
        if _is_complete(checkpoint):
            return checkpoint
        log.warning("%s is incomplete and is removed: training resumes from the checkpoint before it", checkpoint)
        shutil.rmtree(checkpoint)
    return None


def _is_complete(checkpoint: Path) -> bool:
    try:
        return bool(json.loads((checkpoint / _COMPLETE).read_bytes()) == _hashes(checkpoint))
    except (OSError, ValueError):
        return False


def _hashes(checkpoint: Path) -> dict[str, str]:
    # Hidden files are not part of the checkpoint: a kill while complete.json was being written may leave some.
    names = (path.name for path in checkpoint.iterdir() if not path.name.startswith("."))
    return {name: file_sha256(checkpoint / name) for name in sorted(names) if name != _COMPLETE}


def publish_weights(out: Path, checkpoint: Path, base: str) -> None:
    """Copy a checkpoint's LoRA weights for the model `base` into OUT: config first, then the weights by rename.

    Raises:
        UserError: the disk is full.
    """
    config = json.loads((checkpoint / CONFIG).read_bytes())
    config["base_model_name_or_path"] = base
    # peft writes sets in arbitrary order: sorting them makes the files of equal weights equal.
    write_json(out / CONFIG, {name: _sorted(value) for name, value in sorted(config.items())})
    write_atomic(out / WEIGHTS, (checkpoint / WEIGHTS).read_bytes())


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def finish(out: Path, record: TrainingRecord) -> None:
    """Write training.json, then remove the checkpoints.

    Raises:
        UserError: the disk is full.
    """
    write_json(out / TRAINING, msgspec.to_builtins(record))
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
