"""Calibrate a judge: how well it agrees with people, whether it is fit, and whether it has drifted."""

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

# Fit: the minimum % of pairs in the right order, the % its lower bound must exceed, the maximum % of missing ratings.
ORDER, CHANCE, MISSING = 75.0, 50.0, 20.0
# Drift: the mean, or single ratings, changed by this many stars, beyond what chance explains.
SHIFT, CHANGE = 0.25, 0.5


class Rated(Frozen, frozen=True):
    """One row: people's rating and the judge's score, which is null if it is missing."""

    dialogue: str
    version: str
    rating: float
    score: float | None


class Map(Frozen, frozen=True):
    """A monotone map from judge stars to human ones: linear between the points, flat outside (isotonic regression)."""

    judge: tuple[float, ...]
    human: tuple[float, ...]


class JudgeDrift(Frozen, frozen=True):
    """The change in stars since an earlier calibration, over the rows rated both times; no drift if `alarms` is empty.

    `same_judge`: card, weights, rubric and protocol are unchanged.
    """

    same_judge: bool
    n: int
    shift: Estimate | None
    change: Estimate | None
    alarms: tuple[str, ...]


class Calibration(Frozen, frozen=True):
    """A judge compared with people. Undefined estimates are null.

    `order` is the % of pairs of rows with different human ratings that the judge puts in the same order; ties count
    half. `mae` is in stars. `repeat_deviation` is the mean standard deviation of repeated answers. `unfit` lists
    reasons; the judge is fit if it is empty.
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


def calibrate(ratings: Ratings, judged: JudgeRun, earlier: Calibration | None, resampling: Resampling) -> Calibration:
    """Compare a judge's ratings with people's, and with an earlier calibration on the same rows.

    Raises:
        UserError: the earlier calibration is for other rows or another judge.
    """
    rows = tuple(
        Rated(human.dialogue, human.version, human.rating, rating.score)
        for human, rating in zip(ratings.rows, judged.ratings, strict=True)
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
            points, lambda sample: fmean(abs(score - rating) for score, rating in sample), resampling
        ),
        repeat_deviation=fmean(spread) if spread else None,
        map=_isotonic([point for _, point in points]),
        unfit=_unfit(order, missing, len(rows)),
        drift=None if earlier is None else _drift(ratings, judged, rows, earlier, resampling),
        rows=rows,
        cost=judged.cost,
    )


def ordered(points: Sequence[Score]) -> float | None:
    """Return the % of pairs with different ratings that the scores put in the same order, ties half; or None.

    Points are (score, rating).
    """
    agreements = [
        0.5 if left[0] == right[0] else float((left[0] < right[0]) == (left[1] < right[1]))
        for left, right in combinations(points, 2)
        if left[1] != right[1]
    ]
    return 100 * fmean(agreements) if agreements else None


def _unfit(order: Estimate | None, missing: int, count: int) -> tuple[str, ...]:
    reasons = []
    if 100 * missing > MISSING * count:
        reasons.append(f"{missing} of {count} ratings are missing (allowed: {MISSING:g}%)")
    if order is None:
        reasons.append("its ratings contain no pair to order: rate more rows")
    elif order.value < ORDER:
        reasons.append(f"{order.value:.0f}% of the pairs are in people's order (required: {ORDER:g}%)")
    elif order.low is None or order.low <= CHANCE:
        reasons.append(f"its order is not significantly better than chance ({CHANCE:g}%): rate more dialogues")
    return tuple(reasons)


def _isotonic(points: Sequence[Score]) -> Map | None:
    """Fit isotonic regression, from scikit-learn (Zadrozny and Elkan 2002); None for fewer than two points."""
    from sklearn.isotonic import IsotonicRegression

    if len(points) < 2:
        return None
    regression = IsotonicRegression(out_of_bounds="clip").fit(*zip(*points, strict=True))
    return Map(tuple(map(float, regression.X_thresholds_)), tuple(map(float, regression.y_thresholds_)))


def _drift(
    ratings: Ratings, judged: JudgeRun, rows: Sequence[Rated], earlier: Calibration, resampling: Resampling
) -> JudgeDrift:
    if earlier.sha256 != ratings.sha256:
        raise UserError(f"the earlier calibration used other ratings ({earlier.ratings}): use the same file of ratings")
    if earlier.judge.label != judged.judge.label:
        raise UserError(f"the earlier calibration is for the judge {earlier.judge.label}: compare the same judge")
    if len(earlier.rows) != len(rows):
        raise UserError(
            f"the earlier calibration has {len(earlier.rows)} rows, its ratings {len(rows)}: create it again with "
            "`cscbench calibrate judge`"
        )
    changes = [
        (new.dialogue, new.score - old.score)
        for new, old in zip(rows, earlier.rows, strict=True)
        if new.score is not None and old.score is not None
    ]
    shift = estimate_by_cluster(changes, fmean, resampling)
    change = estimate_by_cluster(changes, lambda sample: fmean(map(abs, sample)), resampling)
    alarms = []
    if shift and abs(shift.value) >= SHIFT and _beyond_chance(shift):
        alarms.append(f"the mean changed by {shift.value:+.2f} stars")
    if change and change.low is not None and change.low > CHANGE:
        alarms.append(f"single ratings changed by {change.value:.2f} stars on average")
    missing = sum(row.score is None for row in rows) - earlier.missing
    if 100 * missing > MISSING * len(rows):
        alarms.append(f"{missing} more ratings are missing")
    return JudgeDrift(earlier.judge.hash == judged.judge.hash, len(changes), shift, change, tuple(alarms))


def _beyond_chance(shift: Estimate) -> bool:
    return shift.low is not None and shift.high is not None and not shift.low <= 0 <= shift.high


def read(path: Path) -> Calibration:
    """Read a calibration.json.

    Raises:
        UserError: it is missing, has another version, or is damaged.
    """
    hint = "create it again with `cscbench calibrate judge`"
    return store.read_value(path, Calibration, "a calibration folder", hint, SCHEMA)


def write(path: Path, calibration: Calibration) -> None:
    """Write a calibration.json atomically."""
    files.write_json(path, msgspec.to_builtins(calibration))
