"""Numbers with their intervals."""

from cscbench.values.frozen import Frozen


class Estimate(Frozen, frozen=True):
    """A value and its 95 % interval over dialogues; None where one dialogue alone can give no interval."""

    value: float
    low: float | None
    high: float | None


class Metric(Frozen, frozen=True):
    """One number of a results file, on a 0-100 scale unless its signature says otherwise.

    `low` and `high` bound the 95 % interval over dialogues (null where one dialogue alone can give none); `n` counts
    the turns behind it.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    signature: str
    higher_is_better: bool = True
