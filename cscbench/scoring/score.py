"""Pairs to metrics with intervals, and the tables beside them."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from cscbench.scoring.bootstrap import Matrix, Resampling, cluster_numbers, sum_by_cluster
from cscbench.scoring.metric_sums import estimates
from cscbench.scoring.plan import ScoringPlan
from cscbench.scoring.registry import find_scorer
from cscbench.scoring.scorer import OF_STRATEGIES, Scorer, ScoringContext, can_measure
from cscbench.scoring.scorers.stars import StarsScorer
from cscbench.values import (
    Estimate,
    Frozen,
    Metric,
    ParseForm,
    Rating,
    ScoredPair,
    StrategySet,
    UserError,
    cluster_of,
    stage_of,
)

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
    """The plan's scorers, ready. Strategies are not scored where the model chooses none.

    Raises:
        UserError: an unknown scorer, a missing package, an encoder that is not there, or two metrics of one name.
    """
    context = ScoringContext(plan.languages, plan.condition, plan.strategies, plan.encoder, plan.judging)
    names = [name for name in plan.scorers if name not in OF_STRATEGIES or plan.condition.predicts_strategy]
    built = tuple((name, find_scorer(name)(context)) for name in names)
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
    context = ScoringContext(plan.languages, plan.condition, plan.strategies, None, plan.judging, ratings)
    return tuple((name, StarsScorer(context) if isinstance(own, StarsScorer) else own) for name, own in scorers)


def score(pairs: Sequence[ScoredPair], scorers: Sequence[tuple[str, Scorer]], plan: ScoringPlan) -> Scored:
    """Measure every pair that has a reply, and reduce: overall and by group, with an interval for each value.

    A failed reply is no pair: it is counted in the results and never scored.
    """
    answered = [pair for pair in pairs if pair.form is not ParseForm.FAILED]
    measured = tuple(Measured(name, scorer, _rows(scorer, answered)) for name, scorer in scorers)
    reducer = _Reducer(answered, measured, plan.resampling)
    metrics = tuple(
        Metric(
            name=spec.name,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            n=n,
            signature=f"{spec.signature}|{plan.base_signature}|{plan.resampling.signature()}",
            higher_is_better=spec.higher_is_better,
        )
        for spec, n, estimate in zip(reducer.specs, reducer.turns, reducer.reduce(None), strict=True)
        if estimate is not None
    )
    return Scored(metrics, _tables(answered, reducer, plan), measured)


def _rows(scorer: Scorer, pairs: Sequence[ScoredPair]) -> Matrix:
    """(turns, columns) statistics; NaN for turns that lack what the scorer needs: there was nothing to measure."""
    import numpy as np

    measurable = np.array([can_measure(scorer, pair) for pair in pairs], dtype=bool)
    rows = np.full((len(pairs), len(scorer.columns)), np.nan)
    rows[measurable] = scorer.measure([pair for pair, can in zip(pairs, measurable, strict=True) if can])
    return rows


class _Reducer:
    """Reduces any subset of turns; all subsets share the same resamples of clusters."""

    def __init__(self, pairs: Sequence[ScoredPair], measured: Sequence[Measured], resampling: Resampling) -> None:
        import numpy as np

        self._measured, self._resampling = measured, resampling
        self._numbers = cluster_numbers([cluster_of(pair) for pair in pairs])
        self._count = int(self._numbers.max()) + 1 if len(pairs) else 0
        self._known = [~np.isnan(part.rows).any(axis=1) for part in measured]
        self.specs = [spec for part in measured for spec in part.scorer.metrics]
        self.turns = [
            int(known.sum()) for part, known in zip(measured, self._known, strict=True) for _ in part.scorer.metrics
        ]

    def reduce(self, chosen: "NDArray[np.bool_] | None") -> list[Estimate | None]:
        """Value and interval of each metric over the chosen turns (None: all); None for a metric without a value."""
        import numpy as np

        values: list[Estimate | None] = []
        for part, known in zip(self._measured, self._known, strict=True):
            counted = np.flatnonzero(known if chosen is None else known & chosen)
            numbers = self._numbers[counted]
            sums = sum_by_cluster(part.rows[counted], numbers, self._count)
            clusters = len(np.unique(numbers))
            values += estimates(sums, part.scorer.summarise, self._resampling, clusters)
        return values


def _group(
    reducer: _Reducer, pairs: Sequence[ScoredPair], key: str, name: str, has: Callable[[ScoredPair], bool]
) -> dict[str, Any]:
    import numpy as np

    chosen = np.array([has(pair) for pair in pairs], dtype=bool)
    values = zip(reducer.specs, reducer.reduce(chosen), strict=True)
    return {
        key: name,
        "n": int(chosen.sum()),
        "metrics": {spec.name: msgspec.to_builtins(value) for spec, value in values if value is not None},
    }


def _tables(pairs: Sequence[ScoredPair], reducer: _Reducer, plan: ScoringPlan) -> dict[str, Any]:
    if not pairs:
        return {}
    stages = stage_of(plan.strategies)

    def groups(key: str, names: Sequence[str], of: Callable[[ScoredPair], str]) -> list[dict[str, Any]]:
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
        "by_stage": groups(
            "stage", [s.code for s in plan.strategies.stages], lambda p: stages.get(p.reference_strategy, "")
        ),
        "by_topic": groups("topic", topics, lambda p: p.topic),
    }
    if plan.condition.predicts_strategy:
        tables["given_strategy"] = groups("strategy_was", ["right", "wrong"], _strategy_was)
        tables["confusion"] = _confusion(pairs, plan.strategies)
    return tables


def _strategy_was(pair: ScoredPair) -> str:
    """Empty where no label says what is right."""
    if not pair.reference_strategy:
        return ""
    return "right" if pair.strategy == pair.reference_strategy else "wrong"


def _confusion(pairs: Sequence[ScoredPair], strategies: StrategySet) -> dict[str, Any]:
    """Counts of (reference row, predicted column), the last column for replies without a readable strategy."""
    codes = [strategy.code for strategy in strategies.strategies]
    columns = [*codes, "unparsed"]
    counts = [[0] * len(columns) for _ in codes]
    for pair in pairs:
        if not pair.reference_strategy:
            continue
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
