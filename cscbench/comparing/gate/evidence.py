"""Measure the quantity of each rule: paired if the baseline is a run folder, unpaired if it is a results.json."""

from collections.abc import Sequence
from math import hypot
from pathlib import Path
from statistics import NormalDist

from cscbench.asking import store
from cscbench.comparing.gate.decide import decide
from cscbench.comparing.gate.rules import Rules
from cscbench.comparing.gate.verdict import Evidence, GateVerdict, Rule, RuleKind, RuleResult
from cscbench.comparing.pairing import pair_runs
from cscbench.content.yaml_file import did_you_mean
from cscbench.runs import results as results_file
from cscbench.runs.finished import FinishedRun, RunState, TurnKey, load, measured_as
from cscbench.runs.results import Results
from cscbench.scoring.bootstrap import LEVEL, Interval, Matrix, Resampling, intervals
from cscbench.scoring.metric_sums import MetricSums
from cscbench.scoring.paired import standard_error
from cscbench.values import Frozen, Metric, UserError

Baseline = FinishedRun | Results


class _Bounds(Frozen, frozen=True):
    """A value with its standard error and its one-sided bounds at a rule's confidence."""

    value: float
    error: float | None
    bounds: Interval | None


def read_baseline(path: Path) -> Baseline:
    """Read a run folder, or a results.json on its own.

    Raises:
        UserError: the path is neither, or the run is damaged or not scored.
    """
    if path.is_file():
        return results_file.read_file(path)
    run = load(path)
    if run.state is RunState.UNFINISHED:
        raise UserError(f"the baseline {path} is not scored yet. Repeat its `cscbench run` command to finish it.")
    return run


def check_run(folder: Path, rules: Rules, baseline: Baseline | None, resampling: Resampling) -> GateVerdict:
    """Check a finished run against every rule; the verdict says if the run is broken.

    Raises:
        UserError: no run in the folder, no baseline for a rule that needs one, a metric that the run does not have, or
            a metric that was measured differently in the baseline.
    """
    if not (folder / store.RUN).exists():
        raise UserError(f"{folder} is not a run folder: it has no {store.RUN}")
    against = _name(baseline)
    try:
        run = load(folder).read_all()
    except UserError as error:
        return GateVerdict(folder.name, against, (), str(error), ())
    if run.results is None:
        return GateVerdict(run.name, against, (), "not finished. Repeat its `cscbench run` command to finish it", ())
    gate = _Gate(run, run.results, baseline, resampling)
    measured = [(rule, gate.evidence(rule)) for rule in rules.rules]
    judged = tuple(RuleResult(rule, evidence, decide(rule, evidence)) for rule, evidence in measured)
    failed = run.results.counts.failed
    broken = f"{failed} turns have no reply. Repeat its `cscbench run` command to retry them" if failed else ""
    return GateVerdict(run.name, against, judged, broken, gate.notes())


def _name(baseline: Baseline | None) -> str:
    if isinstance(baseline, FinishedRun):
        return baseline.name
    return baseline.run.name if baseline is not None else ""


class _Metrics:
    """The metrics of one run over some turns; a scorer's metrics are summed on first access."""

    def __init__(self, run: FinishedRun, turns: Sequence[TurnKey], clusters: dict[str, str]) -> None:
        self._run, self._turns, self._clusters = run, turns, clusters
        self._unread = list(run.scorers)
        self._sums: dict[str, MetricSums] = {}

    def __getitem__(self, name: str) -> MetricSums:
        """Return the sums of a metric that the run's results have."""
        while name not in self._sums:
            scorer = self._unread.pop(0)
            if self._run.scores_nothing(scorer):
                continue
            metrics = self._run.metric_sums(scorer, self._turns, self._clusters)
            self._sums |= {sums.spec.name: sums for sums in metrics}
        return self._sums[name]


class _Gate:
    """A finished run, its results, and its baseline."""

    def __init__(self, run: FinishedRun, results: Results, baseline: Baseline | None, resampling: Resampling) -> None:
        self._run, self._results, self._baseline, self._resampling = run, results, baseline, resampling
        self._alone = _Metrics(run, run.answered, run.clusters)
        if isinstance(baseline, FinishedRun):
            pairing = pair_runs((run, baseline))
            self._both = len(pairing.turns[1])
            self._new, self._old = (
                _Metrics(paired_run, turns, dict(pairing.clusters))
                for paired_run, turns in zip((run, baseline), pairing.turns, strict=True)
            )

    def evidence(self, rule: Rule) -> Evidence:
        """Measure the quantity of a rule."""
        _metric(self._results, rule.metric)
        if rule.kind is not RuleKind.MARGIN:
            return absolute_evidence(rule, self._alone[rule.metric], self._resampling)
        if self._baseline is None:
            raise UserError(
                "a rule with `margin` needs a baseline: add --baseline RUN, or `baseline:` to the rules file"
            )
        if isinstance(self._baseline, FinishedRun):
            return self._paired(rule, self._baseline)
        return self._unpaired(rule, self._baseline)

    def _paired(self, rule: Rule, baseline: FinishedRun) -> Evidence:
        _check_measure(rule.metric, self._run.measured_as(rule.metric), baseline.measured_as(rule.metric))
        return paired_evidence(rule, self._new[rule.metric], self._old[rule.metric], self._resampling)

    def _unpaired(self, rule: Rule, baseline: Results) -> Evidence:
        """Derive the baseline's standard error from its interval, as its dialogues are not available."""
        metric = _metric(baseline, rule.metric)
        _check_same_data(self._results, baseline)
        _check_measure(rule.metric, self._run.measured_as(rule.metric), measured_as(metric))
        sums = self._alone[rule.metric]
        measured = _bounds(_drawn(sums, self._resampling), rule, self._resampling)
        difference, normal = measured.value - metric.value, NormalDist()
        if measured.error is None or metric.low is None or metric.high is None:
            bounds = _Bounds(difference, None, None)
        else:
            baseline_error = (metric.high - metric.low) / (2 * normal.inv_cdf(0.5 + LEVEL / 200))
            error = hypot(measured.error, baseline_error)
            reach = error * normal.inv_cdf(rule.confidence / 100)
            bounds = _Bounds(difference, error, (difference - reach, difference + reach))
        return _evidence(sums, bounds, measured.value, metric.value, paired=False)

    def notes(self) -> tuple[str, ...]:
        """Return what a reader must know about the comparison."""
        if isinstance(self._baseline, FinishedRun):
            answered = len(self._baseline.answered)
            left = answered - self._both
            return (f"{left} of the baseline's {answered} turns are not in this run, or differ",) if left else ()
        if self._baseline is not None:
            return ("the baseline is a results.json only: bounds are unpaired, thus wider than with its run folder",)
        return ()


def absolute_evidence(rule: Rule, sums: MetricSums, resampling: Resampling) -> Evidence:
    """Return a run's value of a metric with bounds at the rule's confidence."""
    bounds = _bounds(_drawn(sums, resampling), rule, resampling)
    return _evidence(sums, bounds, bounds.value, None, paired=False)


def paired_evidence(rule: Rule, new: MetricSums, old: MetricSums, resampling: Resampling) -> Evidence:
    """Return a metric of two runs over the same dialogues with bounds of the difference; both share the resamples."""
    drawn_new, drawn_old = _drawn(new, resampling), _drawn(old, resampling)
    bounds = _bounds([left - right for left, right in zip(drawn_new, drawn_old, strict=True)], rule, resampling)
    return _evidence(new, bounds, float(drawn_new[0][0]), float(drawn_old[0][0]), paired=True)


def _evidence(sums: MetricSums, bounds: _Bounds, value: float, baseline: float | None, *, paired: bool) -> Evidence:
    low, high = bounds.bounds or (None, None)
    return Evidence(value, baseline, low, high, bounds.error, sums.clusters, sums.spec.higher_is_better, paired)


def _drawn(metric: MetricSums, resampling: Resampling) -> tuple[Matrix, Matrix, Matrix]:
    """Return the value, the (resamples, 1) resampled values, and the (clusters, 1) leave-one-cluster-out values."""
    import numpy as np

    return np.array([metric.value()]), metric.resampled(resampling), metric.leaving_one_out()


def _bounds(drawn: Sequence[Matrix], rule: Rule, resampling: Resampling) -> _Bounds:
    import numpy as np

    point, draws, without = drawn
    known = draws[~np.isnan(draws)]
    if len(without) < 2 or len(known) < 2:  # one cluster gives no interval
        return _Bounds(float(point[0]), None, None)
    (bounds,) = intervals(point, draws, without, resampling.method, 2 * rule.confidence - 100)
    return _Bounds(float(point[0]), standard_error(known, len(without)), bounds)


def _metric(results: Results, name: str) -> Metric:
    known = {metric.name: metric for metric in results.metrics}
    if name not in known:
        raise UserError(f"{results.run.name} has no metric {name!r}{did_you_mean(name, list(known))}")
    return known[name]


def _check_measure(metric: str, run: str, baseline: str) -> None:
    if run != baseline:
        raise UserError(
            f"{metric} was measured differently in the baseline, so the two values cannot be compared.\n"
            f"run:      {run}\nbaseline: {baseline}\nRescore one of the runs with `cscbench score`"
        )


def _check_same_data(run: Results, baseline: Results) -> None:
    pairs = {
        "data": ([file.sha256[:8] for file in results.data.files] for results in (run, baseline)),
        "task": (results.task.name for results in (run, baseline)),
        "languages": (results.task.languages for results in (run, baseline)),
        "limit": (results.protocol.limit for results in (run, baseline)),
    }
    for field, (of_run, of_baseline) in pairs.items():
        if of_run != of_baseline:
            raise UserError(
                f"the baseline {baseline.run.name} has a different {field}: {of_baseline}; the run has {of_run}. "
                "Give the baseline's run folder instead of its results.json to compare the turns of both"
            )
