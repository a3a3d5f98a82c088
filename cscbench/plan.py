"""A run with everything resolved before anything is loaded or written, what identifies it, and how it is scored."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from cscbench import __version__
from cscbench.adapters import AdapterKind, find_adapter
from cscbench.cards import resolve_card
from cscbench.errors import UserError
from cscbench.extras import versions
from cscbench.fingerprint import digest, short
from cscbench.judge import JudgeOptions, JudgingRecord
from cscbench.prompts import NamedPrompt
from cscbench.records import Condition, Context, Dialogue, Frozen, Language, ModelCard, Sampling
from cscbench.results import ScoringRecord
from cscbench.runfile import (
    RUN_SCHEMA,
    DataRecord,
    Environment,
    ModelRecord,
    ProtocolRecord,
    RunRecord,
    TaskRecord,
)
from cscbench.scorers import find_scorer
from cscbench.scoring import ScoringPlan
from cscbench.stats import Resampling
from cscbench.tasks import Task, TaskData, find_task
from cscbench.weights.source import identify

NO_ENCODER = "none"
# The scorer of what judges gave.
STARS = "stars"


class RunOptions(Frozen, frozen=True):
    """What the command line gives. `limit` 0 takes all dialogues; empty `encoder` and `scorers` take the task's.

    `max_cost`, in the currency of the card's price, changes no reply: None sets no limit.
    """

    model: str
    task: str = "csconv_sample"
    lora: str = ""
    data: str = ""
    context: Context = Context.GOLD
    condition: Condition = Condition.JOINT
    limit: int = 0
    language: Language | None = None
    seed: int = 0
    out: str = "reports"
    encoder: str = ""
    scorers: tuple[str, ...] = ()
    trust_remote_code: bool = False
    max_cost: float | None = None
    judging: JudgeOptions = JudgeOptions()


class Plan(Frozen, frozen=True):
    """A run with everything resolved, before anything is loaded or written."""

    options: RunOptions
    card: ModelCard
    kind: AdapterKind
    task: Task
    data: TaskData
    dialogues: tuple[Dialogue, ...]
    prompts: Mapping[Language, NamedPrompt]
    sampling: Sampling
    concurrency: int


def prepare(options: RunOptions) -> Plan:
    """Resolve card, task, data and prompts.

    Raises:
        UserError: any of them is unknown or broken, or no dialogue is left.
    """
    card = resolve_card(options.model, full_path(options.lora))
    kind = find_adapter(card.adapter)
    if options.condition is Condition.RANKED and not kind.ranks:
        raise UserError(
            f"{card.name}: the {card.adapter} adapter cannot rank: --condition ranked reads a model's likelihoods; "
            "use --condition two-step, or an hf or vllm card"
        )
    if options.max_cost is not None and card.price is None:
        raise UserError(
            f"{card.name}: --max-cost needs the price of its tokens: add it to the card, for a million each, as "
            "`price: {input: 0.15, output: 0.60, currency: USD}`"
        )
    task = find_task(options.task)
    data = task.load(Path(options.data).expanduser() if options.data else None)
    chosen = tuple(d for d in data.test if options.language in (None, d.language))
    if not chosen:
        raise UserError(f"{task.name}: none of its {len(data.test)} dialogues is in language {options.language}")
    dialogues = chosen[: options.limit] if options.limit else chosen
    languages = [language for language in Language if any(d.language is language for d in dialogues)]
    prompts = {language: task.prompt(card.prompts, language, options.condition) for language in languages}
    sampling = msgspec.structs.replace(card.sampling, seed=options.seed)
    return Plan(options, card, kind, task, data, dialogues, prompts, sampling, kind.concurrency(card))


def full_path(path: str) -> str:
    """A path from the command line, whole; empty stays empty."""
    return str(Path(path).expanduser().resolve()) if path else ""


def identity(plan: Plan) -> dict[str, Any]:
    """Everything that changes a reply: what the run folder's hash covers. Paths and times are not among it.

    Raises:
        UserError: the weights are not there.
    """
    card = msgspec.to_builtins(plan.card)
    # Where weights lie says nothing about what they are, the fingerprint does; and a price changes no reply.
    for field in ("weights", "lora", "revision", "price"):
        del card[field]
    card["options"] = {name: card["options"][name] for name in card["options"] if name not in plan.kind.local_options}
    return {
        "cscbench": __version__,
        "card": card,
        "fingerprint": dict(plan.kind.fingerprint(plan.card)),
        "packages": versions(plan.kind.packages),
        "task": {"name": plan.task.name, "files": dict(plan.task.files)},
        "data": [source.sha256 for source in plan.data.sources],
        # The dialogues as they were read, too: a task written in Python may read more than its files say.
        "dialogues": digest(msgspec.to_builtins([plan.dialogues, plan.data.train])),
        "prompts": {prompt.name: prompt.sha256 for prompt in plan.prompts.values()},
        "context": plan.options.context,
        "condition": plan.options.condition,
        "sampling": msgspec.to_builtins(plan.sampling),
    }


def run_record(plan: Plan) -> RunRecord:
    """What run.json says of a run."""
    own = identity(plan)
    digest8 = short(own)
    fingerprint = own["fingerprint"]
    label = f"{plan.card.name}@{fingerprint['lora'][:8]}" if "lora" in fingerprint else plan.card.name
    return RunRecord(
        schema=RUN_SCHEMA,
        name=f"{plan.task.name}--{plan.options.context}--{label}--{digest8}",
        hash=digest8,
        identity=own,
        model=ModelRecord(label=label, fingerprint=fingerprint, **public_fields(plan.card, plan.kind)),
        task=TaskRecord(
            name=plan.task.name,
            title=plan.task.title,
            languages=tuple(plan.prompts),
            strategies=plan.task.strategies,
            scorers=plan.task.scorers,
            encoder=plan.task.encoder,
        ),
        data=DataRecord(files=plan.data.sources, faults=plan.data.faults, notes=plan.data.notes),
        dialogues=tuple(dialogue.id for dialogue in plan.dialogues),
        protocol=ProtocolRecord(
            context=plan.options.context,
            condition=plan.options.condition,
            prompts={language: prompt.name for language, prompt in plan.prompts.items()},
            prompt_sha256={language: prompt.sha256 for language, prompt in plan.prompts.items()},
            limit=plan.options.limit,
            language=plan.options.language,
            seed=plan.options.seed,
        ),
        environment=environment(plan.kind.packages),
    )


def check_scoring(plan: Plan) -> None:
    """Make sure that the scorers and the encoder asked for exist, before anything is hashed, loaded or played.

    Raises:
        UserError: one is unknown (with the nearest names).
    """
    for name in (*plan.task.scorers, *plan.options.scorers):
        find_scorer(name)
    encoder = plan.options.encoder or plan.task.encoder
    if encoder not in ("", NO_ENCODER):
        encoder_card(encoder)


def encoder_card(name: str) -> ModelCard:
    """An encoder's card by name, or one made for a folder (anything with a slash).

    Raises:
        UserError: no such card, or one of a model that writes replies.
    """
    if "/" in name or name.startswith((".", "~")):
        return ModelCard(Path(name).name, "bertscore", weights=full_path(name))
    card = resolve_card(name)
    if card.adapter != "bertscore":
        raise UserError(f"--encoder {name}: that card is a model with the {card.adapter} adapter, not an encoder")
    return card


def scoring_record(plan: ScoringPlan) -> ScoringRecord:
    """What results.json says of the scoring: two equal ones give equal scores."""
    encoder = ""
    if plan.encoder:  # by content too: two folders of one name hold two encoders, and a card's layer may change
        weights = identify(plan.encoder.name, plan.encoder.weights, plan.encoder.revision)
        encoder = f"{plan.encoder.name}@{digest([weights, dict(plan.encoder.options)])[:12]}"
    return ScoringRecord(plan.scorers, encoder, plan.resampling.signature(), plan.judging)


def plan_scoring(
    record: RunRecord, encoder: str, extra: Sequence[str], judging: JudgingRecord | None = None
) -> ScoringPlan:
    """How to score the run of a run.json: the task's scorers and `extra` ones, with `encoder` or the task's.

    With `judging`, what judges gave is scored too.

    Raises:
        UserError: no such encoder.
    """
    protocol, task = record.protocol, record.task
    scorers = list(dict.fromkeys([*task.scorers, *extra, *([STARS] if judging else [])]))
    if encoder == NO_ENCODER and "bertscore" in scorers:
        scorers.remove("bertscore")
    encoder = encoder or task.encoder
    files = "+".join(file.sha256[:8] for file in record.data.files)
    prompts = "+".join(f"{name}@{protocol.prompt_sha256[lang][:8]}" for lang, name in protocol.prompts.items())
    return ScoringPlan(
        scorers=tuple(scorers),
        languages=task.languages,
        condition=protocol.condition,
        strategies=task.strategies,
        encoder=encoder_card(encoder) if encoder and "bertscore" in scorers else None,
        resampling=Resampling(),
        base_signature=(
            f"task:{task.name}|data:{files}|lang:{'+'.join(task.languages)}|limit:{protocol.limit or 'all'}|"
            f"ctx:{protocol.context}|cond:{protocol.condition}|prompts:{prompts}|"
            f"seed:{protocol.seed}|cscbench:{__version__}"
        ),
        judging=judging,
    )


def public_fields(card: ModelCard, kind: AdapterKind) -> dict[str, Any]:
    """A card's fields without what is this machine's own: a path keeps its last part, local options are left out."""
    shown = msgspec.structs.asdict(card)
    shown["options"] = {name: card.options[name] for name in card.options if name not in kind.local_options}
    for field in ("weights", "lora"):
        if shown[field].startswith(("/", "~")):
            shown[field] = Path(shown[field]).name
    return shown


def environment(packages: tuple[str, ...]) -> Environment:
    """Where and when this process runs, and the versions of what counts."""
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
    """The commit of the cscbench checkout that runs, empty where it is no checkout."""
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
