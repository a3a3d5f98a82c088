"""List what two runs have in common and how they differ, apart from their replies."""

import json
from enum import StrEnum
from typing import Any

from cscbench.runs.finished import FinishedRun
from cscbench.values import Frozen

# Facts an adapter reports about the model; its other facts describe the engine.
_MODEL_FACTS = ("dtype", "chat_template")


class Part(StrEnum):
    """What a fact describes: the task and prompts, the model, the engine that ran it, or the scoring."""

    QUESTION = "question"
    MODEL = "model"
    ENGINE = "engine"
    SCORING = "scoring"


class Fact(Frozen, frozen=True):
    """A setting that can make replies or scores differ, with each run's value; null if unknown.

    `same` is null if neither value is known.
    """

    part: Part
    name: str
    a: str | None
    b: str | None
    same: bool | None


def facts(a: FinishedRun, b: FinishedRun) -> tuple[Fact, ...]:
    """Return the facts that run.json and results.json record about two runs, by part."""
    rows = []
    for part, read in (
        (Part.QUESTION, _question),
        (Part.MODEL, _model),
        (Part.ENGINE, _engine),
        (Part.SCORING, _scoring),
    ):
        left, right = read(a), read(b)
        for name in dict.fromkeys([*left, *right]):
            in_a, in_b = left.get(name), right.get(name)
            known = in_a is not None or in_b is not None
            rows.append(Fact(part, name, in_a, in_b, in_a == in_b if known else None))
    return tuple(rows)


def _question(run: FinishedRun) -> dict[str, str | None]:
    record, identity = run.record, run.record.identity
    return {
        "task": record.task.name,
        "task files": _text(identity.get("task", {}).get("files")),
        "data": " + ".join(file.sha256 for file in record.data.files),
        "dialogues": identity.get("dialogues"),
        "context": record.protocol.context,
        "condition": record.protocol.condition,
        **{f"prompt {language}": sha256 for language, sha256 in record.protocol.prompt_sha256.items()},
        **{f"sampling {name}": _text(value) for name, value in identity.get("sampling", {}).items()},
        "cscbench": identity.get("cscbench"),
    }


def _model(run: FinishedRun) -> dict[str, str | None]:
    model, known = run.record.model, run.record.engine.facts if run.record.engine else {}
    return {
        "weights": model.fingerprint.get("weights"),
        "LoRA weights": model.fingerprint.get("lora", "none" if not model.lora else None),
        **{name.replace("_", " "): known.get(name) for name in _MODEL_FACTS},
    }


def _engine(run: FinishedRun) -> dict[str, str | None]:
    record = run.record
    known = record.engine.facts if record.engine else {}
    return {
        "adapter": record.model.adapter,
        **{name.replace("_", " "): value for name, value in known.items() if name not in _MODEL_FACTS},
        **{f"option {name}": _text(value) for name, value in record.model.options.items()},
        **record.identity.get("packages", {}),
        "python": record.environment.python,
        "platform": record.environment.platform,
    }


def _scoring(run: FinishedRun) -> dict[str, str | None]:
    if run.results is None:
        return {}
    scoring = run.results.scoring
    return {"scorers": " ".join(scoring.scorers), "encoder": scoring.encoder or "none"}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
