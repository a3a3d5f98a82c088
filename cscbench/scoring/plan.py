"""How a run is scored: its scorers, its encoder, and the scoring record in results.json."""

from collections.abc import Sequence
from pathlib import Path

from cscbench import __version__
from cscbench.asking.record import RunRecord
from cscbench.content.cards import resolve_card, resolve_cli_path
from cscbench.content.hashes import digest
from cscbench.models.weights import identify
from cscbench.scoring.bootstrap import Resampling
from cscbench.values import Condition, Frozen, JudgingRecord, Language, ModelCard, StrategySet, UserError

NO_ENCODER = "none"
# The scorer of judges' ratings.
STARS = "stars"


class ScoringPlan(Frozen, frozen=True):
    """How a run is scored. Every metric's signature ends in `base_signature`: task, data, protocol, version.

    `judging` names the judges, if there are any.
    """

    scorers: tuple[str, ...]
    languages: tuple[Language, ...]
    condition: Condition
    strategies: StrategySet
    encoder: ModelCard | None
    resampling: Resampling
    base_signature: str
    judging: JudgingRecord | None = None


class ScoringRecord(Frozen, frozen=True):
    """How a run was scored; `encoder` is empty without BERTScore, `judging` is null without judges."""

    scorers: tuple[str, ...]
    encoder: str
    resampling: str
    judging: JudgingRecord | None = None


def encoder_card(name: str) -> ModelCard:
    """Return an encoder's card by name, or a new card for a folder (anything with a slash).

    Raises:
        UserError: there is no such card, or it is not an encoder's.
    """
    if "/" in name or name.startswith((".", "~")):
        return ModelCard(Path(name).name, "bertscore", weights=resolve_cli_path(name))
    card = resolve_card(name)
    if card.adapter != "bertscore":
        raise UserError(f"--encoder {name}: its card describes a model (adapter {card.adapter}), not an encoder")
    return card


def scoring_record(plan: ScoringPlan) -> ScoringRecord:
    """Return the scoring record of a results.json: equal records give equal scores."""
    encoder = ""
    if plan.encoder:  # by content too: two folders may have the same name, and a card's layer may change
        weights = identify(plan.encoder.name, plan.encoder.weights, plan.encoder.revision)
        encoder = f"{plan.encoder.name}@{digest([weights, dict(plan.encoder.options)])[:12]}"
    return ScoringRecord(plan.scorers, encoder, plan.resampling.signature(), plan.judging)


def plan_scoring(
    record: RunRecord, encoder: str, extra: Sequence[str], judging: JudgingRecord | None = None
) -> ScoringPlan:
    """Plan the scoring of a run from its run.json: the task's scorers and `extra` ones, with `encoder` or the task's.

    With `judging`, score the judges' ratings too.

    Raises:
        UserError: there is no such encoder.
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
        resampling=Resampling(unit="cluster" if record.data.clusters else "dialogue"),
        base_signature=(
            f"task:{task.name}|data:{files}|lang:{'+'.join(task.languages)}|limit:{protocol.limit or 'all'}|"
            f"ctx:{protocol.context}|cond:{protocol.condition}|prompts:{prompts}|"
            f"seed:{protocol.seed}|cscbench:{__version__}"
        ),
        judging=judging,
    )
