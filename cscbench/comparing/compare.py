"""Runs over the same turns against a baseline: differences with paired intervals, tests, and a verdict in words.

One straight line: `agree.sides` reads the runs, `stats.paired` tests sums by dialogue, `tables` and `formats` show.
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import combinations

from cscbench import __version__
from cscbench.comparing.agree.scores import measured_as, scorers_of, side_sums
from cscbench.comparing.agree.sides import Side, State, same_turns
from cscbench.scoring.bootstrap import Interval, Matrix, Resampling, intervals, resample_weights
from cscbench.scoring.paired import (
    PERMUTATIONS,
    SIGNIFICANCE,
    Paired,
    Summarise,
    compare_sums,
    detectable,
    holm,
    permutation_test,
)
from cscbench.scoring.scorer import MetricSpec
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen

SCHEMA = "cscbench/compare/1"


class Verdict(StrEnum):
    """What a comparison with the baseline shows, at 5 % after Holm's correction."""

    BASELINE = "baseline"
    BETTER = "better"
    WORSE = "worse"
    NOT_SHOWN = "no difference shown"
    TOO_FEW = "too few dialogues to tell"
    OTHERWISE = "measured otherwise"


class Row(Frozen, frozen=True):
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
    verdict: Verdict
    group: int | None


class MetricTable(Frozen, frozen=True):
    """One metric of all runs that have it, best first."""

    name: str
    higher_is_better: bool
    signature: str
    rows: tuple[Row, ...]


class Compared(Frozen, frozen=True):
    """A run of the comparison: the name of its folder, its hash and model."""

    name: str
    hash: str
    model: str


class Comparison(Frozen, frozen=True):
    """All of it; `turns` and `dialogues` were answered by every run."""

    schema: str
    cscbench: str
    baseline: str
    runs: tuple[Compared, ...]
    dialogues: int
    turns: int
    resampling: str
    tests: str
    metrics: tuple[MetricTable, ...]
    notes: tuple[str, ...]


class _Entry(Frozen, frozen=True):
    """A run's sums for one metric, and how to turn sums into that metric alone, as one column."""

    side: Side
    spec: MetricSpec
    sums: Matrix
    summarise: Summarise


def compare(sides: Sequence[Side], how: Resampling, encoder: str = "") -> Comparison:
    """Compare runs with the first of them, over the turns that all answered.

    Raises:
        UserError: fewer than two runs, one that is not scored or named twice, or no turn in common.
    """
    _check(sides)
    turns = same_turns(sides)
    metrics: list[MetricTable] = []
    notes = _notes(sides, len(turns))
    for name in scorers_of(sides):
        entries: list[tuple[_Entry, ...]] = []
        for side in sides:
            try:
                entries.append(_entries(name, side, turns, encoder))
            except UserError as error:
                notes.append(f"{name} of {side.run.name} is left out: {error}")
        metrics += [found for column in _by_metric(entries) if (found := _table(column, sides[0], how)) is not None]
    return Comparison(
        schema=SCHEMA,
        cscbench=__version__,
        baseline=sides[0].run.name,
        runs=tuple(Compared(side.run.name, side.run.hash, side.run.model.label) for side in sides),
        dialogues=len({dialogue for dialogue, _ in turns}),
        turns=len(turns),
        resampling=how.signature(),
        tests=f"p:permutation,two-sided,by:dialogue,permutations:{PERMUTATIONS},seed:{how.seed},correction:holm",
        metrics=tuple(metrics),
        notes=tuple(notes),
    )


def _check(sides: Sequence[Side]) -> None:
    names = [side.run.name for side in sides]
    if len(sides) < 2:
        raise UserError("compare needs two runs or more: the folders below reports/")
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"{min(twice)} is given twice: a run does not differ from itself")
    for side in sides:
        if side.state is State.UNFINISHED:
            raise UserError(f"{side.run.name} is not scored yet: the same `cscbench run` finishes it")


def _notes(sides: Sequence[Side], turns: int) -> list[str]:
    notes = []
    for side in sides:
        if side.state is State.PARTIAL:
            notes.append(f"{side.run.name} is partial: turns that it failed on are left out for all")
        if left := len(side.pairs or {}) - turns:
            notes.append(f"{side.run.name}: {left} of its turns are not answered by all, or have another reference")
    if len({(side.run.protocol.context, side.run.protocol.condition) for side in sides}) > 1:
        notes.append("the runs have different contexts or conditions: a difference may be the protocol's")
    return notes


def _entries(name: str, side: Side, turns: Sequence[tuple[str, int]], encoder: str) -> tuple[_Entry, ...]:
    scorer, sums = side_sums(name, side, turns, encoder)

    def column(number: int) -> Summarise:
        return lambda own: scorer.summarise(own)[:, number : number + 1]

    return tuple(_Entry(side, spec, sums, column(number)) for number, spec in enumerate(scorer.metrics))


def _by_metric(entries: Sequence[Sequence[_Entry]]) -> list[list[_Entry]]:
    found: dict[str, list[_Entry]] = {}
    for own in entries:
        for entry in own:
            found.setdefault(entry.spec.name, []).append(entry)
    return list(found.values())


def _table(entries: Sequence[_Entry], baseline: Side, how: Resampling) -> MetricTable | None:
    """The rows of one metric; None where no run has a value."""
    own = {entry.side.run.name: _value(entry, how) for entry in entries}
    known = [entry for entry in entries if own[entry.side.run.name] is not None]
    if not known:
        return None
    base = next((entry for entry in known if entry.side is baseline), None)
    paired = {entry.side.run.name: found for entry in known if base and (found := _paired(base, entry, how))}
    tested = {name: found.p for name, found in paired.items() if found.p is not None}
    corrected = dict(zip(tested, holm(list(tested.values())), strict=True))
    spec = known[0].spec
    groups = _groups(known, {name: value[0] for name, value in own.items() if value}, how)
    rows = []
    for entry in known:
        name = entry.side.run.name
        value, interval = own[name] or (float("nan"), None)
        against = paired.get(name)
        rows.append(
            Row(
                run=name,
                value=value,
                interval=interval,
                paired=against,
                p=corrected.get(name),
                detectable=detectable(against.error, len(entry.sums)) if against and against.error else None,
                verdict=_verdict(entry, base, against, corrected.get(name)),
                group=groups.get(name),
            )
        )
    rows.sort(key=lambda row: row.value, reverse=spec.higher_is_better)
    shown = base or known[0]
    return MetricTable(spec.name, spec.higher_is_better, measured_as(shown.side, spec.name), tuple(rows))


def _value(entry: _Entry, how: Resampling) -> tuple[float, Interval | None] | None:
    """The metric over the compared turns; None where it has no value."""
    total = entry.sums.sum(axis=0)
    point = entry.summarise(total[None])[0]
    if point[0] != point[0]:  # NaN
        return None
    if len(entry.sums) < 2:
        return float(point[0]), None
    drawn = entry.summarise(resample_weights(len(entry.sums), how) @ entry.sums)
    return float(point[0]), intervals(point, drawn, entry.summarise(total - entry.sums), how.method)[0]


def _alike(a: _Entry, b: _Entry) -> bool:
    return measured_as(a.side, a.spec.name) == measured_as(b.side, b.spec.name)


def _paired(base: _Entry, entry: _Entry, how: Resampling) -> Paired | None:
    if entry is base or not _alike(base, entry):
        return None
    return compare_sums(base.sums, entry.sums, base.summarise, how)[0]


def _verdict(entry: _Entry, base: _Entry | None, paired: Paired | None, p: float | None) -> Verdict:
    if entry is base:
        return Verdict.BASELINE
    if paired is None:
        return Verdict.OTHERWISE
    # Of five dialogues or fewer no swap is rarer than 1 in 16: nothing could be shown.
    if p is None or 2 / 2 ** len(entry.sums) >= SIGNIFICANCE:
        return Verdict.TOO_FEW
    if p >= SIGNIFICANCE:
        return Verdict.NOT_SHOWN
    return Verdict.BETTER if (paired.difference > 0) == entry.spec.higher_is_better else Verdict.WORSE


def _groups(entries: Sequence[_Entry], values: dict[str, float], how: Resampling) -> dict[str, int]:
    """The tie group of each run; none where the runs were measured differently, or over one dialogue."""
    if any(not _alike(entries[0], entry) for entry in entries) or len(entries[0].sums) < 2:
        return {}
    pairs = list(combinations(range(len(entries)), 2))
    p = [permutation_test(entries[a].sums, entries[b].sums, entries[a].summarise, how.seed)[0] or 0.0 for a, b in pairs]
    differs = {pair: own < SIGNIFICANCE for pair, own in zip(pairs, holm(p), strict=True)}
    order = sorted(
        range(len(entries)),
        key=lambda number: values[entries[number].side.run.name],
        reverse=entries[0].spec.higher_is_better,
    )
    found, first, group = {}, order[0], 1
    for number in order:
        if number != first and differs[min(first, number), max(first, number)]:
            first, group = number, group + 1
        found[entries[number].side.run.name] = group
    return found
