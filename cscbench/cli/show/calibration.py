"""What the terminal shows of a calibration."""

from collections.abc import Sequence

from cscbench.cli.show.results import table
from cscbench.judging.calibrate import Calibration
from cscbench.values import Estimate


def show_calibration(calibration: Calibration) -> None:
    """Print the agreement with people, the ratings side by side, and the verdict in words."""
    rows = [
        ("pairs in people's order, %", _estimate(calibration.order)),
        ("Spearman", _estimate(calibration.spearman)),
        ("Kendall tau-b", _estimate(calibration.kendall)),
        ("weighted kappa", _estimate(calibration.kappa)),
        ("mean absolute error, stars", _estimate(calibration.mae)),
        (
            "repeats differ by, stars",
            "" if calibration.repeat_deviation is None else f"{calibration.repeat_deviation:.2f}",
        ),
        ("ratings missing", f"{calibration.missing} of {calibration.n}"),
    ]
    table(f"{calibration.judge.label} against {calibration.ratings}", ("agreement", "value, 95%"), rows, numbers=(1,))
    if any(row.version for row in calibration.rows):
        _show_versions(calibration)
    lines = [f"{'unfit' if calibration.unfit else 'fit'}: {calibration.judge.label}"]
    lines += [f"  {reason}" for reason in calibration.unfit]
    if calibration.drift is not None:
        lines.append(f"{'DRIFT' if calibration.drift.alarms else 'no drift shown'}, over {calibration.drift.n} ratings")
        lines += [f"  {alarm}" for alarm in calibration.drift.alarms]
        lines += (
            []
            if calibration.drift.same_judge
            else ["  its card, weights, rubric or versions differ from the earlier calibration"]
        )
    print("\n".join(lines))  # noqa: T201 - standard output is this module's purpose


def _show_versions(calibration: Calibration) -> None:
    """Print the mean stars of each version, in the order of people's ratings."""
    versions = sorted({row.version for row in calibration.rows}, key=lambda name: -_mean(_ratings(calibration, name)))
    rows = []
    for version in versions:
        scores = [row.score for row in calibration.rows if row.version == version and row.score is not None]
        mean = f"{_mean(scores):.2f}" if scores else "missing"
        rows.append((version, f"{_mean(_ratings(calibration, version)):.2f}", mean))
    table("", ("version", "people", "judge"), rows, numbers=(1, 2))


def _ratings(calibration: Calibration, version: str) -> list[float]:
    return [row.rating for row in calibration.rows if row.version == version]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "none"
    return f"{estimate.value:.2f}" + ("" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]")
