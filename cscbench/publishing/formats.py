"""A comparison as rows of text, and those as Markdown, LaTeX or CSV; what models and cards are called stays inert."""

import csv
import io
import re
from collections.abc import Sequence

from cscbench.comparing.compare import Comparison, ComparisonRow, MetricTable
from cscbench.scoring.bootstrap import Interval

HEAD = (
    "metric",
    "run",
    "value",
    "95 %",
    "difference",
    "95 %",
    "p (Holm)",
    "p bootstrap",
    "wins",
    "MDE",
    "group",
    "verdict",
)
NUMBERS = range(2, 11)
CSV_HEAD = (
    *("metric", "run", "value", "low", "high", "difference", "difference_low", "difference_high"),
    *("p_holm", "p", "p_bootstrap", "wins", "detectable", "group", "verdict"),
)
# A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA = re.compile(r"^\s*[=+\-@\t\r]")
_LATEX = {
    "\\": r"\textbackslash{}",
    **{char: "\\" + char for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def rows(found: Comparison) -> list[tuple[str, ...]]:
    """A line for each metric and run."""
    return [_row(metric, row) for metric in found.metrics for row in metric.rows]


def _row(metric: MetricTable, row: ComparisonRow) -> tuple[str, ...]:
    name = metric.name if metric.higher_is_better else f"{metric.name} (lower is better)"
    paired = row.paired
    return (
        name,
        row.run,
        f"{row.value:.2f}",
        _interval(row.interval, ""),
        f"{paired.difference:+.2f}" if paired else "",
        _interval(paired.interval, "+") if paired else "",
        p_value(row.p),
        p_value(paired.p_bootstrap) if paired else "",
        f"{100 * paired.wins:.0f} %" if paired and paired.wins is not None else "",
        "" if row.detectable is None else f"{row.detectable:.2f}",
        "" if row.group is None else str(row.group),
        row.verdict.value,
    )


def _interval(interval: Interval | None, sign: str) -> str:
    return "" if interval is None else f"{interval[0]:{sign}.2f} to {interval[1]:{sign}.2f}"


def p_value(value: float | None) -> str:
    """A p value in print; nothing where there is none."""
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A pipe table."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(markdown_text(cell) for cell in cells) + " |"

    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, lines)]) + "\n"


def markdown_text(text: str) -> str:
    """The text as Markdown shows it, on one line: no mark-up, no HTML, no formula."""
    return re.sub(r"([\\`*_\[\]<>|#!~$])", r"\\\1", " ".join(text.split())).replace("&", "&amp;")


def latex(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A booktabs table."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(latex_text(cell) for cell in cells) + r" \\"

    columns = "".join("r" if number in NUMBERS else "l" for number in range(len(head)))
    body = [line(head), r"\midrule", *map(line, lines)]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def latex_text(text: str) -> str:
    """The text as LaTeX prints it, on one line."""
    return "".join(_LATEX.get(char, char) for char in " ".join(text.split()))


def as_csv(found: Comparison) -> str:
    """CSV as RFC 4180 has it, numbers in full; a name that a spreadsheet would run begins with an apostrophe."""
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow(CSV_HEAD)
    for metric in found.metrics:
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
    """The text as a cell of CSV that no spreadsheet runs."""
    return f"'{text}" if _FORMULA.match(text) else text
