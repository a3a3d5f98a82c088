"""Measures what each rule is about: with a run folder as baseline over what both answered, paired; else unpaired."""

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
from cscbench.runs import results
from cscbench.runs.finished import FinishedRun, RunState, TurnKey, load, measured_as
from cscbench.runs.results import Results
from cscbench.scoring.bootstrap import LEVEL, Interval, Matrix, Resampling, intervals
from cscbench.scoring.metric_sums import MetricSums
from cscbench.scoring.paired import standard_error
from cscbench.values import Frozen, Metric, UserError

Baseline = FinishedRun | Results


class _Bounds(Frozen, frozen=True):
    """A value with its standard error and the one-sided bounds at a rule's confidence."""

    value: float
    error: float | None
    bounds: Interval | None


def read_baseline(path: Path) -> Baseline:
    """A run folder, or a results.json alone.

    Raises:
        UserError: neither, or it is damaged or not scored.
    """
    if path.is_file():
        return results.read_file(path)
    run = load(path)
    if run.state is RunState.UNFINISHED:
        raise UserError(f"the baseline {path} is not scored yet. Repeat its `cscbench run` command to finish it.")
    return run


def check_run(folder: Path, rules: Rules, baseline: Baseline | None, resampling: Resampling) -> GateVerdict:
    """Judge a finished run by every rule; what is broken in the run is said in the verdict.

    Raises:
        UserError: no run there, a rule without baseline, a metric that the run does not have, or another measure.
    """
    if not (folder / store.RUN).exists():
        raise UserError(f"{folder}: no run there (no {store.RUN})")
    against = _name(baseline)
    try:
        run = load(folder).read_all()
    except UserError as error:
        return GateVerdict(folder.name, against, (), str(error), ())
    if run.results is None:
        return GateVerdict(run.name, against, (), "not finished: the same `cscbench run` goes on", ())
    gate = _Gate(run, run.results, baseline, resampling)
    measured = [(rule, gate.evidence(rule)) for rule in rules.rules]
    judged = tuple(RuleResult(rule, evidence, decide(rule, evidence)) for rule, evidence in measured)
    failed = run.results.counts.failed
    broken = f"{failed} turns have no reply: the same `cscbench run` asks for them again" if failed else ""
    return GateVerdict(run.name, against, judged, broken, gate.notes())


def _name(baseline: Baseline | None) -> str:
    if isinstance(baseline, FinishedRun):
        return baseline.name
    return baseline.run.name if baseline is not None else ""


class _Metrics:
    """The metrics of one run over some turns; each scorer's are summed when one of them is first asked for."""

    def __init__(self, run: FinishedRun, turns: Sequence[TurnKey], clusters: dict[str, str]) -> None:
        self._run, self._turns, self._clusters = run, turns, clusters
        self._unread = list(run.scorers)
        self._sums: dict[str, MetricSums] = {}

    def __getitem__(self, name: str) -> MetricSums:
        """A metric that the run's results have."""
        while name not in self._sums:
            scorer = self._unread.pop(0)
            if self._run.scores_nothing(scorer):
                continue
            metrics = self._run.metric_sums(scorer, self._turns, self._clusters)
            self._sums |= {sums.spec.name: sums for sums in metrics}
        return self._sums[name]


class _Gate:
    """A finished run, its own results, and what it is compared with."""

    def __init__(self, run: FinishedRun, own: Results, baseline: Baseline | None, resampling: Resampling) -> None:
        self._run, self._own, self._baseline, self._resampling = run, own, baseline, resampling
        self._alone = _Metrics(run, run.answered, run.clusters)
        if isinstance(baseline, FinishedRun):
            pairing = pair_runs((run, baseline))
            self._both = len(pairing.turns[1])
            self._new, self._old = (
                _Metrics(side, turns, dict(pairing.clusters))
                for side, turns in zip((run, baseline), pairing.turns, strict=True)
            )

    def evidence(self, rule: Rule) -> Evidence:
        """What a rule is about, measured."""
        _metric(self._own, rule.metric)
        if rule.kind is not RuleKind.MARGIN:
            return own_evidence(rule, self._alone[rule.metric], self._resampling)
        if self._baseline is None:
            raise UserError("a rule with `margin` compares with a baseline: give --baseline RUN, or `baseline:`")
        if isinstance(self._baseline, FinishedRun):
            return self._paired(rule, self._baseline)
        return self._unpaired(rule, self._baseline)

    def _paired(self, rule: Rule, baseline: FinishedRun) -> Evidence:
        _check_measure(rule.metric, self._run.measured_as(rule.metric), baseline.measured_as(rule.metric))
        return paired_evidence(rule, self._new[rule.metric], self._old[rule.metric], self._resampling)

    def _unpaired(self, rule: Rule, baseline: Results) -> Evidence:
        """Without the baseline's dialogues its interval gives its standard error; paired bounds are narrower."""
        metric = _metric(baseline, rule.metric)
        _check_same_data(self._own, baseline)
        _check_measure(rule.metric, self._run.measured_as(rule.metric), measured_as(metric))
        own = self._alone[rule.metric]
        found = _bounds(_drawn(own, self._resampling), rule, self._resampling)
        difference, normal = found.value - metric.value, NormalDist()
        if found.error is None or metric.low is None or metric.high is None:
            made = _Bounds(difference, None, None)
        else:
            theirs = (metric.high - metric.low) / (2 * normal.inv_cdf(0.5 + LEVEL / 200))
            error = hypot(found.error, theirs)
            reach = error * normal.inv_cdf(rule.confidence / 100)
            made = _Bounds(difference, error, (difference - reach, difference + reach))
        return _evidence(own, made, found.value, metric.value, paired=False)

    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the comparison."""
        if isinstance(self._baseline, FinishedRun):
            theirs = len(self._baseline.answered)
            left = theirs - self._both
            return (f"{left} of the baseline's {theirs} turns are not in this run, or differ",) if left else ()
        if self._baseline is not None:
            return ("only the baseline's results.json is at hand: unpaired bounds, wider than with its run folder",)
        return ()


def own_evidence(rule: Rule, own: MetricSums, resampling: Resampling) -> Evidence:
    """A run's own value of a metric, with bounds at the rule's confidence."""
    found = _bounds(_drawn(own, resampling), rule, resampling)
    return _evidence(own, found, found.value, None, paired=False)


def paired_evidence(rule: Rule, new: MetricSums, old: MetricSums, resampling: Resampling) -> Evidence:
    """A metric of two runs over the same dialogues, with bounds of the difference; resamples draw the same for both."""
    drawn, other = _drawn(new, resampling), _drawn(old, resampling)
    found = _bounds([one - two for one, two in zip(drawn, other, strict=True)], rule, resampling)
    return _evidence(new, found, float(drawn[0][0]), float(other[0][0]), paired=True)


def _evidence(own: MetricSums, found: _Bounds, value: float, baseline: float | None, *, paired: bool) -> Evidence:
    low, high = found.bounds or (None, None)
    return Evidence(value, baseline, low, high, found.error, own.clusters, own.spec.higher_is_better, paired)


def _drawn(metric: MetricSums, resampling: Resampling) -> tuple[Matrix, Matrix, Matrix]:
    """The value, (resamples, 1) values of resamples, and (clusters, 1) values each without one cluster."""
    import numpy as np

    return np.array([metric.value()]), metric.resampled(resampling), metric.leaving_one_out()


def _bounds(drawn: Sequence[Matrix], rule: Rule, resampling: Resampling) -> _Bounds:
    import numpy as np

    point, draws, without = drawn
    known = draws[~np.isnan(draws)]
    if len(without) < 2 or len(known) < 2:  # one cluster alone says nothing about others
        return _Bounds(float(point[0]), None, None)
    (bounds,) = intervals(point, draws, without, resampling.method, 2 * rule.confidence - 100)
    return _Bounds(float(point[0]), standard_error(known, len(without)), bounds)


def _metric(found: Results, name: str) -> Metric:
    known = {metric.name: metric for metric in found.metrics}
    if name not in known:
        raise UserError(f"{found.run.name} has no metric {name!r}{did_you_mean(name, list(known))}")
    return known[name]


def _check_measure(metric: str, own: str, theirs: str) -> None:
    if own != theirs:
        raise UserError(
            f"{metric} was measured differently in the baseline, so no difference means anything.\n"
            f"run:      {own}\nbaseline: {theirs}\n`cscbench score` measures a run anew"
        )


def _check_same_data(own: Results, baseline: Results) -> None:
    pairs = {
        "data": ([file.sha256[:8] for file in one.data.files] for one in (own, baseline)),
        "task": (one.task.name for one in (own, baseline)),
        "languages": (one.task.languages for one in (own, baseline)),
        "limit": (one.protocol.limit for one in (own, baseline)),
    }
    for what, (mine, theirs) in pairs.items():
        if mine != theirs:
            raise UserError(
                f"the baseline {baseline.run.name} has another {what}: {theirs}, and the run {mine}. "
                "With its run folder the turns of both can be compared"
            )
