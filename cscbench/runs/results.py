"""Results: the pairs file, and results.json with its schema."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import msgspec

from cscbench import __version__
from cscbench.asking import files
from cscbench.asking.cost import Cost, Usage
from cscbench.asking.record import DataRecord, ModelRecord, ProtocolRecord, RunRecord
from cscbench.asking.store import PREDICTIONS, RATINGS, RESULTS, SCORES, engine_key, read_lines, read_value
from cscbench.content import parquet
from cscbench.content.extras import require_extra
from cscbench.scoring.plan import ScoringPlan, ScoringRecord
from cscbench.scoring.score import Measured, Scored
from cscbench.values import (
    Count,
    Frozen,
    Language,
    Metric,
    ParseForm,
    Rating,
    ScoredPair,
    Tables,
    UserError,
    read_tables,
)

SCHEMA = "cscbench/results/2"
_REMOVE_BOTH = f"Remove it and {RESULTS}: the `cscbench run` that made them writes both again from the replies on disk"


class RunSummary(Frozen, frozen=True):
    """Which run; `complete` is false where replies failed."""

    name: str
    hash: str
    complete: bool


class TaskSummary(Frozen, frozen=True):
    """Which task, and the languages of the dialogues played."""

    name: str
    title: str
    languages: Annotated[tuple[Language, ...], msgspec.Meta(min_length=1)]


class Counts(Frozen, frozen=True):
    """How many turns there were and what became of them; `faults` are unreadable records of the data."""

    dialogues: Count
    turns: Count
    answered: Count
    failed: Count
    unparsed: Count
    faults: Count


class EngineSummary(Frozen, frozen=True):
    """What answered: the versions of the adapter's packages, and what it found out when it loaded (device, dtype, ...).

    `key` stands in each line of replies.jsonl: `store.engine_key`.
    """

    key: str
    packages: dict[str, str]
    facts: dict[str, str]


class Timing(Frozen, frozen=True):
    """When, and what it took: the only part that differs between equal runs. `cost` is null as `Results.usage` is.

    `judges` has what each judge took, by its label.
    """

    started: str
    finished: str
    cost: Cost | None
    judges: dict[str, Cost] = {}


class Results(Frozen, frozen=True):
    """The content of results.json. `usage` is null where a run was scored again after its replies were lost.

    Raises:
        ValueError: a table has a missing field, or a value of another kind.
    """

    schema: str
    cscbench: str
    run: RunSummary
    model: ModelRecord
    engine: EngineSummary | None
    task: TaskSummary
    data: DataRecord
    protocol: ProtocolRecord
    scoring: ScoringRecord
    counts: Counts
    usage: Usage | None
    parse: dict[ParseForm, Count]
    metrics: tuple[Metric, ...]
    tables: dict[str, Any]
    notes: tuple[str, ...]
    timing: Timing

    def __post_init__(self) -> None:
        read_tables(self.tables)  # whoever reads results finds sound tables

    @property
    def known_tables(self) -> Tables:
        """The tables as values; `tables` keeps all that the file has."""
        return read_tables(self.tables)


def schema() -> dict[str, Any]:
    """The JSON schema of results.json."""
    text = resources.files("cscbench.runs").joinpath("results.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _table(name: str, columns: Mapping[str, Any]) -> bytes:
    require_extra("scores", ["pyarrow"], f"writing {name}")
    import pyarrow
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def write_pairs(folder: Path, pairs: Sequence[ScoredPair]) -> None:
    """predictions.parquet: one row a supporter turn."""
    fields = ScoredPair.__struct_fields__
    columns = {field: [msgspec.to_builtins(getattr(pair, field)) for pair in pairs] for field in fields}
    files.write_atomic(folder / PREDICTIONS, _table(PREDICTIONS, columns))


def read_pairs(folder: Path) -> list[ScoredPair]:
    """The rows of predictions.parquet.

    Raises:
        UserError: there is none, or it is not one of ours.
    """
    require_extra("scores", ["pyarrow"], f"reading {PREDICTIONS}")
    import pyarrow

    path = folder / PREDICTIONS
    try:
        rows = parquet.read(files.read(path)).to_pylist()
        return msgspec.convert(rows, list[ScoredPair])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: finish the run first (the same `cscbench run` continues it)") from None
    except (OSError, pyarrow.ArrowException, msgspec.ValidationError) as error:
        raise UserError(f"{path}: not a predictions file of this version: {error}.\n{_REMOVE_BOTH}") from None


def write_ratings(folder: Path, ratings: Sequence[Rating]) -> None:
    """ratings.jsonl: what judges gave."""
    files.write_atomic(folder / RATINGS, b"".join(msgspec.json.encode(rating) + b"\n" for rating in ratings))


def read_ratings(folder: Path) -> tuple[Rating, ...]:
    """The ratings in ratings.jsonl.

    Raises:
        UserError: there is none, or it is damaged.
    """
    found = read_lines(folder / RATINGS, Rating)
    if found.damaged or not found.values:
        raise UserError(
            f"{folder / RATINGS}: missing or damaged: the `cscbench run --judge` that made it does so again"
        )
    return found.values


def check_pairs(folder: Path, pairs: Sequence[ScoredPair], run: RunRecord, plan: ScoringPlan) -> None:
    """Make sure that the pairs are those of the run in run.json.

    Raises:
        UserError: the file belongs to another run, or was changed.
    """
    codes = {strategy.code for strategy in plan.strategies.strategies}
    dialogues, turns = set(run.dialogues), set()
    wrong = ""
    for row, pair in enumerate(pairs):
        if pair.dialogue not in dialogues:
            wrong = f"row {row}, dialogue: {pair.dialogue!r} is none of the run's"
        elif (pair.dialogue, pair.turn) in turns:
            wrong = f"row {row}: turn {pair.turn} of {pair.dialogue!r} is there twice"
        elif pair.language not in plan.languages:
            wrong = f"row {row}, language: {pair.language!s} is none of the run's"
        elif pair.reference_strategy not in codes or pair.strategy not in {*codes, None}:
            wrong = f"row {row}, strategy: {pair.reference_strategy!r} or {pair.strategy!r} is none of the task's"
        turns.add((pair.dialogue, pair.turn))
    absent = dialogues - {pair.dialogue for pair in pairs}
    if absent and not wrong:
        wrong = f"{len(absent)} of the run's dialogues have no row, {min(absent)!r} among them"
    if wrong:
        raise UserError(f"{folder / PREDICTIONS}: not the predictions of {run.name}: {wrong}.\n{_REMOVE_BOTH}")


def scores_file(pairs: Sequence[ScoredPair], measured: Sequence[Measured]) -> bytes:
    """scores.parquet: dialogue and turn, and each scorer's sufficient statistics as `<scorer>.<column>`."""
    answered = [pair for pair in pairs if pair.form is not ParseForm.FAILED]
    columns: dict[str, Any] = {
        "dialogue": [pair.dialogue for pair in answered],
        "turn": [pair.turn for pair in answered],
    }
    for one in measured:
        for number, name in enumerate(one.scorer.columns):
            columns[f"{one.name}.{name}"] = one.rows[:, number]
    return _table(SCORES, columns)


class ScoreTable(Frozen, frozen=True):
    """scores.parquet: (dialogue, turn) of each row, and each scorer's columns as `<scorer>.<column>`."""

    turns: tuple[tuple[str, int], ...]
    columns: Mapping[str, Any]


def read_scores(folder: Path) -> ScoreTable:
    """The sufficient statistics in scores.parquet.

    Raises:
        UserError: there is none, or it is not one of ours.
    """
    require_extra("scores", ["pyarrow"], f"reading {SCORES}")
    import pyarrow

    path = folder / SCORES
    hint = f"`cscbench score {folder}` writes it anew"
    try:
        found = parquet.read(files.read(path))
        dialogues, turns = found["dialogue"].to_pylist(), found["turn"].to_pylist()
        columns = {name: found[name].to_numpy() for name in found.column_names if "." in name}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: {hint}") from None
    except (OSError, KeyError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: not a scores file of this version: {error}: {hint}") from None
    return ScoreTable(tuple(zip(dialogues, turns, strict=True)), columns)


def _count(pairs: Sequence[ScoredPair], run: RunRecord) -> Counts:
    failed = sum(1 for pair in pairs if pair.form is ParseForm.FAILED)
    return Counts(
        dialogues=len({pair.dialogue for pair in pairs}),
        turns=len(pairs),
        answered=len(pairs) - failed,
        failed=failed,
        unparsed=sum(1 for pair in pairs if pair.form is ParseForm.UNPARSED),
        faults=len(run.data.faults),
    )


def build(
    run: RunRecord,
    pairs: Sequence[ScoredPair],
    scored: Scored,
    scoring: ScoringRecord,
    usage: Usage | None,
    timing: Timing,
    notes: tuple[str, ...] = (),
) -> Results:
    """The results of a run, with `notes` beside the run's own. All but `timing` is the same for the same inputs."""
    counts = _count(pairs, run)
    return Results(
        schema=SCHEMA,
        cscbench=__version__,
        run=RunSummary(run.name, run.hash, counts.failed == 0),
        model=run.model,
        engine=_engine(run),
        task=TaskSummary(run.task.name, run.task.title, run.task.languages),
        data=run.data,
        protocol=run.protocol,
        scoring=scoring,
        counts=counts,
        usage=usage,
        parse=dict(sorted(Counter(pair.form for pair in pairs).items())),
        metrics=scored.metrics,
        tables=dict(scored.tables),
        notes=(*run.data.notes, *(run.engine.notes if run.engine else ()), *notes),
        timing=timing,
    )


def _engine(run: RunRecord) -> EngineSummary | None:
    if run.engine is None:
        return None
    return EngineSummary(engine_key(run), _packages(run), run.engine.facts)


def _packages(run: RunRecord) -> dict[str, str]:
    try:
        return msgspec.convert(run.identity.get("packages"), dict[str, str])
    except msgspec.ValidationError as error:
        raise UserError(f"run.json of {run.name}: field `identity.packages`: {error}: run it again") from None


def write(folder: Path, results: Results, scores: bytes) -> None:
    """results.json and the scores.parquet that it is about, as one set.

    Raises:
        UserError: the disk is full.
    """
    files.write_set(folder, {SCORES: scores, RESULTS: files.json_bytes(msgspec.to_builtins(results))})


def read(folder: Path) -> Results:
    """results.json of a run folder.

    Raises:
        UserError: there is none, it is of another version, or it is damaged.
    """
    hint = f"remove it, and `cscbench score {folder}` writes it anew"
    return read_value(folder / RESULTS, Results, "a finished run", hint, SCHEMA)


def read_file(path: Path) -> Results:
    """A results.json without its run folder.

    Raises:
        UserError: it is of another version, or it is damaged.
    """
    return read_value(path, Results, "a results.json", "take it anew from its run", SCHEMA)


def failed_ratings(results: Results) -> int:
    """For how many ratings an answer did not come."""
    return sum(row.failed for row in results.known_tables.judges)
