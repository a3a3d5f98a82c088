"""Resolve a run before anything is loaded or written: its plan, its identity, its run.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from cscbench import __version__
from cscbench.asking.record import (
    RUN_SCHEMA,
    DataRecord,
    ModelRecord,
    ProtocolRecord,
    RunRecord,
    TaskRecord,
    environment,
)
from cscbench.content.cards import resolve_card, resolve_cli_path
from cscbench.content.extras import versions
from cscbench.content.hashes import digest, hash8, plain_dialogues
from cscbench.content.overrides import Override, check_overrides, nested, published
from cscbench.content.prompts import NamedPrompt
from cscbench.content.shipped import expanded
from cscbench.content.tasks import Task, TaskData, find_task
from cscbench.models.backend import Backend, check_price, find_backend, identifying_fields, published_card
from cscbench.runs.options import RunOptions
from cscbench.scoring.plan import NO_ENCODER, encoder_card
from cscbench.scoring.registry import find_scorer
from cscbench.values import Dialogue, Frozen, JudgeOptions, Language, ModelCard, Sampling, UserError


class Plan(Frozen, frozen=True):
    """A run with everything resolved, before anything is loaded or written."""

    options: RunOptions
    card: ModelCard
    backend: Backend
    task: Task
    data: TaskData
    dialogues: tuple[Dialogue, ...]
    prompts: Mapping[Language, NamedPrompt]
    sampling: Sampling
    concurrency: int
    judging: JudgeOptions
    overrides: tuple[Override, ...] = ()


def prepare(options: RunOptions) -> Plan:
    """Resolve card, task, data and prompts.

    Raises:
        UserError: any of them is unknown or invalid, or no dialogue is left.
    """
    if abs(options.seed) >= 2**63:
        raise UserError(f"--seed {options.seed}: a seed has at most 64 bits: use a smaller one")
    if options.limit < 0:
        raise UserError(f"limit {options.limit}: use a number of dialogues, or 0 for all")
    overrides = check_overrides(options.overrides)
    card = resolve_card(options.model, resolve_cli_path(options.lora), overrides)
    backend = find_backend(card.adapter)
    if options.condition.ranks_strategies and not backend.ranks_choices:
        raise UserError(
            f"{card.name}: the {card.adapter} adapter cannot rank: --condition ranked reads a model's likelihoods; "
            "use --condition two-step, or an hf or vllm card"
        )
    if options.max_cost is not None:
        check_price(card, backend)
    task = find_task(options.task, overrides)
    data = task.dialogues(expanded(options.data) if options.data else None, options.condition)
    chosen = tuple(d for d in data.test if options.language in (None, d.language))
    if not chosen:
        raise UserError(f"{task.name}: none of its {len(data.test)} dialogues is in language {options.language}")
    dialogues = chosen[: options.limit] if options.limit else chosen
    languages = [language for language in Language if any(d.language is language for d in dialogues)]
    prompts = {language: task.prompt(card.prompts, language, options.condition) for language in languages}
    sampling = msgspec.structs.replace(card.sampling, seed=options.seed)
    return Plan(
        options=options,
        card=card,
        backend=backend,
        task=task,
        data=data,
        dialogues=dialogues,
        prompts=prompts,
        sampling=sampling,
        concurrency=backend.concurrency(card),
        judging=JudgeOptions(options.judges, **nested(overrides, "judge")),
        overrides=overrides,
    )


def identity(plan: Plan) -> dict[str, Any]:
    """Return everything that changes a reply: what the run folder's hash covers. Paths and times are not part of it.

    Raises:
        UserError: the weights are missing.
    """
    return {
        "cscbench": __version__,
        "card": identifying_fields(plan.card, plan.backend),
        "fingerprint": dict(plan.backend.fingerprint(plan.card)),
        "packages": versions(plan.backend.packages),
        "task": {"name": plan.task.name, "files": dict(plan.task.files)},
        "data": [source.sha256 for source in plan.data.sources],
        # Also the dialogues as read: a task written in Python may read more than its files.
        "dialogues": digest([plain_dialogues(plan.dialogues), plain_dialogues(plan.data.train)]),
        "prompts": {prompt.name: prompt.sha256 for prompt in plan.prompts.values()},
        "context": plan.options.context,
        "condition": plan.options.condition,
        "sampling": msgspec.to_builtins(plan.sampling),
    }


def run_record(plan: Plan) -> RunRecord:
    """Build the run.json of a plan."""
    identified = identity(plan)
    digest8 = hash8(identified)
    fingerprint = identified["fingerprint"]
    label = f"{plan.card.name}@{fingerprint['lora'][:8]}" if "lora" in fingerprint else plan.card.name
    return RunRecord(
        schema=RUN_SCHEMA,
        name=f"{plan.task.name}--{plan.options.context}--{label}--{digest8}",
        hash=digest8,
        identity=identified,
        model=ModelRecord(label=label, fingerprint=fingerprint, **published_card(plan.card, plan.backend)),
        task=TaskRecord(
            name=plan.task.name,
            title=plan.task.title,
            languages=tuple(plan.prompts),
            strategies=plan.task.strategies,
            scorers=plan.task.scorers,
            encoder=plan.task.encoder,
        ),
        data=DataRecord(plan.data.sources, plan.data.faults, plan.data.notes, _clusters(plan.dialogues)),
        dialogues=tuple(dialogue.id for dialogue in plan.dialogues),
        protocol=ProtocolRecord(
            context=plan.options.context,
            condition=plan.options.condition,
            prompts={language: prompt.name for language, prompt in plan.prompts.items()},
            prompt_sha256={language: prompt.sha256 for language, prompt in plan.prompts.items()},
            limit=plan.options.limit,
            language=plan.options.language,
            seed=plan.options.seed,
            overrides=published(plan.overrides, plan.backend.machine_options),
        ),
        environment=environment(plan.backend.packages),
    )


def check_scoring(plan: Plan) -> None:
    """Check that the requested scorers and encoder exist, before anything is hashed, loaded or played.

    Raises:
        UserError: one is unknown (with the nearest names).
    """
    for name in (*plan.task.scorers, *plan.options.scorers):
        find_scorer(name)
    encoder = plan.options.encoder or plan.task.encoder
    if encoder not in ("", NO_ENCODER):
        encoder_card(encoder)


def _clusters(dialogues: Sequence[Dialogue]) -> int:
    """Count the clusters of the dialogues; 0 if the data name none."""
    if not any(dialogue.cluster for dialogue in dialogues):
        return 0
    return len({dialogue.cluster or dialogue.id for dialogue in dialogues})
