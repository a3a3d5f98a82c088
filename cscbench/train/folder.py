"""OUT, the folder of a training: what it began with and its checkpoints while it lasts, weights and record at the end.

.checkpoints/begun.json      settings and what loading found out: a training goes on with these only
.checkpoints/checkpoint-N/   as transformers writes them; complete.json, written last, has the sha256 of each file
adapter_config.json, adapter_model.safetensors   by rename, when training is over
training.json                written last: its presence means that the training was finished
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
    """Mean loss (nats a token) after an epoch; epoch 0 is the model before training, which has no training loss.

    `train` is the mean over the epoch's steps, by their sequences, each taken before its update; `held_out` is over all
    answer tokens of the held-out dialogues.
    """

    epoch: int
    train: float | None
    held_out: float


class Begun(Frozen, frozen=True):
    """What a training began with; `facts` are the device, the dtype and the chat template."""

    identity: dict[str, Any]
    facts: dict[str, str]
    started: str


class TrainingRecord(Frozen, frozen=True):
    """The content of training.json. All but `environment` and `finished` is the same for equal trainings.

    `sha256` is of adapter_model.safetensors; `lora` is the hash by which a run knows these weights.
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


def read_finished(out: Path, identity: Mapping[str, Any]) -> TrainingRecord | None:
    """The record of this training where it is finished, else None.

    Raises:
        UserError: the folder holds another training, other weights, or ones that were changed since.
    """
    if not (out / TRAINING).exists():
        begun = _read_begun(out)
        if begun is not None:
            _refuse_others(out, "an unfinished training with other settings", begun.identity, identity)
        elif (out / WEIGHTS).exists():
            raise UserError(f"{out}: holds LoRA weights that this command did not make: choose another --out")
        return None
    record = read_value(out / TRAINING, TrainingRecord, "a training", f"remove {out}, or choose another --out", SCHEMA)
    _refuse_others(out, "another training than this one", record.identity, identity)
    if not (out / WEIGHTS).is_file() or file_sha256(out / WEIGHTS) != record.sha256:
        raise UserError(f"{out / WEIGHTS}: not the weights that {TRAINING} is about: remove {out} and train again")
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return record


def begin(out: Path, identity: Mapping[str, Any], facts: Mapping[str, str]) -> Begun:
    """Write down what a training begins with; one that was begun before goes on only as it began.

    Raises:
        UserError: it was begun on another device, in another dtype or with another chat template.
    """
    then = _read_begun(out)
    if then is not None:
        _refuse_others(out, "a training that was begun differently", then.facts, facts)
        return then
    now = Begun(dict(identity), dict(facts), datetime.now(UTC).isoformat(timespec="seconds"))
    (out / CHECKPOINTS).mkdir(exist_ok=True)
    write_json(out / CHECKPOINTS / _BEGUN, msgspec.to_builtins(now))
    return now


def _read_begun(out: Path) -> Begun | None:
    path = out / CHECKPOINTS / _BEGUN
    hint = f"remove {out}, or choose another --out"
    return read_value(path, Begun, "a training that was begun", hint) if path.exists() else None


def _refuse_others(out: Path, what: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if digest(then) == digest(now):
        return
    before, after = _flat(then), _flat(now)
    changed = [
        f"{name} was {before.get(name)}, is {after.get(name)}"
        for name in {**before, **after}
        if digest(before.get(name)) != digest(after.get(name))
    ]
    raise UserError(f"{out}: holds {what} ({'; '.join(changed)}): choose another --out, or remove that folder")


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted name, hashes by their first letters."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": own for inner, own in _flat(value).items()}
        else:
            found[name] = value[:12] if isinstance(value, str) else value
    return found


def seal(checkpoint: Path) -> None:
    """Mark a checkpoint as whole: nothing is written into it after this."""
    write_json(checkpoint / _COMPLETE, _hashes(checkpoint))


def latest(out: Path) -> Path | None:
    """The last whole checkpoint; later ones that a kill tore are removed.

    Raises:
        UserError: a checkpoint cannot be read.
    """
    found = (out / CHECKPOINTS).glob("checkpoint-*")
    for checkpoint in sorted(found, key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
        if _whole(checkpoint):
            return checkpoint
        log.warning("%s is not whole and is passed over: the training goes on from before it", checkpoint)
        shutil.rmtree(checkpoint)
    return None


def _whole(checkpoint: Path) -> bool:
    try:
        return bool(json.loads((checkpoint / _COMPLETE).read_bytes()) == _hashes(checkpoint))
    except (OSError, ValueError):
        return False


def _hashes(checkpoint: Path) -> dict[str, str]:
    # Hidden files are none of the checkpoint's: a kill while the seal was written may leave some.
    names = (path.name for path in checkpoint.iterdir() if not path.name.startswith("."))
    return {name: file_sha256(checkpoint / name) for name in sorted(names) if name != _COMPLETE}


def publish_weights(out: Path, checkpoint: Path, base: str) -> None:
    """Put a checkpoint's LoRA weights into OUT, as ones for the model `base`: config first, weights by rename.

    Raises:
        UserError: the disk is full.
    """
    config = json.loads((checkpoint / CONFIG).read_bytes())
    config["base_model_name_or_path"] = base
    # peft writes sets in the order of a process: sorted, equal weights have equal files.
    write_json(out / CONFIG, {name: _sorted(value) for name, value in sorted(config.items())})
    write_atomic(out / WEIGHTS, (checkpoint / WEIGHTS).read_bytes())


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def finish(out: Path, record: TrainingRecord) -> None:
    """training.json, last; then the checkpoints go.

    Raises:
        UserError: the disk is full.
    """
    write_json(out / TRAINING, msgspec.to_builtins(record))
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
