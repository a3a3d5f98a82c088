"""A finished run's turns with their scores, and summaries: by position, best and worst, stars."""

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
    """A pair with its scores in the order of `SCORES`; None if a scorer did not run."""

    pair: ScoredPair
    scores: tuple[float | None, ...]


class TaskText(Frozen, frozen=True):
    """A task's labels, its dialogues by id, and the hashes of their files, as found on this machine.

    `trouble` is empty, or says why there are no dialogues.
    """

    strategies: StrategySet
    dialogues: Mapping[str, Dialogue]
    data: tuple[str, ...]
    trouble: str


def read_task_text(task: str, with_dialogues: bool) -> TaskText:
    """Read a task's labels and dialogues: runs hold only supporter turns, so customer turns come from the task.

    Without `with_dialogues`, nothing is read or downloaded.
    """
    try:
        resolved = find_task(task)
    except UserError as error:
        return TaskText(CSC, {}, (), str(error))
    strategies = resolved.strategies
    if not with_dialogues:
        return TaskText(strategies, {}, (), "")
    try:
        data = resolved.load(None)
    except UserError as error:
        return TaskText(strategies, {}, (), str(error))
    dialogues = {dialogue.id: dialogue for dialogue in data.test}
    return TaskText(strategies, dialogues, tuple(source.sha256 for source in data.sources), "")


def scored_turns(run: FinishedRun) -> list[ScoredTurn]:
    """Return a run's turns with their scores.

    Raises:
        UserError: a file of the run is missing or damaged.
    """
    table = run.statistics
    rows = {turn: number for number, turn in enumerate(table.turns)}
    columns = [_column(table.columns, name) for name in SCORES]
    return [ScoredTurn(pair, _scores(columns, rows.get(turn))) for turn, pair in run.pairs.items()]


def _column(columns: Mapping[str, Any], name: str) -> list[float | None]:
    """Return each row's score on the metric's scale; empty if the run has no such score."""
    if name == "stars":
        if "stars.overall" not in columns:
            return []
        both = zip(columns["stars.overall"].tolist(), columns["stars.rated"].tolist(), strict=True)
        return [_rounded(value, 1, 2) if rated else None for value, rated in both]
    column = columns.get({"rouge_l": "rouge.f1", "bertscore_f1": "bertscore.f1"}[name])
    return [] if column is None else [_rounded(value, 100, 1) for value in column.tolist()]


def _rounded(value: float, scale: float, digits: int) -> float | None:
    return round(value * scale, digits) if math.isfinite(value) else None


def _scores(columns: Sequence[list[float | None]], row: int | None) -> tuple[float | None, ...]:
    return tuple(column[row] if column and row is not None else None for column in columns)


class Position(Frozen, frozen=True):
    """The turns at one range of positions in their dialogues."""

    first: int
    last: int
    n: int
    accuracy: Estimate | None
    rouge: Estimate | None


class TurnSummary(Frozen, frozen=True):
    """What pages show of a run's turns. `stars` counts rated turns from 1 to 5 by halves; empty without ratings."""

    positions: tuple[Position, ...]
    best: tuple[ScoredTurn, ...]
    worst: tuple[ScoredTurn, ...]
    stars: tuple[int, ...]


def summarise_turns(turns: Sequence[ScoredTurn], strategies_count: bool) -> TurnSummary:
    """Summarise turns; `strategies_count` is false if the prompts gave the reference strategy."""
    answered = [(position, turn) for position, turn in _numbered(turns) if turn.pair.form is not ParseForm.FAILED]
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
    numbered = []
    for turn in sorted(turns, key=lambda turn: (turn.pair.dialogue, turn.pair.turn)):
        seen[turn.pair.dialogue] = seen.get(turn.pair.dialogue, 0) + 1
        numbered.append((seen[turn.pair.dialogue], turn))
    return numbered


def _positions(answered: Sequence[tuple[int, ScoredTurn]], strategies_count: bool) -> tuple[Position, ...]:
    """Return accuracy and ROUGE-L by position, with intervals over clusters like all other numbers."""
    import numpy as np

    numbers = cluster_numbers([cluster_of(turn.pair) for _, turn in answered])
    rows = np.array([_counts(turn, strategies_count) for _, turn in answered])
    positions_of_rows = np.array([position for position, _ in answered])
    positions = []
    for first, last in TURN_RANGES:
        here = (first <= positions_of_rows) & (positions_of_rows <= last)
        sums = sum_by_cluster(np.where(here[:, None], rows, 0), numbers, int(numbers.max()) + 1)
        accuracy, rouge = (_share(sums[:, part], scale) for part, scale in ((slice(2), 100), (slice(2, 4), 1)))
        positions.append(Position(first, last, int(here.sum()), accuracy, rouge))
    return tuple(positions)


def _counts(turn: ScoredTurn, strategies_count: bool) -> tuple[float, ...]:
    """Return a correct strategy and 1, ROUGE-L and 1; zeros for what was not measured."""
    labelled = strategies_count and bool(turn.pair.reference_strategy)
    rouge = turn.scores[0]
    return (
        labelled and turn.pair.strategy == turn.pair.reference_strategy,
        labelled,
        rouge or 0,
        rouge is not None,
    )


def _share(sums: Matrix, scale: float) -> Estimate | None:
    """Return the ratio of two columns, with its interval if at least two clusters have such turns."""
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
