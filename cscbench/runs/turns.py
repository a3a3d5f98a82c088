"""A finished run's turns with their scores, and what they come to: by position, best and worst, stars."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from cscbench.content.tasks import find_task
from cscbench.runs.results import read_pairs, read_scores
from cscbench.scoring.bootstrap import (
    Matrix,
    Resampling,
    dialogue_numbers,
    percentile_interval,
    resample_weights,
    sum_by_dialogue,
)
from cscbench.values.condition import Form
from cscbench.values.dialogue import Dialogue
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen
from cscbench.values.metrics import Estimate
from cscbench.values.strategies import CSC, StrategySet
from cscbench.values.transcript import Pair

SCORES = ("rouge_l", "bertscore_f1", "stars")
# The supporter's turns of a dialogue, counted from 1: first and last of each group.
POSITIONS = ((1, 1), (2, 2), (3, 4), (5, 7), (8, 11), (12, 10_000))
EXTREMES = 5
STARS = SCORES.index("stars")


class Turn(Frozen, frozen=True):
    """A pair with what its scorers gave, in the order of `SCORES`; None where one was not asked."""

    pair: Pair
    scores: tuple[float | None, ...]


class Source(Frozen, frozen=True):
    """A task as it is on this machine: its labels, and dialogues by the hash of their file.

    `trouble` says why there are no dialogues, or is empty.
    """

    strategies: StrategySet
    dialogues: Mapping[str, Dialogue]
    data: tuple[str, ...]
    trouble: str


def read_source(task: str, with_dialogues: bool) -> Source:
    """What a task gives here; customers' turns are read from it, since runs hold only supporters'.

    Without runs no dialogues are needed, and nothing is downloaded for them.
    """
    try:
        found = find_task(task)
    except UserError as error:
        return Source(CSC, {}, (), str(error))
    if not with_dialogues:
        return Source(found.strategies, {}, (), "")
    try:
        data = found.load(None)
    except UserError as error:
        return Source(found.strategies, {}, (), str(error))
    return Source(found.strategies, {own.id: own for own in data.test}, tuple(s.sha256 for s in data.sources), "")


def read_turns(folder: Path) -> list[Turn]:
    """A run's turns with their scores.

    Raises:
        UserError: a file of the entry is missing or damaged.
    """
    pairs, table = read_pairs(folder), read_scores(folder)
    rows = {place: number for number, place in enumerate(table.turns)}
    columns = [_column(table.columns, name) for name in SCORES]
    return [Turn(pair, _scores(columns, rows.get((pair.dialogue, pair.turn)))) for pair in pairs]


def _column(columns: Mapping[str, Any], name: str) -> list[float | None]:
    """A score of each row on the metric's scale; empty where it was not scored."""
    if name == "stars":
        if "stars.overall" not in columns:
            return []
        both = zip(columns["stars.overall"].tolist(), columns["stars.rated"].tolist(), strict=True)
        return [_number(value, 1, 2) if rated else None for value, rated in both]
    found = columns.get({"rouge_l": "rouge.f1", "bertscore_f1": "bertscore.f1"}[name])
    return [] if found is None else [_number(value, 100, 1) for value in found.tolist()]


def _number(value: float, scale: float, digits: int) -> float | None:
    return round(value * scale, digits) if math.isfinite(value) else None


def _scores(columns: Sequence[list[float | None]], row: int | None) -> tuple[float | None, ...]:
    return tuple(column[row] if column and row is not None else None for column in columns)


class Position(Frozen, frozen=True):
    """The turns of one place in their dialogues."""

    first: int
    last: int
    n: int
    accuracy: Estimate | None
    rouge: Estimate | None


class Reduced(Frozen, frozen=True):
    """What pages need of a run's turns. `stars` counts rated turns from 1 to 5 by halves; empty where none was."""

    positions: tuple[Position, ...]
    best: tuple[Turn, ...]
    worst: tuple[Turn, ...]
    stars: tuple[int, ...]


def reduce(turns: Sequence[Turn], strategies_count: bool) -> Reduced:
    """`strategies_count` is false where the reference strategy was given."""
    answered = [(place, turn) for place, turn in _numbered(turns) if turn.pair.form is not Form.FAILED]
    scored = [turn for _, turn in answered if turn.scores[0] is not None]
    ranked = sorted(scored, key=lambda turn: (turn.scores[0], turn.pair.dialogue, turn.pair.turn))
    return Reduced(
        positions=_positions(answered, strategies_count) if answered else (),
        best=tuple(reversed(ranked[-EXTREMES:])),
        worst=tuple(ranked[:EXTREMES]),
        stars=_stars([turn.scores[STARS] for _, turn in answered]),
    )


def _numbered(turns: Sequence[Turn]) -> list[tuple[int, Turn]]:
    seen: dict[str, int] = {}
    found = []
    for turn in sorted(turns, key=lambda own: (own.pair.dialogue, own.pair.turn)):
        seen[turn.pair.dialogue] = seen.get(turn.pair.dialogue, 0) + 1
        found.append((seen[turn.pair.dialogue], turn))
    return found


@lru_cache(maxsize=4)
def _weights(dialogues: int) -> Matrix:
    return resample_weights(dialogues, Resampling())


def _positions(answered: Sequence[tuple[int, Turn]], strategies_count: bool) -> tuple[Position, ...]:
    """Accuracy and ROUGE-L by place, with intervals over dialogues as all other numbers have them."""
    import numpy as np

    numbers = dialogue_numbers([turn.pair.dialogue for _, turn in answered])
    count = int(numbers.max()) + 1
    rows = np.zeros((len(answered), 4 * len(POSITIONS)))
    for row, (place, turn) in zip(rows, answered, strict=True):
        group = next(number for number, (_, last) in enumerate(POSITIONS) if place <= last)
        rouge = turn.scores[0]
        hit = turn.pair.strategy == turn.pair.reference_strategy
        row[4 * group : 4 * group + 4] = [hit, strategies_count, rouge or 0, rouge is not None]
    sums = sum_by_dialogue(rows, numbers, count)
    drawn = _weights(count) @ sums if count > 1 else None
    found = []
    for group, (first, last) in enumerate(POSITIONS):
        own = slice(4 * group, 4 * group + 4)
        n = sum(first <= place <= last for place, _ in answered)
        share = _estimate(sums[:, own][:, :2], None if drawn is None else drawn[:, own][:, :2], 100)
        rouge_f1 = _estimate(sums[:, own][:, 2:], None if drawn is None else drawn[:, own][:, 2:], 1)
        found.append(Position(first, last, n, share, rouge_f1))
    return tuple(found)


def _estimate(sums: Matrix, drawn: Matrix | None, scale: float) -> Estimate | None:
    """The ratio of two columns, with its interval where two dialogues or more have such turns."""
    import numpy as np

    above, below = sums.sum(axis=0)
    relevant = int((sums[:, 1] > 0).sum())
    if not below:
        return None
    value = float(scale * above / below)
    if drawn is None or relevant < 2:
        return Estimate(value, None, None)
    with np.errstate(invalid="ignore"):
        ratios = scale * drawn[:, :1] / drawn[:, 1:]
    low, high = percentile_interval(ratios, relevant)[0] or (None, None)
    return Estimate(value, low, high)


def _stars(values: Sequence[float | None]) -> tuple[int, ...]:
    known = [value for value in values if value is not None]
    if not known:
        return ()
    counts = [0] * 9
    for value in known:
        counts[min(8, max(0, round((value - 1) * 2)))] += 1
    return tuple(counts)
