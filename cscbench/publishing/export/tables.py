"""Metrics and turns as plain tables: CSV that no spreadsheet computes, Parquet, LaTeX."""

import csv
import io
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec

from cscbench.content.extras import require_extra
from cscbench.publishing.export import ExportedRun, Files
from cscbench.publishing.formats import csv_safe, latex
from cscbench.values import ScoredPair

_RUN = ("run", "model", "task", "context", "condition")
METRIC_HEAD = (*_RUN, "metric", "value", "low", "high", "n", "higher_is_better", "signature")
_PAIR = tuple(ScoredPair.__struct_fields__)
TURN_HEAD = ("run", "model", *_PAIR)
_LATEX_HEAD = ("model", "task", "context", "condition", "metric", "value", "95 %", "turns")


def metric_rows(runs: Sequence[ExportedRun]) -> list[tuple[Any, ...]]:
    """A row a run and metric, as METRIC_HEAD has it."""
    return [
        (*_of_run(run), m.name, m.value, m.low, m.high, m.n, m.higher_is_better, m.signature)
        for run in runs
        for m in run.results.metrics
    ]


def turn_rows(runs: Sequence[ExportedRun]) -> list[tuple[Any, ...]]:
    """A row a run and supporter turn, as TURN_HEAD has it."""
    return [
        (*_of_run(run)[:2], *(msgspec.to_builtins(getattr(pair, field)) for field in _PAIR))
        for run in runs
        for pair in run.pairs
    ]


def _of_run(run: ExportedRun) -> tuple[str, ...]:
    found = run.results
    protocol = found.protocol
    return found.run.name, found.model.label, found.task.name, protocol.context.value, protocol.condition.value


def csv_files(runs: Sequence[ExportedRun]) -> Files:
    """metrics.csv and turns.csv; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    return {
        PurePosixPath("metrics.csv"): _csv(METRIC_HEAD, metric_rows(runs)),
        PurePosixPath("turns.csv"): _csv(TURN_HEAD, turn_rows(runs)),
    }


def _csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([csv_safe(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue().encode()


def parquet_files(runs: Sequence[ExportedRun]) -> Files:
    """metrics.parquet and turns.parquet, texts as they are."""
    return {
        PurePosixPath("metrics.parquet"): _parquet(METRIC_HEAD, metric_rows(runs)),
        PurePosixPath("turns.parquet"): _parquet(TURN_HEAD, turn_rows(runs)),
    }


def _parquet(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    require_extra("report", ["pyarrow"], "writing Parquet")
    import pyarrow
    import pyarrow.parquet

    columns = {name: [row[at] for row in rows] for at, name in enumerate(head)}
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def latex_files(runs: Sequence[ExportedRun]) -> Files:
    """metrics.tex: one tabular (needs booktabs)."""
    rows = []
    for run in runs:
        _, model, *played = _of_run(run)
        for m in run.results.metrics:
            interval = "" if m.low is None or m.high is None else f"{m.low:.2f} to {m.high:.2f}"
            rows.append((model, *played, m.name, f"{m.value:.2f}", interval, str(m.n)))
    return {PurePosixPath("metrics.tex"): latex(_LATEX_HEAD, rows).encode()}
