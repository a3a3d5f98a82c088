"""Measures what each rule is about: with a run folder as baseline over the turns of both, paired; else unpaired."""

from collections.abc import Sequence
from math import hypot
from pathlib import Path
from statistics import NormalDist

from cscbench.asking import store
from cscbench.comparing.agree.scores import measured_as, scorers_of, side_sums
from cscbench.comparing.agree.sides import Side, State, TurnKey, read_side, same_turns
from cscbench.comparing.gate.decide import decide
from cscbench.comparing.gate.rules import Rules
from cscbench.comparing.gate.verdict import Evidence, Judged, Kind, Rule, Verdict
from cscbench.content.yaml_file import did_you_mean
from cscbench.runs import results
from cscbench.runs.results import Results
from cscbench.scoring.bootstrap import LEVEL, Interval, Matrix, Resampling, intervals, resample_weights
from cscbench.scoring.paired import Summarise, standard_error
from cscbench.scoring.scorer import OF_STRATEGIES, MetricSpec
from cscbench.values.condition import Condition
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen
from cscbench.values.metrics import Metric

Baseline = Side | Results


class Sums(Frozen, frozen=True):
    """One metric of a run over some turns: (dialogues, columns) sums, and what makes them its only value."""

    spec: MetricSpec
    sums: Matrix
    summarise: Summarise


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
    side = read_side(path)
    if side.state is State.UNFINISHED:
        raise UserError(f"the baseline {path} is not scored yet: the same `cscbench run` finishes it")
    return side


def check_run(folder: Path, rules: Rules, baseline: Baseline | None, encoder: str, how: Resampling) -> Verdict:
    """Judge a finished run by every rule; what is broken in the run is said in the verdict.

    Raises:
        UserError: no run there, a rule without baseline, a metric that the run does not have, or another measure.
    """
    if not (folder / store.RUN).exists():
        raise UserError(f"{folder}: no run there (no {store.RUN})")
    against = baseline.run.name if baseline is not None else ""
    try:
        side = read_side(folder)
    except UserError as error:
        return Verdict(folder.name, against, (), str(error), ())
    if side.results is None:
        return Verdict(side.run.name, against, (), "not finished: the same `cscbench run` goes on", ())
    gate = _Gate(side, side.results, baseline, encoder, how)
    measured = [(rule, gate.evidence(rule)) for rule in rules.rules]
    judged = tuple(Judged(rule, evidence, decide(rule, evidence)) for rule, evidence in measured)
    failed = side.results.counts.failed
    broken = f"{failed} turns have no reply: the same `cscbench run` asks for them again" if failed else ""
    return Verdict(side.run.name, against, judged, broken, gate.notes())


class _View:
    """The metrics of one run over some turns; each scorer is made when one of its metrics is first asked for."""

    def __init__(self, side: Side, turns: Sequence[TurnKey], encoder: str) -> None:
        self._side, self._turns, self._encoder = side, turns, encoder
        self._unread = list(scorers_of((side,)))
        self._found: dict[str, Sums] = {}

    def metric(self, name: str) -> Sums:
        """A metric that the run's results have."""
        while name not in self._found:
            self._read(self._unread.pop(0))
        return self._found[name]

    def _read(self, scorer_name: str) -> None:
        if scorer_name in OF_STRATEGIES and self._side.run.protocol.condition is Condition.GOLD_STRATEGY:
            return
        scorer, sums = side_sums(scorer_name, self._side, self._turns, self._encoder)

        def column(number: int) -> Summarise:
            return lambda own: scorer.summarise(own)[:, number : number + 1]

        self._found |= {spec.name: Sums(spec, sums, column(at)) for at, spec in enumerate(scorer.metrics)}


class _Gate:
    """A finished run, its own results, and what it is compared with."""

    def __init__(self, side: Side, own: Results, baseline: Baseline | None, encoder: str, how: Resampling) -> None:
        self._side, self._own, self._baseline, self._how = side, own, baseline, how
        answered = tuple(turn for turn, pair in (side.pairs or {}).items() if not pair.error)
        self._alone = _View(side, answered, encoder)
        if isinstance(baseline, Side):
            self._both = same_turns((side, baseline))
            self._new, self._old = (_View(one, self._both, encoder) for one in (side, baseline))

    def evidence(self, rule: Rule) -> Evidence:
        """What a rule is about, measured."""
        _metric(self._own, rule.metric)
        if rule.kind is not Kind.MARGIN:
            return own_evidence(rule, self._alone.metric(rule.metric), self._how)
        if self._baseline is None:
            raise UserError("a rule with `margin` compares with a baseline: give --baseline RUN, or `baseline:`")
        if isinstance(self._baseline, Side):
            return self._paired(rule, self._baseline)
        return self._unpaired(rule, self._baseline)

    def _paired(self, rule: Rule, baseline: Side) -> Evidence:
        _check_measure(rule.metric, measured_as(self._side, rule.metric), measured_as(baseline, rule.metric))
        return paired_evidence(rule, self._new.metric(rule.metric), self._old.metric(rule.metric), self._how)

    def _unpaired(self, rule: Rule, baseline: Results) -> Evidence:
        """Without the baseline's dialogues its interval gives its standard error; paired bounds are narrower."""
        metric = _metric(baseline, rule.metric)
        _check_same_data(self._own, baseline)
        _check_measure(rule.metric, measured_as(self._side, rule.metric), metric.signature.partition("|task:")[0])
        own = self._alone.metric(rule.metric)
        found = _bounds(_drawn(own, self._how), rule, self._how)
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
        if isinstance(self._baseline, Side):
            theirs = sum(1 for pair in (self._baseline.pairs or {}).values() if not pair.error)
            left = theirs - len(self._both)
            return (f"{left} of the baseline's {theirs} turns are not in this run, or differ",) if left else ()
        if self._baseline is not None:
            return ("only the baseline's results.json is at hand: unpaired bounds, wider than with its run folder",)
        return ()


def own_evidence(rule: Rule, own: Sums, how: Resampling) -> Evidence:
    """A run's own value of a metric, with bounds at the rule's confidence."""
    found = _bounds(_drawn(own, how), rule, how)
    return _evidence(own, found, found.value, None, paired=False)


def paired_evidence(rule: Rule, new: Sums, old: Sums, how: Resampling) -> Evidence:
    """A metric of two runs over the same dialogues, with bounds of the difference; resamples draw the same for both."""
    drawn, other = _drawn(new, how), _drawn(old, how)
    found = _bounds([one - two for one, two in zip(drawn, other, strict=True)], rule, how)
    return _evidence(new, found, float(drawn[0][0]), float(other[0][0]), paired=True)


def _evidence(own: Sums, found: _Bounds, value: float, baseline: float | None, *, paired: bool) -> Evidence:
    low, high = found.bounds or (None, None)
    return Evidence(value, baseline, low, high, found.error, len(own.sums), own.spec.higher_is_better, paired)


def _drawn(own: Sums, how: Resampling) -> tuple[Matrix, Matrix, Matrix]:
    """The value, (resamples, 1) values of resamples, and (dialogues, 1) values each without one dialogue."""
    total = own.sums.sum(axis=0)
    weights = resample_weights(len(own.sums), how)
    return own.summarise(total[None])[0], own.summarise(weights @ own.sums), own.summarise(total - own.sums)


def _bounds(drawn: Sequence[Matrix], rule: Rule, how: Resampling) -> _Bounds:
    import numpy as np

    point, draws, without = drawn
    known = draws[~np.isnan(draws)]
    if len(without) < 2 or len(known) < 2:  # one dialogue alone says nothing about others
        return _Bounds(float(point[0]), None, None)
    (bounds,) = intervals(point, draws, without, how.method, 2 * rule.confidence - 100)
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
