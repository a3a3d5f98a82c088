"""Format a comparison as rows of text."""

from typing import TYPE_CHECKING

from cscbench.scoring.bootstrap import Interval

if TYPE_CHECKING:
    from cscbench.comparing.compare import Comparison, ComparisonRow, MetricTable

HEAD = (
    "metric",
    "run",
    "value",
    "95% CI",
    "difference",
    "95% CI",
    "p (Holm)",
    "p bootstrap",
    "wins",
    "MDE",
    "group",
    "verdict",
)
NUMBERS = range(2, 11)


def rows(comparison: "Comparison") -> list[tuple[str, ...]]:
    """Return a row per metric and run."""
    return [_row(metric, row) for metric in comparison.metrics for row in metric.rows]


def _row(metric: "MetricTable", row: "ComparisonRow") -> tuple[str, ...]:
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
        f"{100 * paired.wins:.0f}%" if paired and paired.wins is not None else "",
        "" if row.detectable is None else f"{row.detectable:.2f}",
        "" if row.group is None else str(row.group),
        row.verdict.value,
    )


def _interval(interval: Interval | None, sign: str) -> str:
    return "" if interval is None else f"{interval[0]:{sign}.2f} to {interval[1]:{sign}.2f}"


def p_value(value: float | None) -> str:
    """Format a p-value; an empty string for None."""
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
