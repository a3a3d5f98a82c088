"""Results: the pairs file, and results.json with its schema."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from cscbench import __version__
from cscbench.errors import UserError
from cscbench.extras import need
from cscbench.records import Form, Metric, Pair
from cscbench.scoring import Measured, Scored
from cscbench.store import PREDICTIONS, RESULTS, SCORES, read_json, trouble, write_atomic, write_json

SCHEMA = "cscbench/results/1"


def schema() -> dict[str, Any]:
    """The JSON schema of results.json."""
    text = files("cscbench").joinpath("results.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _write_table(path: Path, columns: Mapping[str, Any]) -> None:
    need("scores", ["pyarrow"], f"writing {path.name}")
    import pyarrow
    import pyarrow.parquet

    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink, compression="zstd")
    write_atomic(path, sink.getvalue().to_pybytes())


def write_pairs(folder: Path, pairs: Sequence[Pair]) -> None:
    """predictions.parquet: one row a supporter turn."""
    fields = Pair.__struct_fields__
    columns = {field: [msgspec.to_builtins(getattr(pair, field)) for pair in pairs] for field in fields}
    _write_table(folder / PREDICTIONS, columns)


def read_pairs(folder: Path) -> list[Pair]:
    """The rows of predictions.parquet.

    Raises:
        UserError: there is none, or it is not one of ours.
    """
    need("scores", ["pyarrow"], f"reading {PREDICTIONS}")
    import pyarrow
    import pyarrow.parquet

    path = folder / PREDICTIONS
    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
        return msgspec.convert(rows, list[Pair])
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: finish the run first (the same `cscbench run` continues it)") from None
    except OSError as error:
        raise trouble(path, error) from None
    except (pyarrow.ArrowInvalid, msgspec.ValidationError) as error:
        raise UserError(f"{path}: not a predictions file of this version: {error}") from None


def write_scores(folder: Path, pairs: Sequence[Pair], measured: Sequence[Measured]) -> None:
    """scores.parquet: dialogue and turn, and each scorer's sufficient statistics as `<scorer>.<column>`."""
    answered = [pair for pair in pairs if pair.form is not Form.FAILED]
    columns: dict[str, Any] = {
        "dialogue": [pair.dialogue for pair in answered],
        "turn": [pair.turn for pair in answered],
    }
    for one in measured:
        for number, name in enumerate(one.scorer.columns):
            columns[f"{one.name}.{name}"] = one.rows[:, number]
    _write_table(folder / SCORES, columns)


def count_turns(pairs: Sequence[Pair]) -> dict[str, int]:
    """How many turns there were, and what became of them."""
    failed = sum(1 for pair in pairs if pair.form is Form.FAILED)
    return {
        "dialogues": len({pair.dialogue for pair in pairs}),
        "turns": len(pairs),
        "answered": len(pairs) - failed,
        "failed": failed,
        "unparsed": sum(1 for pair in pairs if pair.form is Form.UNPARSED),
    }


def build(
    run: dict[str, Any],
    pairs: Sequence[Pair],
    scored: Scored,
    scoring: dict[str, Any],
    notes: Sequence[str],
    usage: dict[str, int],
    timing: dict[str, Any],
) -> dict[str, Any]:
    """The content of results.json. Everything outside `timing` is the same for the same inputs."""
    counts = count_turns(pairs)
    return {
        "schema": SCHEMA,
        "cscbench": __version__,
        "run": {"name": run["name"], "hash": run["hash"], "complete": counts["failed"] == 0},
        "model": run["model"],
        "task": {key: run["task"][key] for key in ("name", "title", "languages")},
        "data": run["data"],
        "protocol": run["protocol"],
        "scoring": scoring,
        "counts": {**counts, "faults": len(run["data"]["faults"])},
        "usage": usage,
        "parse": dict(sorted(Counter(pair.form.value for pair in pairs).items())),
        "metrics": msgspec.to_builtins(scored.metrics),
        "tables": scored.tables,
        "notes": list(notes),
        "timing": timing,
    }


def write(folder: Path, results: dict[str, Any]) -> None:
    """results.json, last and by rename."""
    write_json(folder / RESULTS, results)


def read(folder: Path) -> dict[str, Any]:
    """results.json of a run folder.

    Raises:
        UserError: there is none, or it is of another version.
    """
    found: dict[str, Any] = read_json(folder / RESULTS, "a finished run")
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise UserError(f"{folder / RESULTS}: not a results file of this version ({SCHEMA}): cscbench score {folder}")
    return found


def find_runs(given: Path) -> list[Path]:
    """The run folder itself, or the finished runs in a folder of runs, by name.

    Raises:
        UserError: neither.
    """
    if (given / RESULTS).exists():
        return [given]
    found = sorted(path.parent for path in given.glob(f"*/{RESULTS}"))
    if not found:
        raise UserError(f"{given}: neither a finished run nor a folder with finished runs (no {RESULTS})")
    return found


def metrics_of(results: Mapping[str, Any]) -> tuple[Metric, ...]:
    """The metrics of a results file as values."""
    return tuple(msgspec.convert(results["metrics"], list[Metric]))
