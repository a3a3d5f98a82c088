"""Numbers with their intervals."""

from typing import Annotated

from msgspec import Meta

from cscbench.values.frozen import Frozen

# What no file may claim: beyond these, sums and logarithms overflow, and printed numbers have hundreds of digits.
Number = Annotated[float, Meta(ge=-1e15, le=1e15)]
Count = Annotated[int, Meta(ge=0, le=10**15)]


class Estimate(Frozen, frozen=True):
    """A value and its 95 % interval over dialogues; None where one dialogue alone can give no interval."""

    value: Number
    low: Number | None
    high: Number | None

    def __post_init__(self) -> None:
        check_interval(self.low, self.high)


class Metric(Frozen, frozen=True):
    """One number of a results file, on a 0-100 scale unless its signature says otherwise.

    `low` and `high` bound the 95 % interval over dialogues (null where one dialogue alone can give none); `n` counts
    the turns behind it.
    """

    name: str
    value: Number
    low: Number | None
    high: Number | None
    n: Count
    signature: str
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        check_interval(self.low, self.high)


def check_interval(low: float | None, high: float | None) -> None:
    """An interval has two bounds, or is not there.

    Raises:
        ValueError: one bound is null.
    """
    if (low is None) != (high is None):
        raise ValueError("`low` and `high`: both are numbers, or both are null")
