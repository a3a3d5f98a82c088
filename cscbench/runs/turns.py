"""A finished run's turns with their scores, and what they come to: by position, best and worst, stars."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cscbench.content.tasks import find_task
from cscbench.runs.finished import FinishedRun
from cscbench.scoring.bootstrap import Matrix, Resampling, cluster_numbers, sum_by_cluster
from cscbench.scoring.metric_sums import estimates
from cscbench.scoring.scorer import ratio
from cscbench.values import CSC, Dialogue, Estimate, Frozen, ParseForm, ScoredPair, StrategySet, UserError, cluster_of

SCORES = ("rouge_l", "bertscore_f1", "stars")
# The supporter's turns of a dialogue, counted from 1: first and last of each group.
TURN_RANGES = ((1, 1), (2, 2), (3, 4), (5, 7), (8, 11), (12, 10_000))
EXAMPLES_SHOWN = 5
STARS = SCORES.index("stars")


class ScoredTurn(Frozen, frozen=True):
    """A pair with what its scorers gave, in the order of `SCORES`; None where one was not asked."""

    pair: ScoredPair
    scores: tuple[float | None, ...]


class TaskText(Frozen, frozen=True):
    """A task as it is on this machine: its labels, and dialogues by the hash of their file.

    `trouble` says why there are no dialogues, or is empty.
    """

    strategies: StrategySet
    dialogues: Mapping[str, Dialogue]
    data: tuple[str, ...]
    trouble: str


def read_task_text(task: str, with_dialogues: bool) -> TaskText:
    """What a task gives here; customers' turns are read from it, since runs hold only supporters'.

    Without runs no dialogues are needed, and nothing is downloaded for them.
    """
    try:
        found = find_task(task)
    except UserError as error:
        return TaskText(CSC, {}, (), str(error))
    if not with_dialogues:
        return TaskText(found.strategies, {}, (), "")
    try:
        data = found.load(None)
    except UserError as error:
        return TaskText(found.strategies, {}, (), str(error))
    return TaskText(found.strategies, {own.id: own for own in data.test}, tuple(s.sha256 for s in data.sources), "")


def scored_turns(run: FinishedRun) -> list[ScoredTurn]:
    """A run's turns with their scores.

    Raises:
        UserError: a file of the run is missing or damaged.
    """
    table = run.statistics
    rows = {turn: number for number, turn in enumerate(table.turns)}
    columns = [_column(table.columns, name) for name in SCORES]
    return [ScoredTurn(pair, _scores(columns, rows.get(turn))) for turn, pair in run.pairs.items()]


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


class TurnSummary(Frozen, frozen=True):
    """What pages need of a run's turns. `stars` counts rated turns from 1 to 5 by halves; empty where none was."""

    positions: tuple[Position, ...]
    best: tuple[ScoredTurn, ...]
    worst: tuple[ScoredTurn, ...]
    stars: tuple[int, ...]


def summarise_turns(turns: Sequence[ScoredTurn], strategies_count: bool) -> TurnSummary:
    """`strategies_count` is false where the reference strategy was given."""
    answered = [(place, turn) for place, turn in _numbered(turns) if turn.pair.form is not ParseForm.FAILED]
    scored = [turn for _, turn in answered if turn.scores[0] is not None]
    ranked = sorted(scored, key=lambda turn: (turn.scores[0], turn.pair.dialogue, turn.pair.turn))
    return TurnSummary(
        positions=_positions(answered, strategies_count) if answered else (),
        best=tuple(reversed(ranked[-EXAMPLES_SHOWN:])),
        worst=tuple(ranked[:EXAMPLES_SHOWN]),
        stars=_stars([turn.scores[STARS] for _, turn in answered]),
    )


def _numbered(turns: Sequence[ScoredTurn]) -> list[tuple[int, ScoredTurn]]:
    seen: dict[str, int] = {}
    found = []
    for turn in sorted(turns, key=lambda own: (own.pair.dialogue, own.pair.turn)):
        seen[turn.pair.dialogue] = seen.get(turn.pair.dialogue, 0) + 1
        found.append((seen[turn.pair.dialogue], turn))
    return found


def _positions(answered: Sequence[tuple[int, ScoredTurn]], strategies_count: bool) -> tuple[Position, ...]:
    """Accuracy and ROUGE-L by place, with intervals over clusters as all other numbers have them."""
    import numpy as np

    numbers = cluster_numbers([cluster_of(turn.pair) for _, turn in answered])
    rows = np.array([_counts(turn, strategies_count) for _, turn in answered])
    places = np.array([place for place, _ in answered])
    positions = []
    for first, last in TURN_RANGES:
        here = (first <= places) & (places <= last)
        sums = sum_by_cluster(np.where(here[:, None], rows, 0), numbers, int(numbers.max()) + 1)
        accuracy, rouge = (_share(sums[:, part], scale) for part, scale in ((slice(2), 100), (slice(2, 4), 1)))
        positions.append(Position(first, last, int(here.sum()), accuracy, rouge))
    return tuple(positions)


def _counts(turn: ScoredTurn, strategies_count: bool) -> tuple[float, ...]:
    """A right strategy and 1, ROUGE-L and 1; zeros for what was not measured."""
    labelled = strategies_count and bool(turn.pair.reference_strategy)
    rouge = turn.scores[0]
    return (
        labelled and turn.pair.strategy == turn.pair.reference_strategy,
        labelled,
        rouge or 0,
        rouge is not None,
    )


def _share(sums: Matrix, scale: float) -> Estimate | None:
    """The ratio of two columns, with its interval where two clusters or more have such turns."""
    clusters = int((sums[:, 1] > 0).sum())
    return estimates(sums, lambda part: ratio(part[:, :1], part[:, 1:]) * scale / 100, Resampling(), clusters)[0]


def _stars(values: Sequence[float | None]) -> tuple[int, ...]:
    known = [value for value in values if value is not None]
    if not known:
        return ()
    counts = [0] * 9
    for value in known:
        counts[min(8, max(0, round((value - 1) * 2)))] += 1
    return tuple(counts)
