"""Export metrics and turns as tables: CSV (safe to open in a spreadsheet), Parquet, LaTeX."""

import csv
import io
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import msgspec

from cscbench.content.extras import require_extra
from cscbench.publishing.export import ExportedRun, Files
from cscbench.publishing.export.latex import latex_table
from cscbench.publishing.formats import csv_safe
from cscbench.values import ScoredPair

_RUN = ("run", "model", "task", "context", "condition")
METRIC_HEAD = (*_RUN, "metric", "value", "low", "high", "n", "higher_is_better", "signature")
_PAIR = tuple(ScoredPair.__struct_fields__)
TURN_HEAD = ("run", "model", *_PAIR)
PRINTED_HEAD = ("model", "task", "context", "condition", "metric", "value", "95% CI", "turns")


def metric_rows(runs: Sequence[ExportedRun]) -> list[tuple[Any, ...]]:
    """Return a row per run and metric, with the columns of METRIC_HEAD."""
    return [
        (*_run_columns(run), m.name, m.value, m.low, m.high, m.n, m.higher_is_better, m.signature)
        for run in runs
        for m in run.results.metrics
    ]


def turn_rows(runs: Sequence[ExportedRun]) -> list[tuple[Any, ...]]:
    """Return a row per run and supporter turn, with the columns of TURN_HEAD."""
    return [
        (*_run_columns(run)[:2], *(msgspec.to_builtins(getattr(pair, field)) for field in _PAIR))
        for run in runs
        for pair in run.pairs
    ]


def _run_columns(run: ExportedRun) -> tuple[str, ...]:
    results, protocol = run.results, run.results.protocol
    return results.run.name, results.model.label, results.task.name, protocol.context.value, protocol.condition.value


def printed_rows(runs: Sequence[ExportedRun]) -> list[tuple[str, ...]]:
    """Return a row of text per run and metric, with the columns of PRINTED_HEAD."""
    rows = []
    for run in runs:
        for m in run.results.metrics:
            interval = "" if m.low is None or m.high is None else f"{m.low:.2f} to {m.high:.2f}"
            rows.append((*_run_columns(run)[1:], m.name, f"{m.value:.2f}", interval, str(m.n)))
    return rows


def csv_files(runs: Sequence[ExportedRun]) -> Files:
    """Return metrics.csv and turns.csv; an apostrophe precedes texts that a spreadsheet would run."""
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
    """Return metrics.parquet and turns.parquet, with unchanged texts."""
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
    """Return metrics.tex, a tabular."""
    return {PurePosixPath("metrics.tex"): latex_table(PRINTED_HEAD, [("", printed_rows(runs))], range(5, 8)).encode()}
