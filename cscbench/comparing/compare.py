"""Compare runs with a baseline over the same turns: paired intervals, tests, and a plain-language verdict.

`pairing` finds the turns that runs have in common; `scoring.metric_sums` tests sums by cluster.
"""

from collections.abc import Sequence
from enum import StrEnum

from cscbench import __version__
from cscbench.comparing.pairing import Pairing, pair_runs
from cscbench.comparing.rows import HEAD, NUMBERS, rows
from cscbench.runs.finished import FinishedRun, RunState, resampling_over
from cscbench.runs.summary import html_table, text_table
from cscbench.scoring.bootstrap import Interval, Resampling
from cscbench.scoring.metric_sums import MetricSums, compare_metrics, tests_signature, tie_groups
from cscbench.scoring.paired import SIGNIFICANCE, Paired, holm, minimum_detectable_effect, smallest_p
from cscbench.values import Estimate, Frozen, UserError

SCHEMA = "cscbench/compare/1"


class Verdict(StrEnum):
    """Verdict of a comparison with the baseline, at the 5% level after Holm's correction."""

    BASELINE = "baseline"
    BETTER = "better"
    WORSE = "worse"
    NOT_SHOWN = "no difference shown"
    TOO_FEW = "too few dialogues to tell"
    MEASURED_DIFFERENTLY = "measured differently"


class ComparisonRow(Frozen, frozen=True):
    """A run's value of a metric with its interval, and `paired`: the comparison with the baseline (A; this run is B).

    `p` is corrected for the number of runs compared with the baseline on this metric. `detectable` is the smallest true
    difference that these dialogues would detect with 80% power. Runs in the same `group` (1 is best) are tied: none
    differs from the first of the group, corrected for all pairs of runs.
    """

    run: str
    value: float
    interval: Interval | None
    paired: Paired | None
    p: float | None
    detectable: float | None
    verdict: Verdict
    group: int | None


class MetricTable(Frozen, frozen=True):
    """One metric for all runs that have it, best first."""

    name: str
    higher_is_better: bool
    signature: str
    rows: tuple[ComparisonRow, ...]


class ComparedRun(Frozen, frozen=True):
    """A run in the comparison: its folder name, hash and model."""

    name: str
    hash: str
    model: str


class Comparison(Frozen, frozen=True):
    """A complete comparison; every run answered the counted `turns` and `dialogues`."""

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

    @property
    def _headline(self) -> str:
        return f"{self.turns} turns of {self.dialogues} dialogues, against {self.baseline}"

    def __repr__(self) -> str:
        lines = [f"note: {note}" for note in self.notes]
        return "\n".join([self._headline, text_table(HEAD, rows(self), NUMBERS), *lines])

    def _repr_html_(self) -> str:
        return html_table(self._headline, HEAD, rows(self), NUMBERS)


def compare(runs: Sequence[FinishedRun], resampling: Resampling) -> Comparison:
    """Compare runs with the first one, over the turns that all of them answered.

    Raises:
        UserError: fewer than two runs; a run is unscored, damaged or listed twice; or they have nothing in common.
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
    """Return each metric's sums by run, in the order of the runs' scorers, and why any scorer of a run is left out."""
    columns: dict[str, list[MetricSums]] = {}
    left_out = []
    for scorer in dict.fromkeys(scorer for run in runs for scorer in run.scorers):
        for run, turns in zip(runs, pairing.turns, strict=True):
            try:
                metrics = run.metric_sums(scorer, turns, pairing.clusters)
            except UserError as error:
                left_out.append(f"{scorer} of {run.name} is omitted: {error}")
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
            notes.append(f"{run.name} is partial: the turns it failed on are excluded for all runs")
        if left := len(run.pairs) - len(turns):
            notes.append(
                f"{run.name}: {left} of its turns were not answered by all runs, or have a different reference"
            )
    if len({(run.record.protocol.context, run.record.protocol.condition) for run in runs}) > 1:
        notes.append("the runs have different contexts or conditions: a difference may come from the protocol")
    return notes


def _table(column: Sequence[MetricSums], baseline: str, resampling: Resampling) -> MetricTable | None:
    """Return the rows of one metric, or None if no run has a value."""
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


def _verdict(sums: MetricSums, base: MetricSums | None, paired: Paired | None, p: float | None) -> Verdict:
    if sums is base:
        return Verdict.BASELINE
    if paired is None:
        return Verdict.MEASURED_DIFFERENTLY
    # With five dialogues or fewer, p cannot fall below 1 in 16: no difference could be significant.
    if p is None or smallest_p(sums.clusters) >= SIGNIFICANCE:
        return Verdict.TOO_FEW
    if p >= SIGNIFICANCE:
        return Verdict.NOT_SHOWN
    return Verdict.BETTER if (paired.difference > 0) == sums.spec.higher_is_better else Verdict.WORSE
