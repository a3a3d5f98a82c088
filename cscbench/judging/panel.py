"""A panel of judges: each is resolved before anything runs, and leaves its replies in a folder of its own."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from cscbench import __version__
from cscbench.asking import store
from cscbench.asking.cost import Cost, Session, cost_of
from cscbench.asking.engine import play_all
from cscbench.asking.judge_plays import Manner, manner, walk
from cscbench.asking.meter import Meter, Metered
from cscbench.asking.progress import progress
from cscbench.asking.record import (
    RUN_SCHEMA,
    DataRecord,
    EngineRecord,
    ModelRecord,
    ProtocolRecord,
    RunRecord,
    TaskRecord,
    environment,
)
from cscbench.asking.store import StoredReply
from cscbench.content.cards import resolve_card
from cscbench.content.csconv import SourceFile
from cscbench.content.extras import need, versions
from cscbench.content.hashes import short
from cscbench.content.rubrics import Rubric
from cscbench.content.tasks import Task
from cscbench.judging.ratings import Ratings
from cscbench.models.backend import AdapterKind, LoadedAdapter, Setting, find_adapter, public_fields
from cscbench.values.asking import ModelCard
from cscbench.values.condition import Condition, Context
from cscbench.values.dialogue import Language
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen
from cscbench.values.judging import Item, JudgeOptions, JudgeRecord, JudgingRecord, Rating

log = logging.getLogger("cscbench")

FOLDER = "judges"


class Judge(Frozen, frozen=True):
    """A judge with everything resolved."""

    card: ModelCard
    kind: AdapterKind
    rubrics: Mapping[Language, Rubric]
    manner: Manner
    identity: Mapping[str, Any]
    record: JudgeRecord

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.record.label}--{self.record.hash}"


class Judged(Frozen, frozen=True):
    """What a judge left: a rating an item, in order, what it took, and its adapter's notes."""

    judge: JudgeRecord
    ratings: tuple[Rating, ...]
    cost: Cost
    notes: tuple[str, ...]


def resolve_judges(task: Task, languages: Sequence[Language], options: JudgeOptions) -> tuple[Judge, ...]:
    """The judges of a panel.

    Raises:
        UserError: an unknown card, one that cannot judge, one named twice, or a task without rubric.
    """
    if options.cards:
        need("scores", ["krippendorff", "scipy", "sklearn"], "judging")
    if twice := {name for name in options.cards if options.cards.count(name) > 1}:
        raise UserError(f"--judge {min(twice)} is given twice: one judge has one voice")
    judges = tuple(_resolve(task, languages, name, options) for name in options.cards)
    if len({tuple(codes(judge)) for judge in judges}) > 1:
        raise UserError("the judges' rubrics have different dimensions: judge with each in a run of its own")
    return judges


def codes(judge: Judge) -> tuple[str, ...]:
    """The dimensions of a judge's rubric."""
    return tuple(dimension.code for dimension in next(iter(judge.rubrics.values())).file.dimensions)


def _resolve(task: Task, languages: Sequence[Language], name: str, options: JudgeOptions) -> Judge:
    card = resolve_card(name)
    kind = find_adapter(card.adapter)
    if not kind.writes:
        raise UserError(f"--judge {name}: the {card.adapter} adapter looks replies up: only a model can judge")
    if task.rubric is None:
        raise UserError(f"{task.name}: the task has no rubric: put one at tasks/{task.name}/rubrics/default/")
    rubrics = {language: task.rubric(card.prompts, language) for language in languages}
    if len({tuple(one.code for one in rubric.file.dimensions) for rubric in rubrics.values()}) > 1:
        raise UserError(f"{task.name}: the rubrics of set {card.prompts!r} have different dimensions by language")
    how = manner(name, options.level, options.repeats, kind.ranks, card.sampling)
    own = msgspec.to_builtins(card)
    for field in ("weights", "lora", "revision", "price"):  # as in a run's identity
        del own[field]
    own["options"] = {field: own["options"][field] for field in own["options"] if field not in kind.local_options}
    identity = {
        "cscbench": __version__,
        "judge": own,
        "fingerprint": dict(kind.fingerprint(card)),
        "packages": versions(kind.packages),
        "rubrics": {rubric.name: rubric.sha256 for rubric in rubrics.values()},
        "manner": msgspec.to_builtins(how),
    }
    record = JudgeRecord(name, short(identity), card.family, how.score)
    return Judge(card, kind, rubrics, how, identity, record)


def judging_record(judges: Sequence[Judge]) -> JudgingRecord | None:
    """What results.json says of a panel; None for an empty one."""
    if not judges:
        return None
    rubrics = {rubric.name: rubric.sha256 for judge in judges for rubric in judge.rubrics.values()}
    level = judges[0].manner.level
    return JudgingRecord(tuple(judge.record for judge in judges), level, codes(judges[0]), rubrics)


def run_judge(judge: Judge, items: Sequence[Item], parent: Path, base: RunRecord, trust_remote_code: bool) -> Judged:
    """Rate items, going on where an earlier command stopped; `base` is the record of the run that is judged.

    Raises:
        UserError: the judge cannot be loaded or asked; replies on disk stay good.
    """
    folder = parent / FOLDER / judge.folder
    with store.locked(folder):
        store.begin(folder, _record(judge, base))
        where = folder / store.REPLIES
        known = store.read_replies(where, store.engine_key(store.read_run(folder)))
        by_dialogue = [tuple(own) for _, own in groupby(items, key=lambda item: item.dialogue)]
        log_file = store.ReplyLog(where)
        try:
            with progress(f"judge {judge.record.label}", len(items) * _requests(judge)) as bar:
                walks = [walk(own, judge.rubrics, judge.manner) for own in by_dialogue]
                load = partial(_load, judge, folder, log_file, trust_remote_code)
                ratings = play_all(walks, known, log_file, load, judge.kind.concurrency(judge.card), bar)
        finally:
            log_file.close()
        return Judged(judge.record, ratings, _cost(folder, judge.card), store.read_engine(folder).notes)


def ratings_record(task: Task, ratings: Ratings) -> RunRecord:
    """What stands for the judged run where people's ratings are judged: a task and a file."""
    languages = tuple(dict.fromkeys(row.language for row in ratings.rows))
    return RunRecord(
        schema=RUN_SCHEMA,
        name="",
        hash="",
        identity={},
        model=ModelRecord(name="", adapter="", label="", fingerprint={}),
        task=TaskRecord(task.name, task.title, languages, task.strategies, (), ""),
        data=DataRecord((SourceFile(ratings.name, ratings.sha256),), (), ()),
        dialogues=tuple(dict.fromkeys(row.dialogue for row in ratings.rows)),
        protocol=ProtocolRecord(Context.GOLD, Condition.JOINT, {}, {}, 0, None, 0),
        environment=environment(()),
    )


def _requests(judge: Judge) -> int:
    """Requests an item, if every answer can be read at once."""
    return judge.manner.repeats * (2 if judge.manner.expected else 1)


def _record(judge: Judge, base: RunRecord) -> RunRecord:
    """run.json of a judge: its model and identity; task and protocol are those of the judged run."""
    return msgspec.structs.replace(
        base,
        name=judge.folder,
        hash=judge.record.hash,
        identity=dict(judge.identity),
        model=ModelRecord(
            label=judge.record.label,
            fingerprint=judge.identity["fingerprint"],
            **public_fields(judge.card, judge.kind),
        ),
        environment=environment(judge.kind.packages),
        engine=None,
    )


def _load(judge: Judge, folder: Path, log_file: store.ReplyLog, trust_remote_code: bool) -> LoadedAdapter:
    before = store.read_engine(folder).facts
    loaded = judge.kind.load(Setting(judge.card, {}, trust_remote_code=trust_remote_code, before=before))
    try:
        log_file.engine = store.check_engine(folder, EngineRecord(dict(loaded.facts), loaded.notes))
    except BaseException:
        loaded.adapter.close()  # its engine may be a process of its own
        raise
    meter = Meter(folder / store.SESSIONS, loaded.devices)
    return msgspec.structs.replace(loaded, adapter=Metered(loaded.adapter, meter))


def _cost(folder: Path, card: ModelCard) -> Cost:
    key = store.engine_key(store.read_run(folder))
    replies = [line for line in store.read_lines(folder / store.REPLIES, StoredReply).values if line.engine == key]
    return cost_of(replies, store.read_lines(folder / store.SESSIONS, Session).values, card.price)
