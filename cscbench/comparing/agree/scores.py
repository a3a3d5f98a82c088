"""What parting does to each metric: differences over the turns of both, with paired intervals by cluster."""

from cscbench.comparing.agree.common_turns import Common
from cscbench.runs.finished import FinishedRun, RunState
from cscbench.scoring.bootstrap import Resampling
from cscbench.scoring.kappa import cohen_kappa
from cscbench.scoring.metric_sums import MetricSums, difference
from cscbench.values import Frozen, UserError

_UNPARSED = "unparsed"


class Difference(Frozen, frozen=True):
    """A metric of both runs over their common turns, and B less A with its 95 % interval over dialogues.

    The interval is paired: each resample draws the same dialogues for both; null where one dialogue alone can give
    none. `same_signature`: both were measured alike.
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
    """On how many turns both chose the same strategy, an unreadable one being one more; and Cohen's kappa."""

    turns: int
    same: int
    kappa: float | None


def differences(
    a: FinishedRun, b: FinishedRun, both: Common, resampling: Resampling
) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    """Every metric that both runs have, and for each scorer that is left out, why."""
    if not both.turns:
        return (), ("metrics: both runs must be scored, and have answered one turn in common",)
    shown, left_out = [], []
    for scorer in dict.fromkeys((*a.scorers, *b.scorers)):
        try:
            left, right = (run.metric_sums(scorer, both.turns, a.clusters) for run in (a, b))
        except UserError as error:
            left_out.append(f"{scorer}: {error}")
            continue
        of_b = {sums.spec.name: sums for sums in right}
        shown += [_difference(sums, of_b[sums.spec.name], resampling) for sums in left if sums.spec.name in of_b]
    return tuple(row for row in shown if row is not None), tuple(left_out)


def _difference(a: MetricSums, b: MetricSums, resampling: Resampling) -> Difference | None:
    """None where either has no value."""
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
    """How far the chosen strategies agree; None where one run chose none, or no turn can be compared."""
    chosen = all(run.record.protocol.condition.predicts_strategy for run in (a, b))
    if not chosen or RunState.UNFINISHED in (a.state, b.state) or not both.turns:
        return None
    left, right = ([run.pairs[turn].strategy or _UNPARSED for turn in both.turns] for run in (a, b))
    same = sum(mine == theirs for mine, theirs in zip(left, right, strict=True))
    return Strategies(len(both.turns), same, cohen_kappa(left, right))
