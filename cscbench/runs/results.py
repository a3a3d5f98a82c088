"""Read and write a run's results: predictions, ratings, scores, and results.json with its schema."""

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
_REMOVE_BOTH = (
    f"Remove it and {RESULTS}, then repeat the `cscbench run` command: it rebuilds both from the saved replies"
)


class RunSummary(Frozen, frozen=True):
    """The run; `complete` is false if replies failed."""

    name: str
    hash: str
    complete: bool


class TaskSummary(Frozen, frozen=True):
    """The task, and the languages of the dialogues played."""

    name: str
    title: str
    languages: Annotated[tuple[Language, ...], msgspec.Meta(min_length=1)]


class Counts(Frozen, frozen=True):
    """The number of turns and their outcomes; `faults` are unreadable records of the data."""

    dialogues: Count
    turns: Count
    answered: Count
    failed: Count
    unparsed: Count
    faults: Count


class EngineSummary(Frozen, frozen=True):
    """The engine: versions of the adapter's packages, and the facts it reported on loading (device, dtype, ...).

    Each line of replies.jsonl has the `key`: `store.engine_key`.
    """

    key: str
    packages: dict[str, str]
    facts: dict[str, str]


class Timing(Frozen, frozen=True):
    """Time and cost: the only part that differs between equal runs. `cost` is null when `Results.usage` is.

    `judges` holds each judge's cost by its label.
    """

    started: str
    finished: str
    cost: Cost | None
    judges: dict[str, Cost] = {}


class Results(Frozen, frozen=True):
    """The content of results.json. `usage` is null if a run was scored again after its replies were lost.

    Raises:
        ValueError: a table lacks a field, or has a value of the wrong type.
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
        read_tables(self.tables)  # readers of results may rely on valid tables

    @property
    def known_tables(self) -> Tables:
        """The tables as typed values; `tables` keeps everything in the file."""
        return read_tables(self.tables)


def schema() -> dict[str, Any]:
    """Return the JSON schema of results.json."""
    text = resources.files("cscbench.runs").joinpath("results.schema.json").read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def _table(name: str, columns: Mapping[str, Any]) -> bytes:
    require_extra("scores", ["pyarrow"], f"writing {name}")
    import pyarrow
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def write_pairs(folder: Path, pairs: Sequence[ScoredPair]) -> None:
    """Write predictions.parquet, a row for each supporter turn."""
    fields = ScoredPair.__struct_fields__
    columns = {field: [msgspec.to_builtins(getattr(pair, field)) for pair in pairs] for field in fields}
    files.write_atomic(folder / PREDICTIONS, _table(PREDICTIONS, columns))


def read_pairs(folder: Path) -> list[ScoredPair]:
    """Read predictions.parquet.

    Raises:
        UserError: the file is missing or damaged.
    """
    require_extra("scores", ["pyarrow"], f"reading {PREDICTIONS}")
    import pyarrow

    path = folder / PREDICTIONS
    try:
        rows = parquet.read(files.read(path)).to_pylist()
        return msgspec.convert(rows, list[ScoredPair])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: repeat the `cscbench run` command to finish the run") from None
    except (OSError, pyarrow.ArrowException, msgspec.ValidationError) as error:
        raise UserError(f"{path}: not a predictions file of this version: {error}.\n{_REMOVE_BOTH}") from None


def write_ratings(folder: Path, ratings: Sequence[Rating]) -> None:
    """Write ratings.jsonl, a line for each rating."""
    files.write_atomic(folder / RATINGS, b"".join(msgspec.json.encode(rating) + b"\n" for rating in ratings))


def read_ratings(folder: Path) -> tuple[Rating, ...]:
    """Read ratings.jsonl.

    Raises:
        UserError: the file is missing or damaged.
    """
    ratings = read_lines(folder / RATINGS, Rating)
    if ratings.damaged or not ratings.values:
        raise UserError(f"{folder / RATINGS}: missing or damaged: repeat its `cscbench run --judge` command")
    return ratings.values


def check_pairs(folder: Path, pairs: Sequence[ScoredPair], run: RunRecord, plan: ScoringPlan) -> None:
    """Check that the pairs belong to the run in run.json.

    Raises:
        UserError: the file belongs to another run, or was edited.
    """
    codes = {strategy.code for strategy in plan.strategies.strategies}
    dialogues, turns = set(run.dialogues), set()
    wrong = ""
    for row, pair in enumerate(pairs):
        if pair.dialogue not in dialogues:
            wrong = f"row {row}, dialogue: {pair.dialogue!r} is not part of the run"
        elif (pair.dialogue, pair.turn) in turns:
            wrong = f"row {row}: turn {pair.turn} of {pair.dialogue!r} appears twice"
        elif pair.language not in plan.languages:
            wrong = f"row {row}, language: {pair.language!s} is not part of the run"
        elif pair.reference_strategy not in codes or pair.strategy not in {*codes, None}:
            wrong = f"row {row}, strategy: {pair.reference_strategy!r} or {pair.strategy!r} is unknown to the task"
        turns.add((pair.dialogue, pair.turn))
    absent = dialogues - {pair.dialogue for pair in pairs}
    if absent and not wrong:
        wrong = f"{len(absent)} of the run's dialogues have no row, for example {min(absent)!r}"
    if wrong:
        raise UserError(f"{folder / PREDICTIONS}: not the predictions of {run.name}: {wrong}.\n{_REMOVE_BOTH}")


def scores_file(pairs: Sequence[ScoredPair], measured: Sequence[Measured]) -> bytes:
    """Return scores.parquet: dialogue, turn, and each scorer's sufficient statistics as `<scorer>.<column>`."""
    answered = [pair for pair in pairs if pair.form is not ParseForm.FAILED]
    columns: dict[str, Any] = {
        "dialogue": [pair.dialogue for pair in answered],
        "turn": [pair.turn for pair in answered],
    }
    for statistics in measured:
        for number, name in enumerate(statistics.scorer.columns):
            columns[f"{statistics.name}.{name}"] = statistics.rows[:, number]
    return _table(SCORES, columns)


class ScoreTable(Frozen, frozen=True):
    """The content of scores.parquet: each row's (dialogue, turn), and each scorer's columns as `<scorer>.<column>`."""

    turns: tuple[tuple[str, int], ...]
    columns: Mapping[str, Any]


def read_scores(folder: Path) -> ScoreTable:
    """Read scores.parquet.

    Raises:
        UserError: the file is missing or damaged.
    """
    require_extra("scores", ["pyarrow"], f"reading {SCORES}")
    import pyarrow

    path = folder / SCORES
    hint = f"`cscbench score {folder}` writes it again"
    try:
        stored = parquet.read(files.read(path))
        dialogues, turns = stored["dialogue"].to_pylist(), stored["turn"].to_pylist()
        columns = {name: stored[name].to_numpy() for name in stored.column_names if "." in name}
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
    """Build the results of a run, adding `notes` to its own. The same inputs give the same results, except `timing`."""
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
    """Write results.json together with its scores.parquet, both or neither.

    Raises:
        UserError: the disk is full.
    """
    files.write_set(folder, {SCORES: scores, RESULTS: files.json_bytes(msgspec.to_builtins(results))})


def read(folder: Path) -> Results:
    """Read results.json of a run folder.

    Raises:
        UserError: the file is missing, damaged or of a newer version.
    """
    hint = f"remove it, then `cscbench score {folder}` writes it again"
    return read_value(folder / RESULTS, Results, "a finished run", hint, SCHEMA)


def read_file(path: Path) -> Results:
    """Read a results.json outside its run folder.

    Raises:
        UserError: the file is damaged or of a newer version.
    """
    return read_value(path, Results, "a results.json", "copy it from its run again", SCHEMA)


def failed_ratings(results: Results) -> int:
    """Count the ratings for which no answer came."""
    return sum(row.failed for row in results.known_tables.judges)
