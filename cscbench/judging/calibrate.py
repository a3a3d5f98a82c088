"""How far a judge agrees with people, whether it is fit, and whether it has drifted."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev

import msgspec

from cscbench import __version__
from cscbench.asking import files, store
from cscbench.asking.cost import Cost
from cscbench.judging.bias import Score, kappa, kendall, spearman
from cscbench.judging.panel import JudgeRun
from cscbench.judging.ratings import Ratings
from cscbench.scoring.bootstrap import Resampling, estimate_by_cluster
from cscbench.values import Estimate, Frozen, JudgeRecord, UserError

SCHEMA = "cscbench/calibration/1"
FILE = "calibration.json"

# Fit: so much of the order must be right, more than chance on the lower bound, and no more answers may be missing.
ORDER, CHANCE, MISSING = 75.0, 50.0, 20.0
# Drift: the mean must have moved by this many stars, or single ratings by that many, beyond what chance explains.
SHIFT, CHANGE = 0.25, 0.5


class Rated(Frozen, frozen=True):
    """One row: what people and the judge gave; `score` is null where it is missing."""

    dialogue: str
    version: str
    rating: float
    score: float | None


class Map(Frozen, frozen=True):
    """A monotone map from judge stars to human ones: linear between the points, flat outside (isotonic regression)."""

    judge: tuple[float, ...]
    human: tuple[float, ...]


class JudgeDrift(Frozen, frozen=True):
    """Now less then, over the rows that were rated both times, in stars; `alarms` are reasons, none: no drift.

    `same_judge`: card, weights, rubric and way of asking are those of then.
    """

    same_judge: bool
    n: int
    shift: Estimate | None
    change: Estimate | None
    alarms: tuple[str, ...]


class Calibration(Frozen, frozen=True):
    """A judge against people. Estimates are null where they have no value.

    `order` is the share of pairs of rows with different human ratings that the judge puts in the same order, ties half,
    in per cent. `mae` is in stars. `repeat_deviation` is the mean standard deviation of repeated answers. `unfit` has
    reasons, none: the judge is fit.
    """

    schema: str
    cscbench: str
    judge: JudgeRecord
    ratings: str
    sha256: str
    n: int
    missing: int
    failed: int
    order: Estimate | None
    spearman: Estimate | None
    kendall: Estimate | None
    kappa: Estimate | None
    mae: Estimate | None
    repeat_deviation: float | None
    map: Map | None
    unfit: tuple[str, ...]
    drift: JudgeDrift | None
    rows: tuple[Rated, ...]
    cost: Cost


def calibrate(ratings: Ratings, judged: JudgeRun, before: Calibration | None, resampling: Resampling) -> Calibration:
    """Compare a judge's ratings of people's rows with theirs, and with an earlier calibration of the same rows.

    Raises:
        UserError: the earlier calibration was made on other rows, or of another judge.
    """
    rows = tuple(
        Rated(row.dialogue, row.version, row.rating, one.score)
        for row, one in zip(ratings.rows, judged.ratings, strict=True)
    )
    points = [(row.dialogue, (row.score, row.rating)) for row in rows if row.score is not None]
    order = estimate_by_cluster(points, ordered, resampling)
    missing = len(rows) - len(points)
    spread = [stdev(rating.samples) for rating in judged.ratings if len(rating.samples) > 1]
    return Calibration(
        schema=SCHEMA,
        cscbench=__version__,
        judge=judged.judge,
        ratings=ratings.name,
        sha256=ratings.sha256,
        n=len(rows),
        missing=missing,
        failed=sum(1 for rating in judged.ratings if rating.error),
        order=order,
        spearman=estimate_by_cluster(points, spearman, resampling),
        kendall=estimate_by_cluster(points, kendall, resampling),
        kappa=estimate_by_cluster(points, kappa, resampling),
        mae=estimate_by_cluster(
            points, lambda found: fmean(abs(score - rating) for score, rating in found), resampling
        ),
        repeat_deviation=fmean(spread) if spread else None,
        map=_isotonic([point for _, point in points]),
        unfit=_unfit(order, missing, len(rows)),
        drift=None if before is None else _drift(ratings, judged, rows, before, resampling),
        rows=rows,
        cost=judged.cost,
    )


def ordered(points: Sequence[Score]) -> float | None:
    """Per cent of pairs with different second values that the first values order alike, ties half; None without any."""
    right = [
        0.5 if one[0] == other[0] else float((one[0] < other[0]) == (one[1] < other[1]))
        for one, other in combinations(points, 2)
        if one[1] != other[1]
    ]
    return 100 * fmean(right) if right else None


def _unfit(order: Estimate | None, missing: int, count: int) -> tuple[str, ...]:
    reasons = []
    if 100 * missing > MISSING * count:
        reasons.append(f"{missing} of {count} ratings are missing: at most {MISSING:g} % may be")
    if order is None:
        reasons.append("nothing that it rated can be ordered")
    elif order.value < ORDER:
        reasons.append(f"{order.value:.0f} % of the pairs are in people's order: at least {ORDER:g} % must be")
    elif order.low is None or order.low <= CHANCE:
        reasons.append(f"its order is not shown to be better than chance ({CHANCE:g} %): rate more dialogues")
    return tuple(reasons)


def _isotonic(points: Sequence[Score]) -> Map | None:
    """Isotonic regression by scikit-learn (Zadrozny and Elkan 2002); None for fewer than two points."""
    from sklearn.isotonic import IsotonicRegression

    if len(points) < 2:
        return None
    found = IsotonicRegression(out_of_bounds="clip").fit(*zip(*points, strict=True))
    return Map(tuple(map(float, found.X_thresholds_)), tuple(map(float, found.y_thresholds_)))


def _drift(
    ratings: Ratings, judged: JudgeRun, rows: Sequence[Rated], before: Calibration, resampling: Resampling
) -> JudgeDrift:
    if before.sha256 != ratings.sha256:
        raise UserError(f"the earlier calibration is of other ratings ({before.ratings}): drift needs the same ones")
    if before.judge.label != judged.judge.label:
        raise UserError(f"the earlier calibration is of the judge {before.judge.label}: drift is of one judge")
    if len(before.rows) != len(rows):
        raise UserError(
            f"the earlier calibration has {len(before.rows)} rows, its ratings {len(rows)}: make it anew with "
            "`cscbench calibrate judge`"
        )
    both = [
        (now.dialogue, now.score - then.score)
        for now, then in zip(rows, before.rows, strict=True)
        if now.score is not None and then.score is not None
    ]
    shift = estimate_by_cluster(both, fmean, resampling)
    change = estimate_by_cluster(both, lambda found: fmean(map(abs, found)), resampling)
    alarms = []
    if shift and abs(shift.value) >= SHIFT and _beyond_chance(shift):
        alarms.append(f"the mean moved by {shift.value:+.2f} stars")
    if change and change.low is not None and change.low > CHANGE:
        alarms.append(f"single ratings moved by {change.value:.2f} stars on average")
    missing = sum(row.score is None for row in rows) - before.missing
    if 100 * missing > MISSING * len(rows):
        alarms.append(f"{missing} more ratings are missing")
    return JudgeDrift(before.judge.hash == judged.judge.hash, len(both), shift, change, tuple(alarms))


def _beyond_chance(found: Estimate) -> bool:
    return found.low is not None and found.high is not None and not found.low <= 0 <= found.high


def read(path: Path) -> Calibration:
    """A calibration.json.

    Raises:
        UserError: there is none, it is of another version, or it is damaged.
    """
    return store.read_value(path, Calibration, "a calibration", "make it again with `cscbench calibrate judge`", SCHEMA)


def write(path: Path, found: Calibration) -> None:
    """calibration.json, by rename."""
    files.write_json(path, msgspec.to_builtins(found))
