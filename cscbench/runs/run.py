"""One run, from a model spec to results.json: prepare, play, score."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cscbench.asking import files, store
from cscbench.asking.budget import Account, Budget
from cscbench.asking.cost import Cost, Usage
from cscbench.asking.desk import Desk, Seat, paid_replies, usage_and_cost
from cscbench.asking.engine import play_all
from cscbench.asking.plays import Play, Protocol, play, play_turns, supporter_turns
from cscbench.asking.progress import progress
from cscbench.asking.record import RunRecord
from cscbench.judging.bias import judge_notes, judge_tables
from cscbench.judging.items import items_of
from cscbench.judging.panel import Judge, judge_account, judging_record, resolve_judges, run_judge
from cscbench.models.backend import LoadContext, check_price
from cscbench.runs import results
from cscbench.runs.finished import FinishedRun, load
from cscbench.runs.plan import Plan, check_scoring, run_record
from cscbench.runs.results import Results, Timing
from cscbench.scoring import score as scoring
from cscbench.scoring.plan import ScoringPlan, plan_scoring, scoring_record
from cscbench.scoring.scorer import Scorer
from cscbench.values import SUPPORTER, Context, Dialogue, Frozen, Level, Rating, ScoredPair, SpokenTurn, Transcript

log = logging.getLogger("cscbench")


class JudgingResult(Frozen, frozen=True):
    """The ratings of a run's judges, and each judge's cost by its label."""

    ratings: tuple[Rating, ...] = ()
    costs: Mapping[str, Cost] = {}


NO_JUDGING = JudgingResult()


def run(plan: Plan) -> FinishedRun:
    """Play what is missing, score it, and write results.json; a finished run is only read.

    Raises:
        UserError: something cannot be loaded, asked or written; replies on disk stay valid.
        BudgetSpent: `max_cost` does not allow the next request; run again with a higher limit to continue.
    """
    check_scoring(plan)
    judges = resolve_judges(plan.task, tuple(plan.prompts), plan.judging)
    if plan.options.max_cost is not None:
        for judge in judges:
            check_price(judge.card, judge.backend)
    record = run_record(plan)
    folder = Path(plan.options.out) / record.name
    scoring_plan = plan_scoring(record, plan.options.encoder, plan.options.scorers, judging_record(judges))
    with store.locked(folder):
        store.open_run_folder(folder, record)
        finished = _finished(folder, scoring_plan)
        if finished is not None:
            return finished
        scorers = scoring.build_scorers(scoring_plan)  # before the hours of a run: report what is missing now
        supporter, *judge_accounts = _open_accounts(plan, judges, folder)
        pairs = _pairs(plan.dialogues, _play(plan, folder, supporter))
        results.write_pairs(folder, pairs)
        judged = _ask_judges(plan, zip(judges, judge_accounts, strict=True), folder, pairs)
        _score(folder, pairs, scorers, scoring_plan, judged)
        return load(folder)


def rescore(folder: Path, encoder: str, scorers: tuple[str, ...]) -> Results:
    """Score a run's predictions again, without its model, and write results.json.

    Raises:
        UserError: the folder holds no run, or a scorer or encoder is missing.
    """
    record = store.read_run(folder)
    pairs = results.read_pairs(folder)
    earlier = results.read(folder) if files.exists(folder / store.RESULTS) else None
    scoring_plan = plan_scoring(record, encoder, scorers, earlier.scoring.judging if earlier else None)
    results.check_pairs(folder, pairs, record, scoring_plan)
    judged = NO_JUDGING
    if earlier and scoring_plan.judging:
        judged = JudgingResult(results.read_ratings(folder), earlier.timing.judges)
    with store.locked(folder):
        return _score(folder, pairs, scoring.build_scorers(scoring_plan), scoring_plan, judged)


def _finished(folder: Path, plan: ScoringPlan) -> FinishedRun | None:
    """Return the run on disk if it is complete and scored as planned."""
    run = load(folder)
    if run.results is None or not run.results.run.complete or results.failed_ratings(run.results):
        return None
    current = run.results.scoring == scoring_record(plan) and run.results.protocol == run.record.protocol
    return run if current else None


def _open_accounts(plan: Plan, judges: Sequence[Judge], folder: Path) -> list[Account]:
    """Open the accounts of all models of the command, the supporter's first, before any model is asked."""
    limit = plan.options.max_cost
    budget = Budget(math.inf if limit is None else limit)
    for card in (plan.card, *(judge.card for judge in judges)):
        if limit is not None and card.price is None:
            log.warning("%s: the card has no price, so its replies count as free against --max-cost", card.name)
    items = len(plan.dialogues) if plan.judging.level is Level.DIALOGUE else _supporter_turns(plan)
    supporter = budget.account(plan.card.name, plan.card.price, paid_replies(folder), _requests(plan))
    return [supporter, *(judge_account(judge, folder, budget, items) for judge in judges)]


def _supporter_turns(plan: Plan) -> int:
    return sum(len(supporter_turns(dialogue)) for dialogue in plan.dialogues)


def _requests(plan: Plan) -> int:
    return _supporter_turns(plan) * len(next(iter(plan.prompts.values())).prompt.steps)


def _play(plan: Plan, folder: Path, account: Account) -> tuple[Transcript, ...]:
    context = LoadContext(plan.card, plan.prompts, plan.dialogues, plan.data.train, plan.options.trust_remote_code)
    with progress(plan.card.name, _requests(plan)) as bar:
        desks = {SUPPORTER: Desk(Seat(plan.backend, context), folder, bar, account)}
        return play_all(_plays(plan), desks, plan.concurrency)


def _plays(plan: Plan) -> list[Play]:
    if plan.backend.batches_turns and plan.options.context is Context.GOLD:
        return [turn for d in plan.dialogues for turn in play_turns(d, plan.prompts[d.language], plan.sampling)]
    protocol = Protocol(plan.options.context, plan.sampling)
    return [play(dialogue, plan.prompts[dialogue.language], protocol) for dialogue in plan.dialogues]


def _ask_judges(
    plan: Plan, judges: Iterable[tuple[Judge, Account]], folder: Path, pairs: list[ScoredPair]
) -> JudgingResult:
    options, base = plan.judging, store.read_run(folder)
    judge_runs = []
    for judge, account in judges:
        items = items_of(plan.dialogues, pairs, options.level, plan.options.context, judge.rubrics)
        judge_runs.append(run_judge(judge, items, folder, base, plan.options.trust_remote_code, account))
    if not judge_runs:
        return NO_JUDGING
    ratings = tuple(rating for judge_run in judge_runs for rating in judge_run.ratings)
    results.write_ratings(folder, ratings)
    return JudgingResult(ratings, {judge_run.judge.label: judge_run.cost for judge_run in judge_runs})


def _pairs(dialogues: Sequence[Dialogue], transcripts: Iterable[Transcript]) -> list[ScoredPair]:
    """Pair each spoken turn with its reference."""
    by_id = {dialogue.id: dialogue for dialogue in dialogues}
    return [_pair(by_id[transcript.dialogue], turn) for transcript in transcripts for turn in transcript.turns]


def _pair(dialogue: Dialogue, spoken: SpokenTurn) -> ScoredPair:
    reference = dialogue.turns[spoken.turn]
    return ScoredPair(
        dialogue=dialogue.id,
        turn=spoken.turn,
        language=dialogue.language,
        topic=dialogue.topic,
        reference_strategy=reference.strategy or "",
        reference=reference.text,
        strategy=spoken.strategy,
        text=spoken.text,
        form=spoken.form,
        error=spoken.error,
        cluster=dialogue.cluster or dialogue.id,
    )


def _usage_and_cost(folder: Path, record: RunRecord) -> tuple[Usage | None, Cost | None]:
    """Return usage and cost from the replies and sessions on disk; without replies, those of the earlier results."""
    if not (folder / store.REPLIES).exists():
        earlier = results.read(folder) if files.exists(folder / store.RESULTS) else None
        return (earlier.usage, earlier.timing.cost) if earlier else (None, None)
    return usage_and_cost(folder, record.model.price)


def _score(
    folder: Path,
    pairs: list[ScoredPair],
    scorers: tuple[tuple[str, Scorer], ...],
    plan: ScoringPlan,
    judged: JudgingResult,
) -> Results:
    record = store.read_run(folder)
    usage, cost = _usage_and_cost(folder, record)
    scored = scoring.score(pairs, scoring.with_ratings(scorers, plan, judged.ratings), plan)
    notes: tuple[str, ...] = ()
    if plan.judging is not None:
        tables = judge_tables(judged.ratings, plan.judging, pairs, record.model.family, plan.resampling)
        scored, notes = msgspec.structs.replace(scored, tables={**scored.tables, **tables}), judge_notes(tables)
    built = results.build(
        run=record,
        pairs=pairs,
        scored=scored,
        scoring=scoring_record(plan),
        usage=usage,
        timing=Timing(
            started=record.environment.started,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            cost=cost,
            judges=dict(judged.costs),
        ),
        notes=notes,
    )
    results.write(folder, built, results.scores_file(pairs, scored.measured))
    return built
