"""One run, from a model spec to results.json: prepare, play, score."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from cscbench.asking import files, store
from cscbench.asking.budget import Budget, no_budget
from cscbench.asking.cost import Cost, Session, Usage, cost_of, usage_of
from cscbench.asking.engine import play_all
from cscbench.asking.meter import Meter, Metered
from cscbench.asking.plays import Play, Protocol, play, play_turns
from cscbench.asking.progress import progress
from cscbench.asking.record import EngineRecord, RunRecord
from cscbench.asking.store import StoredReply
from cscbench.judging.bias import judge_notes, judge_tables
from cscbench.judging.items import items_of
from cscbench.judging.panel import Judge, judging_record, resolve_judges, run_judge
from cscbench.models.backend import LoadedAdapter, Setting
from cscbench.runs import results
from cscbench.runs.plan import Plan, check_scoring, run_record
from cscbench.runs.results import Results, Timing
from cscbench.scoring import score as scoring
from cscbench.scoring.plan import ScoringPlan, plan_scoring, scoring_record
from cscbench.scoring.scorer import Scorer
from cscbench.values.condition import Context
from cscbench.values.dialogue import Dialogue, Speaker
from cscbench.values.frozen import Frozen
from cscbench.values.judging import Rating
from cscbench.values.transcript import Pair, Prediction

log = logging.getLogger("cscbench")


class Judging(Frozen, frozen=True):
    """What the judges of a run gave, and what each took, by its label."""

    ratings: tuple[Rating, ...] = ()
    costs: Mapping[str, Cost] = {}


NOBODY = Judging()


def run(plan: Plan) -> tuple[Path, Results]:
    """Play what is missing, score, and write results.json; a finished run is read and not done again.

    Returns the run folder and the results.

    Raises:
        UserError: what cannot be loaded, asked or written; replies on disk stay good.
        BudgetSpent: `max_cost` does not allow the next request; the same, and it can be raised.
    """
    check_scoring(plan)
    judges = resolve_judges(plan.task, tuple(plan.prompts), plan.options.judging)
    record = run_record(plan)
    folder = Path(plan.options.out) / record.name
    scoring_plan = plan_scoring(record, plan.options.encoder, plan.options.scorers, judging_record(judges))
    with store.locked(folder):
        store.begin(folder, record)
        finished = _finished(folder, scoring_plan)
        if finished is not None:
            return folder, finished
        scorers = scoring.build_scorers(scoring_plan)  # before the hours of a run: what is missing is told now
        pairs = _pairs(plan.dialogues, _play(plan, folder))
        results.write_pairs(folder, pairs)
        judged = _judge(plan, judges, folder, pairs)
        return folder, _score(folder, pairs, scorers, scoring_plan, judged)


def rescore(folder: Path, encoder: str, scorers: tuple[str, ...]) -> Results:
    """Score a run's predictions again, without its model, and write results.json.

    Raises:
        UserError: no run there, or a scorer or encoder that is not to be had.
    """
    record = store.read_run(folder)
    pairs = results.read_pairs(folder)
    before = results.read(folder) if files.exists(folder / store.RESULTS) else None
    scoring_plan = plan_scoring(record, encoder, scorers, before.scoring.judging if before else None)
    results.check_pairs(folder, pairs, record, scoring_plan)
    judged = Judging(results.read_ratings(folder), before.timing.judges) if before and scoring_plan.judging else NOBODY
    with store.locked(folder):
        return _score(folder, pairs, scoring.build_scorers(scoring_plan), scoring_plan, judged)


def _finished(folder: Path, plan: ScoringPlan) -> Results | None:
    """The results that are there, if they are complete and scored as wanted."""
    if not (folder / store.RESULTS).exists():
        return None
    found = results.read(folder)
    whole = found.run.complete and not results.failed_ratings(found)
    return found if whole and found.scoring == scoring_record(plan) else None


def _play(plan: Plan, folder: Path) -> tuple[Prediction, ...]:
    where = folder / store.REPLIES
    known = store.read_replies(where, store.engine_key(store.read_run(folder)))
    for count, what in ((known.damaged, "damaged lines"), (known.foreign, "replies of another model or engine")):
        if count:
            log.warning("%s: %d %s are passed over; what they answered is asked again", where, count, what)
    turns = sum(1 for d in plan.dialogues for turn in d.turns if turn.speaker is Speaker.SUPPORTER)
    steps = len(next(iter(plan.prompts.values())).prompt.steps)
    log_file = store.ReplyLog(where)
    try:
        with progress(plan.card.name, turns * steps) as bar:
            load, budget = partial(_load, plan, folder, log_file), _budget(plan, where, turns * steps)
            return play_all(_plays(plan), known, log_file, load, plan.concurrency, bar, budget)
    finally:
        log_file.close()


def _plays(plan: Plan) -> list[Play]:
    if plan.kind.turns_at_once and plan.options.context is Context.GOLD:
        return [one for d in plan.dialogues for one in play_turns(d, plan.prompts[d.language], plan.sampling)]
    protocol = Protocol(plan.options.context, plan.sampling)
    return [play(dialogue, plan.prompts[dialogue.language], protocol) for dialogue in plan.dialogues]


def _budget(plan: Plan, replies: Path, requests: int) -> Budget:
    """All that was asked is paid for: by earlier commands, and what failed or was lost, too."""
    if plan.card.price is None or plan.options.max_cost is None:
        return no_budget()
    before = store.read_lines(replies, StoredReply).values
    return Budget(plan.card.price, plan.options.max_cost, (line.reply for line in before), requests)


def _load(plan: Plan, folder: Path, log_file: store.ReplyLog) -> LoadedAdapter:
    before = store.read_engine(folder).facts
    setting = Setting(plan.card, plan.prompts, plan.dialogues, plan.data.train, plan.options.trust_remote_code, before)
    loaded = plan.kind.load(setting)
    try:
        log_file.engine = store.check_engine(folder, EngineRecord(dict(loaded.facts), loaded.notes))
    except BaseException:
        loaded.adapter.close()  # its engine may be a process of its own
        raise
    meter = Meter(folder / store.SESSIONS, loaded.devices)
    return msgspec.structs.replace(loaded, adapter=Metered(loaded.adapter, meter))


def _judge(plan: Plan, judges: tuple[Judge, ...], folder: Path, pairs: list[Pair]) -> Judging:
    if not judges:
        return NOBODY
    options, base = plan.options.judging, store.read_run(folder)
    found = []
    for judge in judges:
        items = items_of(plan.dialogues, pairs, options.level, plan.options.context, judge.rubrics)
        found.append(run_judge(judge, items, folder, base, plan.options.trust_remote_code))
    ratings = tuple(rating for one in found for rating in one.ratings)
    results.write_ratings(folder, ratings)
    return Judging(ratings, {one.judge.label: one.cost for one in found})


def _pairs(dialogues: tuple[Dialogue, ...], predictions: tuple[Prediction, ...]) -> list[Pair]:
    by_id = {dialogue.id: dialogue for dialogue in dialogues}
    pairs = []
    for said in predictions:
        dialogue = by_id[said.dialogue]
        gold = dialogue.turns[said.turn]
        pairs.append(
            Pair(
                dialogue=dialogue.id,
                turn=said.turn,
                language=dialogue.language,
                topic=dialogue.topic,
                reference_strategy=gold.strategy or "",
                reference=gold.text,
                strategy=said.strategy,
                text=said.text,
                form=said.form,
                error=said.error,
            )
        )
    return pairs


def _took(folder: Path, record: RunRecord) -> tuple[Usage | None, Cost | None]:
    """Usage and cost from what the sessions left; where their replies are gone, what the results said before."""
    if not (folder / store.REPLIES).exists():
        before = results.read(folder) if (folder / store.RESULTS).exists() else None
        return (before.usage, before.timing.cost) if before else (None, None)
    key = store.engine_key(record)
    replies = [line for line in store.read_lines(folder / store.REPLIES, StoredReply).values if line.engine == key]
    sessions = store.read_lines(folder / store.SESSIONS, Session).values
    return usage_of(replies), cost_of(replies, sessions, record.model.price)


def _score(
    folder: Path,
    pairs: list[Pair],
    scorers: tuple[tuple[str, Scorer], ...],
    plan: ScoringPlan,
    judged: Judging,
) -> Results:
    record = store.read_run(folder)
    usage, cost = _took(folder, record)
    scored = scoring.score(pairs, scoring.with_ratings(scorers, plan, judged.ratings), plan)
    notes: tuple[str, ...] = ()
    if plan.judging is not None:
        tables = judge_tables(judged.ratings, plan.judging, pairs, record.model.family, plan.resampling)
        scored, notes = msgspec.structs.replace(scored, tables={**scored.tables, **tables}), judge_notes(tables)
    found = results.build(
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
    results.write(folder, found, results.scores_file(pairs, scored.measured))
    return found
