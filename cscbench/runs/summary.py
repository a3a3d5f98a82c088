"""A run in a few lines: its metrics as rows, and rows as an aligned table of text or HTML."""

import io
from collections.abc import Sequence
from html import escape

from cscbench.runs.results import Results

COLUMNS = ("metric", "value", "95% low", "high", "turns", "better")
NUMBERS = (1, 2, 3, 4)
# Wide enough for a table that goes to a file: it is neither cut nor wrapped.
FILE_WIDTH = 240


def headline(results: Results) -> str:
    """Return the model, the task, and how the dialogues were played."""
    protocol = results.protocol
    return f"{results.model.label} on {results.task.title}: {protocol.context} context, {protocol.condition}"


def metric_rows(results: Results) -> list[tuple[str, ...]]:
    """Return a row a metric under `COLUMNS`; empty cells for an interval that does not exist."""
    return [
        (m.name, _number(m.value), _number(m.low), _number(m.high), str(m.n), "" if m.higher_is_better else "lower")
        for m in results.metrics
    ]


def counts_line(results: Results) -> str:
    """Return how many turns were answered, failed or unreadable."""
    counts = results.counts
    return (
        f"{counts.dialogues} dialogues, {counts.turns} turns: {counts.answered} answered, {counts.failed} failed, "
        f"{counts.unparsed} without a readable strategy; {counts.faults} records of the data could not be read"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def text_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), width: int = FILE_WIDTH
) -> str:
    """Return an aligned table; the columns in `numbers` are flush right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        grid.add_column(Text(column), justify="right" if number in numbers else "left")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    sink = io.StringIO()
    Console(file=sink, width=width, highlight=False, color_system=None, force_jupyter=False).print(grid)
    return sink.getvalue()


def html_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a table for a notebook; every text in it is escaped."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        styles = ["text-align:right" if number in numbers else "text-align:left" for number in range(len(texts))]
        return "".join(
            f'<{tag} style="{style}">{escape(text)}</{tag}>' for style, text in zip(styles, texts, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', columns)}</tr></thead>"
    return f"<table><caption>{escape(title)}</caption>{head}<tbody>{body}</tbody></table>"
