"""Compare each metric of two runs over their common turns, with paired intervals by cluster."""

from cscbench.comparing.agree.common_turns import Common
from cscbench.runs.finished import FinishedRun, RunState
from cscbench.scoring.bootstrap import Resampling
from cscbench.scoring.kappa import cohen_kappa
from cscbench.scoring.metric_sums import MetricSums, difference
from cscbench.values import Frozen, UserError

_UNPARSED = "unparsed"


class Difference(Frozen, frozen=True):
    """A metric of both runs over their common turns, and B minus A with its 95% interval over dialogues.

    The interval is paired: each resample draws the same dialogues for both. It is null if there is only one dialogue.
    `same_signature` is true if both were measured the same way.
    """

    name: str
    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    higher_is_better: bool
    same_signature: bool


class Strategies(Frozen, frozen=True):
    """The number of turns on which both chose the same strategy, and Cohen's kappa; "unparsed" counts as a strategy."""

    turns: int
    same: int
    kappa: float | None


def differences(
    a: FinishedRun, b: FinishedRun, both: Common, resampling: Resampling
) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    """Return the differences of all metrics that both runs have, and why any scorer is left out."""
    if not both.turns:
        return (), ("metrics: both runs must be scored and share at least one answered turn",)
    rows: list[Difference | None] = []
    left_out = []
    for scorer in dict.fromkeys((*a.scorers, *b.scorers)):
        try:
            left, right = (run.metric_sums(scorer, both.turns, a.clusters) for run in (a, b))
        except UserError as error:
            left_out.append(f"{scorer}: {error}")
            continue
        of_b = {sums.spec.name: sums for sums in right}
        rows += [_difference(sums, of_b[sums.spec.name], resampling) for sums in left if sums.spec.name in of_b]
    return tuple(row for row in rows if row is not None), tuple(left_out)


def _difference(a: MetricSums, b: MetricSums, resampling: Resampling) -> Difference | None:
    """Return the difference, or None if either run has no value."""
    estimate = difference(a, b, resampling)
    if estimate is None:
        return None
    return Difference(
        name=a.spec.name,
        a=a.value(),
        b=b.value(),
        difference=estimate.value,
        low=estimate.low,
        high=estimate.high,
        higher_is_better=a.spec.higher_is_better,
        same_signature=a.measured_as == b.measured_as,
    )


def strategies(a: FinishedRun, b: FinishedRun, both: Common) -> Strategies | None:
    """Return how far the chosen strategies agree; None if a run chose none or no turn can be compared."""
    chosen = all(run.record.protocol.condition.predicts_strategy for run in (a, b))
    if not chosen or RunState.UNFINISHED in (a.state, b.state) or not both.turns:
        return None
    left, right = ([run.pairs[turn].strategy or _UNPARSED for turn in both.turns] for run in (a, b))
    same = sum(chosen_a == chosen_b for chosen_a, chosen_b in zip(left, right, strict=True))
    return Strategies(len(both.turns), same, cohen_kappa(left, right))
