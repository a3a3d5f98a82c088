"""What parting does to each metric: differences over the turns of both, with paired intervals by dialogue."""

from collections.abc import Sequence

import msgspec

from cscbench.comparing.agree.sides import Common, Side, TurnKey
from cscbench.scoring.bootstrap import (
    Matrix,
    Resampling,
    dialogue_numbers,
    percentile_interval,
    resample_weights,
    sum_by_dialogue,
)
from cscbench.scoring.kappa import cohen_kappa
from cscbench.scoring.plan import NO_ENCODER, STARS, plan_scoring, scoring_record
from cscbench.scoring.score import build_scorers
from cscbench.scoring.scorer import Scorer
from cscbench.values.condition import Condition
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen

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


class PairedSums(Frozen, frozen=True):
    """One scorer's statistics of both runs over the same turns, summed by dialogue: (dialogues, columns) each."""

    name: str
    scorers: tuple[Scorer, Scorer]
    sums: tuple[Matrix, Matrix]


def paired_sums(a: Side, b: Side, both: Common, encoder: str = "") -> tuple[tuple[PairedSums, ...], tuple[str, ...]]:
    """The scorers of both runs with their sums; and for each that is left out, why.

    `encoder` is a card or folder, where the one that the results name cannot be found by its name.
    """
    if not both.turns:
        return (), ("metrics: both runs must be scored, and have answered one turn in common",)
    found, left_out = [], []
    for name in scorers_of((a, b)):
        try:
            (left, left_sums), (right, right_sums) = (side_sums(name, side, both.turns, encoder) for side in (a, b))
        except UserError as error:
            left_out.append(f"{name}: {error}")
        else:
            found.append(PairedSums(name, (left, right), (left_sums, right_sums)))
    return tuple(found), tuple(left_out)


def differences(a: Side, b: Side, paired: Sequence[PairedSums], how: Resampling) -> tuple[Difference, ...]:
    """Every metric of some scorers; one without a value on either side is left out."""
    import numpy as np

    found = []
    for one in paired:
        values = [_values(scorer, sums) for scorer, sums in zip(one.scorers, one.sums, strict=True)]
        intervals = _intervals(one, how)
        for number, spec in enumerate(one.scorers[0].metrics):
            left, right = float(values[0][number]), float(values[1][number])
            low, high = intervals[number] or (None, None)
            if not np.isnan([left, right]).any():
                same = measured_as(a, spec.name) == measured_as(b, spec.name)
                better = spec.higher_is_better
                found.append(Difference(spec.name, left, right, right - left, low, high, better, same))
    return tuple(found)


def strategies(a: Side, b: Side, both: Common) -> Strategies | None:
    """How far the chosen strategies agree; None where one run was given them, or no turn can be compared."""
    given = Condition.GOLD_STRATEGY in (a.run.protocol.condition, b.run.protocol.condition)
    if given or a.pairs is None or b.pairs is None or not both.turns:
        return None
    left, right = ([pairs[turn].strategy or _UNPARSED for turn in both.turns] for pairs in (a.pairs, b.pairs))
    same = sum(one == other for one, other in zip(left, right, strict=True))
    return Strategies(len(both.turns), same, cohen_kappa(left, right))


def scorers_of(sides: Sequence[Side]) -> tuple[str, ...]:
    """The names of all scorers that any of the runs was scored with, in their order."""
    return tuple(dict.fromkeys(name for side in sides if side.results for name in side.results.scoring.scorers))


def side_sums(name: str, side: Side, turns: Sequence[TurnKey], encoder: str) -> tuple[Scorer, Matrix]:
    """A scorer of a run, and its (dialogues, columns) sums over some turns, dialogues in order of first appearance.

    Raises:
        UserError: the run was not scored with it, or its encoder or scores are not to be had.
    """
    scorer = _scorer(name, side, encoder)
    return scorer, _sums(name, scorer, side, turns)


def measured_as(side: Side, metric: str) -> str:
    """The part of a metric's signature that says how it was measured, without task, data and protocol."""
    found = side.results.metrics if side.results else ()
    return next((one.signature.partition("|task:")[0] for one in found if one.name == metric), "")


def _scorer(name: str, side: Side, encoder: str) -> Scorer:
    """The scorer as the run's own scoring built it."""
    if side.results is None or name not in side.results.scoring.scorers:
        raise UserError(f"{side.run.name} was not scored with it")
    recorded = side.results.scoring.encoder
    named = encoder or recorded.rpartition("@")[0]
    judging = side.results.scoring.judging if name == STARS else None
    plan = plan_scoring(side.run, named if name == "bertscore" else NO_ENCODER, (), judging)
    if plan.encoder is not None and (here := scoring_record(plan).encoder) != recorded:
        raise UserError(f"{side.run.name} was scored with the encoder {recorded}, and {named} is {here}")
    built = build_scorers(msgspec.structs.replace(plan, scorers=(name,)))
    if not built:
        raise UserError(f"{side.run.name} was given the strategies")
    return built[0][1]


def _sums(name: str, scorer: Scorer, side: Side, turns: Sequence[TurnKey]) -> Matrix:
    import numpy as np

    table = side.scores
    columns = [f"{name}.{column}" for column in scorer.columns]
    if table is None or not set(columns) <= set(table.columns):
        raise UserError(f"{side.run.name} has no such scores of this version: `cscbench score` writes them anew")
    row_of = {turn: row for row, turn in enumerate(table.turns)}
    rows = [row_of[turn] for turn in turns]
    numbers = dialogue_numbers([dialogue for dialogue, _ in turns])
    values = np.stack([table.columns[column][rows] for column in columns], axis=1)
    return sum_by_dialogue(values, numbers, int(numbers.max()) + 1)


def _values(scorer: Scorer, sums: Matrix) -> Matrix:
    values: Matrix = scorer.summarise(sums.sum(axis=0, keepdims=True))[0]
    return values


def _intervals(one: PairedSums, how: Resampling) -> list[tuple[float, float] | None]:
    count = len(one.sums[0])
    if count < 2:  # one dialogue alone says nothing about others
        return [None] * len(one.scorers[0].metrics)
    weights = resample_weights(count, how)
    left, right = (scorer.summarise(weights @ sums) for scorer, sums in zip(one.scorers, one.sums, strict=True))
    return percentile_interval(right - left, count)
