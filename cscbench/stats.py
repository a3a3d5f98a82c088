"""Intervals by dialogue: turns of one conversation are not independent, so whole dialogues are resampled.

Per-turn sufficient statistics are summed over each dialogue first. A resample is then a row of weights, and the sums of
all resamples are one matrix product, for corpus BLEU as for accuracy.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cscbench.records import Frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
else:
    Matrix = Any

LEVEL = 95.0


class Resampling(Frozen, frozen=True):
    """How intervals are made: percentile bootstrap over dialogues (Efron and Tibshirani 1993, chapter 13)."""

    resamples: int = 1000
    seed: int = 0

    def signature(self) -> str:
        """The part of a metric's signature that says how its interval was made."""
        return f"ci:{LEVEL:g}%,percentile,by:dialogue,resamples:{self.resamples},seed:{self.seed}"


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


def cohen_kappa(left: Sequence[str], right: Sequence[str]) -> float | None:
    """Agreement of two raters on the same things, less what chance would give (Cohen 1960); 1 is perfect, 0 chance.

    None where there is nothing to rate, or both always say the same one thing: chance alone agrees fully then.
    """
    count = len(left)
    by_chance = sum(said * right.count(label) for label, said in Counter(left).items())
    if by_chance == count * count:
        return None
    alike = sum(one == other for one, other in zip(left, right, strict=True)) / count
    expected = by_chance / count**2
    return (alike - expected) / (1 - expected)


def percentile_interval(values: Matrix) -> list[tuple[float, float] | None]:
    """(resamples, m) values to m intervals; None where no resample gave a number.

    Resamples without a single relevant turn have no value and are left out.
    """
    import numpy as np

    tail = (100 - LEVEL) / 2
    found: list[tuple[float, float] | None] = []
    for column in values.T:
        known = column[~np.isnan(column)]
        if len(known) == 0:
            found.append(None)
            continue
        low, high = np.percentile(known, [tail, 100 - tail])
        found.append((float(low), float(high)))
    return found
