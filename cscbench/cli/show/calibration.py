"""What the terminal shows of a calibration."""

from collections.abc import Sequence

from cscbench.cli.show.results import table
from cscbench.judging.calibrate import Calibration
from cscbench.values import Estimate


def show_calibration(found: Calibration) -> None:
    """Agreement with people, the ratings side by side, and the verdict in words."""
    rows = [
        ("pairs in people's order, %", _estimate(found.order)),
        ("Spearman", _estimate(found.spearman)),
        ("Kendall tau-b", _estimate(found.kendall)),
        ("weighted kappa", _estimate(found.kappa)),
        ("mean absolute error, stars", _estimate(found.mae)),
        ("repeats differ by, stars", "" if found.repeat_deviation is None else f"{found.repeat_deviation:.2f}"),
        ("ratings missing", f"{found.missing} of {found.n}"),
    ]
    table(f"{found.judge.label} against {found.ratings}", ("agreement", "value, 95 %"), rows, numbers=(1,))
    if any(row.version for row in found.rows):
        _show_versions(found)
    lines = [f"{'unfit' if found.unfit else 'fit'}: {found.judge.label}"]
    lines += [f"  {reason}" for reason in found.unfit]
    if found.drift is not None:
        lines.append(f"{'DRIFT' if found.drift.alarms else 'no drift shown'}, over {found.drift.n} ratings")
        lines += [f"  {alarm}" for alarm in found.drift.alarms]
        lines += [] if found.drift.same_judge else ["  its card, weights, rubric or versions are not those of then"]
    print("\n".join(lines))  # noqa: T201 - standard output is this module's purpose


def _show_versions(found: Calibration) -> None:
    """Mean stars of each version, in the order that people gave."""
    versions = sorted({row.version for row in found.rows}, key=lambda name: -_mean(_ratings(found, name)))
    rows = []
    for version in versions:
        scores = [row.score for row in found.rows if row.version == version and row.score is not None]
        mean = f"{_mean(scores):.2f}" if scores else "missing"
        rows.append((version, f"{_mean(_ratings(found, version)):.2f}", mean))
    table("", ("version", "people", "judge"), rows, numbers=(1, 2))


def _ratings(found: Calibration, version: str) -> list[float]:
    return [row.rating for row in found.rows if row.version == version]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _estimate(found: Estimate | None) -> str:
    if found is None:
        return "none"
    return f"{found.value:.2f}" + ("" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}]")
