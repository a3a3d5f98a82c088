"""Intervals by dialogue: turns of one conversation are not independent, so whole dialogues are resampled.

Per-turn sufficient statistics are summed over each dialogue first. A resample is then a row of weights, and the sums of
all resamples are one matrix product, for corpus BLEU as for accuracy.
"""

from collections.abc import Sequence
from enum import StrEnum
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from cscbench.values.frozen import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
else:
    Matrix = Any

LEVEL = 95.0

Interval = tuple[float, float]


class IntervalMethod(StrEnum):
    """How resamples become an interval (Efron and Tibshirani 1993, chapters 13 and 14).

    BCa corrects for bias and skewness; it needs each dialogue's influence as well.
    """

    PERCENTILE = "percentile"
    BCA = "bca"


class Resampling(Frozen, frozen=True):
    """How intervals are made: a bootstrap over dialogues."""

    resamples: int = 1000
    seed: int = 0
    method: IntervalMethod = IntervalMethod.PERCENTILE

    def signature(self) -> str:
        """The part of a metric's signature that says how its interval was made."""
        return f"ci:{LEVEL:g}%,{self.method},expanded,by:dialogue,resamples:{self.resamples},seed:{self.seed}"


def dialogue_numbers(dialogues: Sequence[str]) -> "NDArray[np.int64]":
    """For each turn the number of its dialogue, in order of first appearance."""
    import numpy as np

    order = {name: number for number, name in enumerate(dict.fromkeys(dialogues))}
    return np.array([order[name] for name in dialogues], dtype=np.int64)


def sum_by_dialogue(rows: Matrix, numbers: "NDArray[np.int64]", count: int) -> Matrix:
    """(turns, k) statistics to (dialogues, k) sums."""
    import numpy as np

    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, numbers, rows)
    return sums


def resample_weights(count: int, how: Resampling) -> Matrix:
    """(resamples, dialogues) how often each dialogue is drawn, with replacement, in each resample."""
    import numpy as np

    generator = np.random.default_rng(how.seed)
    return generator.multinomial(count, np.full(count, 1 / count), size=how.resamples).astype(np.float64)


def intervals(
    point: Matrix, drawn: Matrix, jackknife: Matrix, method: IntervalMethod, level: float = LEVEL
) -> list[Interval | None]:
    """Intervals of m values from (resamples, m) draws; None where no resample gave a number.

    `jackknife` has (dialogues, m) values, each without one dialogue; of its values only BCa asks.
    """
    if method is IntervalMethod.PERCENTILE:
        return percentile_interval(drawn, len(jackknife), level)
    columns = zip(point, drawn.T, jackknife.T, strict=True)
    return [_bca(float(own), values, without, level) for own, values, without in columns]


def student(share: float, dialogues: int) -> float:
    """That quantile of Student's t for statistics of so many dialogues, two or more."""
    from scipy.special import stdtrit

    return float(stdtrit(dialogues - 1, share))


def expanded_tail(dialogues: int, level: float = LEVEL) -> float:
    """The share of resamples to leave out on each side, for an interval of that level over two dialogues or more.

    A bootstrap distribution is too narrow by the root of (n - 1) / n, and takes the spread for known, as a normal
    quantile does in place of Student's t. The expanded percentile interval (Hesterberg 2015, "What Teachers Should
    Know About the Bootstrap", section 5.3) mends both: 0.025 becomes 0.019 for 30 dialogues.
    """
    reach = student(0.5 + level / 200, dialogues)
    return NormalDist().cdf(-reach * (dialogues / (dialogues - 1)) ** 0.5)


def percentile_interval(values: Matrix, dialogues: int, level: float = LEVEL) -> list[Interval | None]:
    """(resamples, m) values over some dialogues to m intervals; None where no resample gave a number.

    Resamples without a single relevant turn have no value and are left out.
    """
    tail = expanded_tail(dialogues, level)
    return [_quantiles(column, tail, 1 - tail) for column in values.T]


def _quantiles(values: Matrix, low: float, high: float) -> Interval | None:
    import numpy as np

    known = values[~np.isnan(values)]
    if len(known) == 0:
        return None
    found = np.quantile(known, [low, high])
    return float(found[0]), float(found[1])


def _bca(point: float, values: Matrix, without: Matrix, level: float) -> Interval | None:
    """Bias-corrected and accelerated (Efron 1987); the percentile interval where all draws lie on one side."""
    import numpy as np

    tail, normal = expanded_tail(len(without), level), NormalDist()
    known = values[~np.isnan(values)]
    below = float((known < point).sum() + (known == point).sum() / 2) / max(1, len(known))
    if not 0 < below < 1:
        return _quantiles(values, tail, 1 - tail)
    influence = without[~np.isnan(without)]
    influence = influence.mean() - influence
    spread = float((influence**2).sum()) ** 1.5
    acceleration = float((influence**3).sum()) / (6 * spread) if spread else 0.0
    bias = normal.inv_cdf(below)

    def shifted_level(share: float) -> float:
        shifted = bias + normal.inv_cdf(share)
        return normal.cdf(bias + shifted / (1 - acceleration * shifted))

    return _quantiles(values, shifted_level(tail), shifted_level(1 - tail))
