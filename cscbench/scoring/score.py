"""Pairs to metrics with intervals, and the tables beside them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cscbench.scoring.bootstrap import (
    Matrix,
    Resampling,
    dialogue_numbers,
    percentile_interval,
    resample_weights,
    sum_by_dialogue,
)
from cscbench.scoring.plan import ScoringPlan
from cscbench.scoring.registry import find_scorer
from cscbench.scoring.scorer import OF_STRATEGIES, Scorer, ScorerSetting
from cscbench.scoring.scorers.stars import StarsScorer
from cscbench.values.condition import Condition, Form
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen
from cscbench.values.judging import Rating
from cscbench.values.metrics import Estimate, Metric
from cscbench.values.strategies import StrategySet, stage_of
from cscbench.values.transcript import Pair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Measured(Frozen, frozen=True):
    """One scorer's rows for all scored pairs."""

    name: str
    scorer: Scorer
    rows: Matrix


class Scored(Frozen, frozen=True):
    """What scoring gives: overall metrics, tables as JSON values, and the rows behind them."""

    metrics: tuple[Metric, ...]
    tables: Mapping[str, Any]
    measured: tuple[Measured, ...]


def build_scorers(plan: ScoringPlan) -> tuple[tuple[str, Scorer], ...]:
    """The plan's scorers, ready. Strategies are not scored where the reference strategy was given.

    Raises:
        UserError: an unknown scorer, a missing package, an encoder that is not there, or two metrics of one name.
    """
    setting = ScorerSetting(plan.languages, plan.condition, plan.strategies, plan.encoder, plan.judging)
    names = [
        name for name in plan.scorers if name not in OF_STRATEGIES or plan.condition is not Condition.GOLD_STRATEGY
    ]
    built = tuple((name, find_scorer(name)(setting)) for name in names)
    owners: dict[str, str] = {}
    for name, scorer in built:
        for spec in scorer.metrics:
            if spec.name in owners:
                raise UserError(f"scorers {owners[spec.name]!r} and {name!r} both give {spec.name}: leave one out")
            owners[spec.name] = name
    return built


def with_ratings(
    scorers: Sequence[tuple[str, Scorer]], plan: ScoringPlan, ratings: tuple[Rating, ...]
) -> tuple[tuple[str, Scorer], ...]:
    """The scorers, those of stars with what the judges gave."""
    setting = ScorerSetting(plan.languages, plan.condition, plan.strategies, None, plan.judging, ratings)
    return tuple((name, StarsScorer(setting) if isinstance(own, StarsScorer) else own) for name, own in scorers)


def score(pairs: Sequence[Pair], scorers: Sequence[tuple[str, Scorer]], plan: ScoringPlan) -> Scored:
    """Measure every pair that has a reply, and reduce: overall and by group, with an interval for each value.

    A failed reply is no pair: it is counted in the results and never scored.
    """
    answered = [pair for pair in pairs if pair.form is not Form.FAILED]
    measured = tuple(Measured(name, scorer, scorer.measure(answered)) for name, scorer in scorers)
    reducer = _Reducer(answered, measured, plan.resampling)
    metrics = tuple(
        Metric(
            name=spec.name,
            value=found.value,
            low=found.low,
            high=found.high,
            n=len(answered),
            signature=f"{spec.signature}|{plan.base_signature}|{plan.resampling.signature()}",
            higher_is_better=spec.higher_is_better,
        )
        for spec, found in zip(reducer.specs, reducer.reduce(None), strict=True)
        if found is not None
    )
    return Scored(metrics, _tables(answered, reducer, measured, plan), measured)


class _Reducer:
    """Reduces any subset of turns; all subsets share the same resamples of dialogues."""

    def __init__(self, pairs: Sequence[Pair], measured: Sequence[Measured], how: Resampling) -> None:
        self._measured = measured
        self._numbers = dialogue_numbers([pair.dialogue for pair in pairs])
        self._count = int(self._numbers.max()) + 1 if len(pairs) else 0
        self._weights = resample_weights(self._count, how) if self._count else None
        self.specs = [spec for one in measured for spec in one.scorer.metrics]

    def reduce(self, chosen: "NDArray[np.bool_] | None") -> list[Estimate | None]:
        """Value and interval of each metric over the chosen turns (None: all); None for a metric without a value."""
        import numpy as np

        found: list[Estimate | None] = []
        for one in self._measured:
            rows = one.rows if chosen is None else one.rows * chosen[:, None]
            sums = sum_by_dialogue(rows, self._numbers, self._count)
            values = one.scorer.summarise(sums.sum(axis=0, keepdims=True))[0]
            # One dialogue alone says nothing about others: no interval.
            relevant = self._count if chosen is None else len(np.unique(self._numbers[chosen]))
            if self._weights is None or relevant < 2:
                intervals: list[tuple[float, float] | None] = [None] * len(values)
            else:
                intervals = percentile_interval(one.scorer.summarise(self._weights @ sums), relevant)
            for value, interval in zip(values, intervals, strict=True):
                low, high = interval or (None, None)
                known = not np.isnan(value)
                found.append(Estimate(float(value), low, high) if known else None)
        return found


def _group(
    reducer: _Reducer, pairs: Sequence[Pair], key: str, name: str, has: Callable[[Pair], bool]
) -> dict[str, Any]:
    import numpy as np

    chosen = np.array([has(pair) for pair in pairs], dtype=bool)
    values = zip(reducer.specs, reducer.reduce(chosen), strict=True)
    return {
        key: name,
        "n": int(chosen.sum()),
        "metrics": {spec.name: msgspec.to_builtins(value) for spec, value in values if value is not None},
    }


def _tables(
    pairs: Sequence[Pair], reducer: _Reducer, measured: Sequence[Measured], plan: ScoringPlan
) -> dict[str, Any]:
    if not pairs:
        return {}
    stages = stage_of(plan.strategies)

    def groups(key: str, names: Sequence[str], of: Callable[[Pair], str]) -> list[dict[str, Any]]:
        present = {of(pair) for pair in pairs}
        return [
            _group(reducer, pairs, key, name, lambda pair, name=name: of(pair) == name)  # type: ignore[misc]
            for name in names
            if name in present
        ]

    topics = sorted({pair.topic for pair in pairs if pair.topic})
    tables: dict[str, Any] = {
        "by_language": groups("language", [language.value for language in plan.languages], lambda p: p.language.value),
        "by_strategy": groups("strategy", list(stages), lambda p: p.reference_strategy),
        "by_stage": groups("stage", [s.code for s in plan.strategies.stages], lambda p: stages[p.reference_strategy]),
        "by_topic": groups("topic", topics, lambda p: p.topic),
    }
    if plan.condition is not Condition.GOLD_STRATEGY:
        tables["given_strategy"] = groups(
            "strategy_was", ["right", "wrong"], lambda p: "right" if p.strategy == p.reference_strategy else "wrong"
        )
        tables["confusion"] = _confusion(pairs, plan.strategies)
    return tables


def _confusion(pairs: Sequence[Pair], strategies: StrategySet) -> dict[str, Any]:
    """Counts of (reference row, predicted column), the last column for replies without a readable strategy."""
    codes = [strategy.code for strategy in strategies.strategies]
    columns = [*codes, "unparsed"]
    counts = [[0] * len(columns) for _ in codes]
    for pair in pairs:
        column = columns.index(pair.strategy) if pair.strategy is not None else len(codes)
        counts[codes.index(pair.reference_strategy)][column] += 1
    per_label = []
    for number, code in enumerate(codes):
        hit, support = counts[number][number], sum(counts[number])
        said = sum(row[number] for row in counts)
        per_label.append(
            {
                "strategy": code,
                "support": support,
                "predicted": said,
                "precision": 100 * hit / said if said else None,
                "recall": 100 * hit / support if support else None,
                "f1": 200 * hit / (said + support) if said + support else None,
            }
        )
    return {"rows": codes, "columns": columns, "counts": counts, "per_strategy": per_label}
