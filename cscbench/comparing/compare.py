"""Runs over the same turns against a baseline: differences with paired intervals, tests, and a verdict in words.

One straight line: `pairing` says what runs have in common, `scoring.metric_sums` tests sums by cluster.
"""

from collections.abc import Sequence
from enum import StrEnum

from cscbench import __version__
from cscbench.comparing.pairing import Pairing, pair_runs
from cscbench.runs.finished import FinishedRun, RunState, resampling_over
from cscbench.scoring.bootstrap import Interval, Resampling
from cscbench.scoring.metric_sums import MetricSums, compare_metrics, tests_signature, tie_groups
from cscbench.scoring.paired import SIGNIFICANCE, Paired, holm, minimum_detectable_effect, smallest_p
from cscbench.values import Estimate, Frozen, UserError

SCHEMA = "cscbench/compare/1"


class Outcome(StrEnum):
    """What a comparison with the baseline shows, at 5 % after Holm's correction."""

    BASELINE = "baseline"
    BETTER = "better"
    WORSE = "worse"
    NOT_SHOWN = "no difference shown"
    TOO_FEW = "too few dialogues to tell"
    OTHERWISE = "measured otherwise"


class ComparisonRow(Frozen, frozen=True):
    """A run's value of a metric with its interval, and against the baseline `paired` (baseline A, this run B).

    `p` is corrected over the runs that are compared with the baseline on this metric. `detectable` is the smallest true
    difference that these dialogues would show 80 times in 100. Runs of one `group` (1 is best) are tied: none of them
    differs from the group's first, corrected over all pairs of runs.
    """

    run: str
    value: float
    interval: Interval | None
    paired: Paired | None
    p: float | None
    detectable: float | None
    verdict: Outcome
    group: int | None


class MetricTable(Frozen, frozen=True):
    """One metric of all runs that have it, best first."""

    name: str
    higher_is_better: bool
    signature: str
    rows: tuple[ComparisonRow, ...]


class ComparedRun(Frozen, frozen=True):
    """A run of the comparison: the name of its folder, its hash and model."""

    name: str
    hash: str
    model: str


class Comparison(Frozen, frozen=True):
    """All of it; `turns` and `dialogues` were answered by every run."""

    schema: str
    cscbench: str
    baseline: str
    runs: tuple[ComparedRun, ...]
    dialogues: int
    turns: int
    resampling: str
    tests: str
    metrics: tuple[MetricTable, ...]
    notes: tuple[str, ...]


def compare(runs: Sequence[FinishedRun], resampling: Resampling) -> Comparison:
    """Compare runs with the first of them, over what all of them answered.

    Raises:
        UserError: fewer than two runs, one that is not scored, damaged or listed twice, or nothing in common.
    """
    _check(runs)
    pairing, resampling = pair_runs(runs), resampling_over(runs, resampling)
    columns, left_out = _columns(runs, pairing)
    tables = [_table(column, runs[0].name, resampling) for column in columns]
    return Comparison(
        schema=SCHEMA,
        cscbench=__version__,
        baseline=runs[0].name,
        runs=tuple(ComparedRun(run.name, run.record.hash, run.record.model.label) for run in runs),
        dialogues=pairing.dialogues,
        turns=len(pairing.turns[0]),
        resampling=resampling.signature(),
        tests=tests_signature(resampling),
        metrics=tuple(table for table in tables if table is not None),
        notes=(*_notes(runs, pairing), *left_out),
    )


def _columns(runs: Sequence[FinishedRun], pairing: Pairing) -> tuple[list[list[MetricSums]], list[str]]:
    """Each metric's sums by run, scorers in the runs' order; and for each scorer of a run that is left out, why."""
    columns: dict[str, list[MetricSums]] = {}
    left_out = []
    for scorer in dict.fromkeys(scorer for run in runs for scorer in run.scorers):
        for run, turns in zip(runs, pairing.turns, strict=True):
            try:
                metrics = run.metric_sums(scorer, turns, pairing.clusters)
            except UserError as error:
                left_out.append(f"{scorer} of {run.name} is left out: {error}")
                continue
            for sums in metrics:
                columns.setdefault(sums.spec.name, []).append(sums)
    return list(columns.values()), left_out


def _check(runs: Sequence[FinishedRun]) -> None:
    names = [run.name for run in runs]
    if len(runs) < 2:
        raise UserError("compare needs at least two run folders, e.g. reports/RUN_A reports/RUN_B")
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"{min(twice)} is listed twice.")
    for run in runs:
        if run.state is RunState.UNFINISHED:
            raise UserError(f"{run.name} is not scored yet. Repeat its `cscbench run` command to finish it.")
        run.read_all()


def _notes(runs: Sequence[FinishedRun], pairing: Pairing) -> list[str]:
    notes = []
    for run, turns in zip(runs, pairing.turns, strict=True):
        if run.state is RunState.PARTIAL:
            notes.append(f"{run.name} is partial: turns that it failed on are left out for all")
        if left := len(run.pairs) - len(turns):
            notes.append(f"{run.name}: {left} of its turns are not answered by all, or have another reference")
    if len({(run.record.protocol.context, run.record.protocol.condition) for run in runs}) > 1:
        notes.append("the runs have different contexts or conditions: a difference may be the protocol's")
    return notes


def _table(column: Sequence[MetricSums], baseline: str, resampling: Resampling) -> MetricTable | None:
    """The rows of one metric; None where no run has a value."""
    estimates = {sums.run: estimate for sums in column if (estimate := sums.estimate(resampling)) is not None}
    known = [sums for sums in column if sums.run in estimates]
    if not known:
        return None
    base = next((sums for sums in known if sums.run == baseline), None)
    others = [sums for sums in known if sums is not base]
    paired = {sums.run: compare_metrics(base, sums, resampling) for sums in others} if base is not None else {}
    tested = {run: pair.p for run, pair in paired.items() if pair is not None and pair.p is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    groups = tie_groups(known, resampling.seed)
    rows = [
        _row(sums, estimates[sums.run], paired.get(sums.run), corrected.get(sums.run), groups.get(sums.run), base)
        for sums in known
    ]
    spec = known[0].spec
    rows.sort(key=lambda row: row.value, reverse=spec.higher_is_better)
    return MetricTable(spec.name, spec.higher_is_better, (base or known[0]).measured_as, tuple(rows))


def _row(
    sums: MetricSums,
    estimate: Estimate,
    paired: Paired | None,
    p: float | None,
    group: int | None,
    base: MetricSums | None,
) -> ComparisonRow:
    return ComparisonRow(
        run=sums.run,
        value=estimate.value,
        interval=None if estimate.low is None or estimate.high is None else (estimate.low, estimate.high),
        paired=paired,
        p=p,
        detectable=minimum_detectable_effect(paired.error, sums.clusters)
        if paired is not None and paired.error
        else None,
        verdict=_verdict(sums, base, paired, p),
        group=group,
    )


def _verdict(sums: MetricSums, base: MetricSums | None, paired: Paired | None, p: float | None) -> Outcome:
    if sums is base:
        return Outcome.BASELINE
    if paired is None:
        return Outcome.OTHERWISE
    # Of five dialogues or fewer no swap is rarer than 1 in 16: nothing could be shown.
    if p is None or smallest_p(sums.clusters) >= SIGNIFICANCE:
        return Outcome.TOO_FEW
    if p >= SIGNIFICANCE:
        return Outcome.NOT_SHOWN
    return Outcome.BETTER if (paired.difference > 0) == sums.spec.higher_is_better else Outcome.WORSE
