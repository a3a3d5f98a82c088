"""One run, from a model spec to results.json: prepare, play, score."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cscbench import results, scoring, store
from cscbench.adapters import LoadedAdapter, Setting
from cscbench.engine import Tally, play_all
from cscbench.plan import Plan, check_scoring, plan_scoring, run_record, scoring_record
from cscbench.play import Protocol, play
from cscbench.progress import progress
from cscbench.records import Dialogue, Pair, Prediction, Speaker
from cscbench.results import Results, Timing
from cscbench.scorers import Scorer

log = logging.getLogger("cscbench")


def run(plan: Plan) -> tuple[Path, Results]:
    """Play what is missing, score, and write results.json; a finished run is read and not done again.

    Returns the run folder and the results.

    Raises:
        UserError: what cannot be loaded, asked or written; replies on disk stay good.
    """
    check_scoring(plan)
    record = run_record(plan)
    folder = Path(plan.options.out) / record.name
    scoring_plan = plan_scoring(record, plan.options.encoder, plan.options.scorers)
    with store.locked(folder):
        store.begin(folder, record)
        finished = _finished(folder, scoring_plan)
        if finished is not None:
            return folder, finished
        scorers = scoring.build_scorers(scoring_plan)
        tally = _play(plan, folder)
        pairs = _pairs(plan.dialogues, tally.predictions)
        results.write_pairs(folder, pairs)
        return folder, _score(folder, pairs, scorers, scoring_plan, _usage(tally), tally.seconds)


def rescore(folder: Path, encoder: str, scorers: tuple[str, ...]) -> Results:
    """Score a run's predictions again, without its model, and write results.json.

    Raises:
        UserError: no run there, or a scorer or encoder that is not to be had.
    """
    record = store.read_run(folder)
    pairs = results.read_pairs(folder)
    scoring_plan = plan_scoring(record, encoder, scorers)
    results.check_pairs(folder, pairs, record, scoring_plan)
    with store.locked(folder):
        built = scoring.build_scorers(scoring_plan)
        before = results.read(folder) if (folder / store.RESULTS).exists() else None
        usage, seconds = (before.usage, before.timing.model_seconds) if before else ({}, 0.0)
        return _score(folder, pairs, built, scoring_plan, usage, seconds)


def _finished(folder: Path, plan: scoring.ScoringPlan) -> Results | None:
    """The results that are there, if they are complete and scored as wanted."""
    if not (folder / store.RESULTS).exists():
        return None
    found = results.read(folder)
    return found if found.run.complete and found.scoring == scoring_record(plan) else None


def _play(plan: Plan, folder: Path) -> Tally:
    known = store.read_replies(folder / store.REPLIES)
    if known.damaged:
        where = folder / store.REPLIES
        log.warning("%s: %d damaged lines are passed over; what they answered is asked again", where, known.damaged)
    turns = sum(1 for d in plan.dialogues for turn in d.turns if turn.speaker is Speaker.SUPPORTER)
    steps = len(next(iter(plan.prompts.values())).prompt.steps)
    protocol = Protocol(plan.options.context, plan.sampling)
    plays = [play(dialogue, plan.prompts[dialogue.language], protocol) for dialogue in plan.dialogues]
    log_file = store.ReplyLog(folder / store.REPLIES)
    try:
        with progress(plan.card.name, turns * steps) as bar:
            return play_all(plays, known, log_file, partial(_load, plan, folder), plan.concurrency, bar)
    finally:
        log_file.close()


def _load(plan: Plan, folder: Path) -> LoadedAdapter:
    setting = Setting(plan.card, plan.prompts, plan.dialogues, plan.data.train, plan.options.trust_remote_code)
    loaded = plan.kind.load(setting)
    store.check_engine(folder, store.EngineRecord(dict(loaded.facts), loaded.notes))
    return loaded


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


def _usage(tally: Tally) -> dict[str, int]:
    return {
        "requests": tally.asked,
        "tokens_in": tally.tokens_in,
        "tokens_out": tally.tokens_out,
        "replies_cut_at_max_tokens": tally.cut,
        "prompts_with_turns_dropped": tally.dropped,
    }


def _score(
    folder: Path,
    pairs: list[Pair],
    scorers: tuple[tuple[str, Scorer], ...],
    plan: scoring.ScoringPlan,
    usage: Mapping[str, int],
    seconds: float,
) -> Results:
    record, engine = store.read_run(folder), store.read_engine(folder)
    scored = scoring.score(pairs, scorers, plan)
    results.write_scores(folder, pairs, scored.measured)
    found = results.build(
        run=record,
        pairs=pairs,
        scored=scored,
        scoring=scoring_record(plan),
        notes=[*record.data.notes, *engine.notes],
        usage=usage,
        timing=Timing(
            started=record.environment.started,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            model_seconds=round(seconds, 3),
        ),
    )
    results.write(folder, found)
    return found
