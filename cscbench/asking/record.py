"""run.json as values: the full record of a run, for scoring and for readers of its results."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cscbench.content.csconv import Fault, SourceFile
from cscbench.content.extras import versions
from cscbench.values import Condition, Context, Frozen, Language, ModelCard, StrategySet

RUN_SCHEMA = "cscbench/run/2"


class ModelRecord(ModelCard, frozen=True, kw_only=True):
    """The resolved card, without local paths; `label` names the run, including the hash of its LoRA weights."""

    label: str
    fingerprint: dict[str, str]


class TaskRecord(Frozen, frozen=True):
    """The task: its name, its labels, and its default scoring."""

    name: str
    title: str
    languages: tuple[Language, ...]
    strategies: StrategySet
    scorers: tuple[str, ...]
    encoder: str


class DataRecord(Frozen, frozen=True):
    """The data files by content, the records that could not be read, and notes for readers.

    `clusters` counts the clusters of the dialogues played; 0 if the data has none: each dialogue is its own cluster.
    """

    files: tuple[SourceFile, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    clusters: int = 0


class ProtocolRecord(Frozen, frozen=True):
    """How the dialogues were played; prompts by language, with the sha256 of their files.

    `overrides` are the fields set for this run alone, as PATH=VALUE; paths of this machine show as PATH.
    """

    context: Context
    condition: Condition
    prompts: dict[Language, str]
    prompt_sha256: dict[Language, str]
    limit: int
    language: Language | None
    seed: int
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.prompts.keys() != self.prompt_sha256.keys():
            raise ValueError("`prompts` and `prompt_sha256` have different languages")


class Environment(Frozen, frozen=True):
    """Where and when the run started; not part of its identity."""

    started: str
    python: str
    platform: str
    machine: str
    cores: int | None
    packages: dict[str, str]
    commit: str


class EngineRecord(Frozen, frozen=True):
    """The facts that the adapter reported when it loaded (device, dtype, chat template), and its notes."""

    facts: dict[str, str] = {}
    notes: tuple[str, ...] = ()


class RunRecord(Frozen, frozen=True):
    """The content of run.json. `hash` covers `identity`; `dialogues` are the ids of those played.

    `engine` is added when the adapter first loads, and is not part of `identity`: a finished run is recognized without
    loading its model.
    """

    schema: str
    name: str
    hash: str
    identity: dict[str, Any]
    model: ModelRecord
    task: TaskRecord
    data: DataRecord
    dialogues: tuple[str, ...]
    protocol: ProtocolRecord
    environment: Environment
    engine: EngineRecord | None = None


def environment(packages: tuple[str, ...]) -> Environment:
    """Describe where and when this process runs, and the versions of relevant packages."""
    return Environment(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        python=platform.python_version(),
        platform=platform.platform(),
        machine=platform.machine(),
        cores=os.cpu_count(),
        packages=versions(("cscbench", "numpy", "sacrebleu", *packages)),
        commit=_commit(),
    )


def _commit() -> str:
    """Return the commit of the running cscbench checkout; empty if it is not a checkout."""
    package = Path(__file__).resolve().parents[1]
    if not (package.parent / ".git").exists():
        return ""
    try:
        git = subprocess.run(["git", "-C", package, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return git.stdout.strip()
