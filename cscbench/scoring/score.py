"""From scored pairs to metrics with intervals, and tables by group."""

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
    """One scorer's statistics for all scored pairs."""

    name: str
    scorer: Scorer
    rows: Matrix


class Scored(Frozen, frozen=True):
    """The result of scoring: overall metrics, tables as JSON values, and the statistics behind them."""

    metrics: tuple[Metric, ...]
    tables: Mapping[str, Any]
    measured: tuple[Measured, ...]


def build_scorers(plan: ScoringPlan) -> tuple[tuple[str, Scorer], ...]:
    """Build the plan's scorers. Strategies are not scored if the model predicts none.

    Raises:
        UserError: an unknown scorer, a missing package or encoder, or two metrics with the same name.
    """
    context = ScoringContext(plan.languages, plan.condition, plan.strategies, plan.encoder, plan.judging)
    names = [name for name in plan.scorers if name not in OF_STRATEGIES or plan.condition.predicts_strategy]
    built = tuple((name, find_scorer(name)(context)) for name in names)
    owners: dict[str, str] = {}
    for name, scorer in built:
        for spec in scorer.metrics:
            if spec.name in owners:
                raise UserError(f"scorers {owners[spec.name]!r} and {name!r} both define {spec.name}: remove one")
            owners[spec.name] = name
    return built


def with_ratings(
    scorers: Sequence[tuple[str, Scorer]], plan: ScoringPlan, ratings: tuple[Rating, ...]
) -> tuple[tuple[str, Scorer], ...]:
    """Return the scorers, with the judges' ratings passed to the `stars` scorer."""
    context = ScoringContext(plan.languages, plan.condition, plan.strategies, None, plan.judging, ratings)
    return tuple(
        (name, StarsScorer(context) if isinstance(scorer, StarsScorer) else scorer) for name, scorer in scorers
    )


def score(pairs: Sequence[ScoredPair], scorers: Sequence[tuple[str, Scorer]], plan: ScoringPlan) -> Scored:
    """Measure every pair that has a reply; compute metrics overall and by group, with an interval for each value.

    Failed replies are counted in the results and never scored.
    """
    answered = [pair for pair in pairs if pair.form is not ParseForm.FAILED]
    measured = tuple(Measured(name, scorer, _rows(scorer, answered)) for name, scorer in scorers)
    estimator = _Estimator(answered, measured, plan.resampling)
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
        for spec, n, estimate in zip(estimator.specs, estimator.turns, estimator.estimate(None), strict=True)
        if estimate is not None
    )
    return Scored(metrics, _tables(answered, estimator, plan), measured)


def _rows(scorer: Scorer, pairs: Sequence[ScoredPair]) -> Matrix:
    """Return (turns, columns) statistics; NaN for turns that lack what the scorer needs."""
    import numpy as np

    measurable = np.array([can_measure(scorer, pair) for pair in pairs], dtype=bool)
    rows = np.full((len(pairs), len(scorer.columns)), np.nan)
    rows[measurable] = scorer.measure([pair for pair, chosen in zip(pairs, measurable, strict=True) if chosen])
    return rows


class _Estimator:
    """Estimates the metrics of any subset of turns; all subsets share the same resamples of clusters."""

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

    def estimate(self, chosen: "NDArray[np.bool_] | None") -> list[Estimate | None]:
        """Return each metric's value and interval over the chosen turns (None: all); None for an undefined metric."""
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
    estimator: _Estimator, pairs: Sequence[ScoredPair], key: str, name: str, belongs: Callable[[ScoredPair], bool]
) -> dict[str, Any]:
    import numpy as np

    chosen = np.array([belongs(pair) for pair in pairs], dtype=bool)
    values = zip(estimator.specs, estimator.estimate(chosen), strict=True)
    return {
        key: name,
        "n": int(chosen.sum()),
        "metrics": {spec.name: msgspec.to_builtins(value) for spec, value in values if value is not None},
    }


def _tables(pairs: Sequence[ScoredPair], estimator: _Estimator, plan: ScoringPlan) -> dict[str, Any]:
    if not pairs:
        return {}
    stages = stage_of(plan.strategies)

    def groups(key: str, names: Sequence[str], group_of: Callable[[ScoredPair], str]) -> list[dict[str, Any]]:
        present = {group_of(pair) for pair in pairs}
        return [
            _group(estimator, pairs, key, name, lambda pair, name=name: group_of(pair) == name)  # type: ignore[misc]
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
        tables["given_strategy"] = groups("strategy_was", ["right", "wrong"], _strategy_outcome)
        tables["confusion"] = _confusion(pairs, plan.strategies)
    return tables


def _strategy_outcome(pair: ScoredPair) -> str:
    """Return whether the strategy was right or wrong; empty if the reference has no label."""
    if not pair.reference_strategy:
        return ""
    return "right" if pair.strategy == pair.reference_strategy else "wrong"


def _confusion(pairs: Sequence[ScoredPair], strategies: StrategySet) -> dict[str, Any]:
    """Count (reference row, predicted column); the last column is for replies without a parsed strategy."""
    codes = [strategy.code for strategy in strategies.strategies]
    columns = [*codes, "unparsed"]
    counts = [[0] * len(columns) for _ in codes]
    for pair in pairs:
        if not pair.reference_strategy:
            continue
        column = columns.index(pair.strategy) if pair.strategy is not None else len(codes)
        counts[codes.index(pair.reference_strategy)][column] += 1
    per_label = []
    for index, code in enumerate(codes):
        hits, support = counts[index][index], sum(counts[index])
        predicted = sum(row[index] for row in counts)
        per_label.append(
            {
                "strategy": code,
                "support": support,
                "predicted": predicted,
                "precision": 100 * hits / predicted if predicted else None,
                "recall": 100 * hits / support if support else None,
                "f1": 200 * hits / (predicted + support) if predicted + support else None,
            }
        )
    return {"rows": codes, "columns": columns, "counts": counts, "per_strategy": per_label}
