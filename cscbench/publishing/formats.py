"""Format a comparison as Markdown or CSV; names of models and cards are escaped."""

import csv
import io
import re
from collections.abc import Sequence

from cscbench.comparing.compare import Comparison

CSV_HEAD = (
    *("metric", "run", "value", "low", "high", "difference", "difference_low", "difference_high"),
    *("p_holm", "p", "p_bootstrap", "wins", "detectable", "group", "verdict"),
)
# A spreadsheet runs a cell that starts with one of these as a formula.
_FORMULA = re.compile(r"^\s*[=+\-@\t\r]")


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a pipe table."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(markdown_text(cell) for cell in cells) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, lines)]) + "\n"


def markdown_text(text: str) -> str:
    """Return the text escaped for Markdown, on one line: no markup, HTML or formula."""
    return re.sub(r"([\\`*_\[\]<>|#!~$])", r"\\\1", " ".join(text.split())).replace("&", "&amp;")


def as_csv(comparison: Comparison) -> str:
    """Return RFC 4180 CSV with full-precision numbers; names that a spreadsheet would run get an apostrophe."""
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow(CSV_HEAD)
    for metric in comparison.metrics:
        for row in metric.rows:
            pair = row.paired
            low, high = row.interval or (None, None)
            below, above = (pair.interval if pair else None) or (None, None)
            tests = (row.p, pair.p, pair.p_bootstrap, pair.wins) if pair else (None,) * 4
            ends = (row.detectable, row.group, row.verdict.value)
            difference = pair.difference if pair else None
            names = (csv_safe(metric.name), csv_safe(row.run))
            writer.writerow((*names, row.value, low, high, difference, below, above, *tests, *ends))
    return sink.getvalue()


def csv_safe(text: str) -> str:
    """Return the text as a CSV cell that no spreadsheet runs as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text
