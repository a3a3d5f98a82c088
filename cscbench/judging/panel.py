"""A panel of judges: each is resolved before anything runs, and stores its replies in a separate folder."""

from collections.abc import Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import msgspec

from cscbench import __version__
from cscbench.asking import store
from cscbench.asking.budget import Account, Budget
from cscbench.asking.cost import Cost
from cscbench.asking.desk import Desk, Seat, paid_replies, usage_and_cost
from cscbench.asking.engine import play_all
from cscbench.asking.judge_plays import JudgeProtocol, judge_protocol, rate_items
from cscbench.asking.progress import progress
from cscbench.asking.record import (
    RUN_SCHEMA,
    DataRecord,
    ModelRecord,
    ProtocolRecord,
    RunRecord,
    TaskRecord,
    environment,
)
from cscbench.content.cards import resolve_card
from cscbench.content.csconv import SourceFile
from cscbench.content.extras import require_extra, versions
from cscbench.content.hashes import hash8
from cscbench.content.rubrics import Rubric
from cscbench.content.tasks import Task
from cscbench.judging.ratings import Ratings
from cscbench.models.backend import Backend, LoadContext, find_backend, identifying_fields, published_card
from cscbench.values import (
    JUDGE,
    Condition,
    Context,
    Frozen,
    Item,
    JudgeOptions,
    JudgeRecord,
    JudgingRecord,
    Language,
    ModelCard,
    Rating,
    UserError,
)

FOLDER = "judges"


class Judge(Frozen, frozen=True):
    """A resolved judge."""

    card: ModelCard
    backend: Backend
    rubrics: Mapping[Language, Rubric]
    judge_protocol: JudgeProtocol
    identity: Mapping[str, Any]
    record: JudgeRecord

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.record.label}--{self.record.hash}"


class JudgeRun(Frozen, frozen=True):
    """The result of a judge: one rating per item, in order, the cost, and its adapter's notes."""

    judge: JudgeRecord
    ratings: tuple[Rating, ...]
    cost: Cost
    notes: tuple[str, ...]


def resolve_judges(task: Task, languages: Sequence[Language], options: JudgeOptions) -> tuple[Judge, ...]:
    """Resolve the judges of a panel.

    Raises:
        UserError: a card is unknown, cannot judge, or is listed twice, or the task has no rubric.
    """
    if options.cards:
        require_extra("scores", ["krippendorff", "scipy", "sklearn"], "judging")
    if twice := {name for name in options.cards if options.cards.count(name) > 1}:
        raise UserError(f"--judge lists {min(twice)} twice")
    judges = tuple(_resolve(task, languages, name, options) for name in options.cards)
    if len({tuple(codes(judge)) for judge in judges}) > 1:
        raise UserError("the judges' rubrics have different dimensions: use a separate run for each judge")
    return judges


def codes(judge: Judge) -> tuple[str, ...]:
    """Return the dimensions of a judge's rubric."""
    return tuple(dimension.code for dimension in next(iter(judge.rubrics.values())).file.dimensions)


def _resolve(task: Task, languages: Sequence[Language], name: str, options: JudgeOptions) -> Judge:
    card = resolve_card(name)
    backend = find_backend(card.adapter)
    if not backend.generates_text:
        raise UserError(f"--judge {name}: the {card.adapter} adapter does not generate text: choose a model that does")
    if task.rubric is None:
        raise UserError(f"{task.name}: the task has no rubric: add one at tasks/{task.name}/rubrics/default/")
    rubrics = {language: task.rubric(card.prompts, language) for language in languages}
    if len({tuple(dimension.code for dimension in rubric.file.dimensions) for rubric in rubrics.values()}) > 1:
        raise UserError(
            f"{task.name}: the languages of rubric set {card.prompts!r} have different dimensions: use the same codes"
        )
    protocol = judge_protocol(name, options.level, options.repeats, backend.ranks_choices, card.sampling)
    identity = {
        "cscbench": __version__,
        "judge": identifying_fields(card, backend),
        "fingerprint": dict(backend.fingerprint(card)),
        "packages": versions(backend.packages),
        "rubrics": {rubric.name: rubric.sha256 for rubric in rubrics.values()},
        "manner": msgspec.to_builtins(protocol),  # the key is part of the hash of existing runs
    }
    record = JudgeRecord(name, hash8(identity), card.family, protocol.score)
    return Judge(card, backend, rubrics, protocol, identity, record)


def judging_record(judges: Sequence[Judge]) -> JudgingRecord | None:
    """Return the record of a panel for results.json; None for an empty panel."""
    if not judges:
        return None
    rubrics = {rubric.name: rubric.sha256 for judge in judges for rubric in judge.rubrics.values()}
    level = judges[0].judge_protocol.level
    return JudgingRecord(tuple(judge.record for judge in judges), level, codes(judges[0]), rubrics)


def judge_account(judge: Judge, parent: Path, budget: Budget, items: int) -> Account:
    """Open the account of a judge that rates this many items; include what earlier commands paid for below `parent`.

    Raises:
        UserError: its price is in a different currency from another model's in this command.
    """
    paid = paid_replies(parent / FOLDER / judge.folder)
    return budget.account(f"judge {judge.record.label}", judge.card.price, paid, items * _requests(judge))


def run_judge(
    judge: Judge,
    items: Sequence[Item],
    parent: Path,
    base: RunRecord,
    trust_remote_code: bool,
    account: Account,
) -> JudgeRun:
    """Rate items, continuing where an earlier command stopped; `base` is the record of the judged run.

    Raises:
        UserError: the judge cannot be loaded or asked; replies on disk stay valid.
        BudgetSpent: the budget does not allow a request; replies on disk stay valid.
    """
    folder, record = parent / FOLDER / judge.folder, _record(judge, base)
    with store.locked(folder):
        store.open_run_folder(folder, record)
        items_of_dialogue = [tuple(group) for _, group in groupby(items, key=lambda item: item.dialogue)]
        plays = [rate_items(group, judge.rubrics, judge.judge_protocol) for group in items_of_dialogue]
        seat = Seat(judge.backend, LoadContext(judge.card, {}, trust_remote_code=trust_remote_code))
        with progress(f"judge {judge.record.label}", len(items) * _requests(judge)) as bar:
            desks = {JUDGE: Desk(seat, folder, bar, account)}
            ratings = tuple(chain.from_iterable(play_all(plays, desks, judge.backend.concurrency(judge.card))))
        _, cost = usage_and_cost(folder, judge.card.price)
        return JudgeRun(judge.record, ratings, cost, store.read_engine(folder).notes)


def ratings_record(task: Task, ratings: Ratings) -> RunRecord:
    """Return a substitute for the judged run's record when judging people's ratings: a task and a file."""
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
    """Return the requests per item if every first answer can be read."""
    return judge.judge_protocol.repeats * (2 if judge.judge_protocol.expected else 1)


def _record(judge: Judge, base: RunRecord) -> RunRecord:
    """Return a judge's run.json: its own model and identity, with the task and protocol of the judged run."""
    return msgspec.structs.replace(
        base,
        name=judge.folder,
        hash=judge.record.hash,
        identity=dict(judge.identity),
        model=ModelRecord(
            label=judge.record.label,
            fingerprint=judge.identity["fingerprint"],
            **published_card(judge.card, judge.backend),
        ),
        environment=environment(judge.backend.packages),
        engine=None,
    )
