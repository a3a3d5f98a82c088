"""Metric values with their intervals."""

from typing import Annotated

from msgspec import Meta

from cscbench.values.frozen import Frozen

# Limits for numbers in files: beyond them, sums and logarithms overflow, and printed numbers have hundreds of digits.
Number = Annotated[float, Meta(ge=-1e15, le=1e15)]
Count = Annotated[int, Meta(ge=0, le=10**15)]


class Estimate(Frozen, frozen=True):
    """A value and its 95% interval over dialogues. The bounds are None if there is only one dialogue."""

    value: Number
    low: Number | None
    high: Number | None

    def __post_init__(self) -> None:
        check_interval(self.low, self.high)


class Metric(Frozen, frozen=True):
    """One metric of a results file, on a 0-100 scale unless its signature says otherwise.

    `low` and `high` bound the 95% interval over dialogues (null if there is only one dialogue). `n` counts the scored
    turns.
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
    """Check that an interval has both bounds or neither.

    Raises:
        ValueError: one bound is null.
    """
    if (low is None) != (high is None):
        raise ValueError("`low` and `high` must both be numbers or both be null")
