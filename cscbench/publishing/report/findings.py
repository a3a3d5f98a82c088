"""Test the pairs of a study: each metric's difference, and the groups of turns in which it appears."""

from collections import Counter
from collections.abc import Sequence

from cscbench.comparing.compare import Comparison, ComparisonRow, Verdict, compare
from cscbench.comparing.pairing import Pairing, pair_runs
from cscbench.publishing.report.study import Study, StudyPair
from cscbench.runs.finished import FinishedRun, TurnKey
from cscbench.scoring.bootstrap import Resampling
from cscbench.scoring.metric_sums import compare_metrics
from cscbench.scoring.paired import SIGNIFICANCE, Paired, holm
from cscbench.values import Frozen, UserError, stage_of

# A report details the first of these metrics that both runs have.
PRIMARY = ("strategy_accuracy", "rouge_l", "bleu_4")
# Groups with fewer turns are not reported.
FEWEST = 10
GROUPS = ("strategy", "stage", "topic", "language")


class Finding(Frozen, frozen=True):
    """One metric of a pair: the values of both runs over their common turns, and the test of the difference.

    `p` is corrected (Holm) over the report's pairs; `detectable` is the smallest true difference detected with 80%
    power.
    """

    metric: str
    higher_is_better: bool
    old: float
    new: float
    paired: Paired | None
    p: float | None
    detectable: float | None
    verdict: Verdict


class GroupFinding(Frozen, frozen=True):
    """The primary metric over one group of turns; `p` is corrected over all groups of the pair."""

    kind: str
    name: str
    n: int
    paired: Paired
    p: float | None


class PairFindings(Frozen, frozen=True):
    """The findings of a pair. `notes` say what a reader must know about the comparison."""

    pairing: StudyPair
    turns: int
    dialogues: int
    metrics: tuple[Finding, ...]
    primary: str
    groups: tuple[GroupFinding, ...]
    notes: tuple[str, ...]


def findings(study: Study, resampling: Resampling) -> tuple[PairFindings, ...]:
    """Test every pair of the study.

    Raises:
        UserError: two runs have no turn in common.
    """
    compared = [_compare(study, pairing, resampling) for pairing in study.pairings]
    corrected = _corrected(compared)
    pairs = []
    for number, (pairing, comparison) in enumerate(zip(study.pairings, compared, strict=True)):
        metrics = tuple(
            _finding(table.name, table.higher_is_better, table.rows, comparison.baseline, corrected[number])
            for table in comparison.metrics
            if len(table.rows) == 2
        )
        known = [finding.metric for finding in metrics if finding.verdict is not Verdict.MEASURED_DIFFERENTLY]
        primary = next((name for name in PRIMARY if name in known), "")
        runs = (study.members[pairing.old].run, study.members[pairing.new].run)
        pairs.append(
            PairFindings(
                pairing=pairing,
                turns=comparison.turns,
                dialogues=comparison.dialogues,
                metrics=metrics,
                primary=primary,
                groups=_groups(runs, primary, resampling) if primary else (),
                notes=comparison.notes,
            )
        )
    return tuple(pairs)


def _compare(study: Study, pairing: StudyPair, resampling: Resampling) -> Comparison:
    return compare([study.members[pairing.old].run, study.members[pairing.new].run], resampling)


def _corrected(compared: Sequence[Comparison]) -> list[dict[str, float]]:
    """Return each pair's p-values by metric, corrected (Holm) over the pairs."""
    corrected: list[dict[str, float]] = [{} for _ in compared]
    tested: dict[str, list[tuple[int, float]]] = {}
    for number, comparison in enumerate(compared):
        for table in comparison.metrics:
            for row in table.rows:
                if row.paired and row.paired.p is not None:
                    tested.setdefault(table.name, []).append((number, row.paired.p))
    for name, values in tested.items():
        for (number, _), p in zip(values, holm([p for _, p in values]), strict=True):
            corrected[number][name] = p
    return corrected


def _finding(
    name: str, higher: bool, rows: Sequence[ComparisonRow], baseline: str, corrected: dict[str, float]
) -> Finding:
    old, new = sorted(rows, key=lambda row: row.run != baseline)
    p = corrected.get(name)
    verdict = new.verdict
    if verdict in {Verdict.BETTER, Verdict.WORSE, Verdict.NOT_SHOWN} and new.paired and p is not None:
        up = (new.paired.difference > 0) == higher
        verdict = Verdict.NOT_SHOWN if p >= SIGNIFICANCE else Verdict.BETTER if up else Verdict.WORSE
    return Finding(name, higher, old.value, new.value, new.paired, p, new.detectable, verdict)


def _groups(runs: tuple[FinishedRun, FinishedRun], metric: str, resampling: Resampling) -> tuple[GroupFinding, ...]:
    """Return the metric's difference over each group with enough turns and at least two clusters."""
    pairing = pair_runs(runs)
    if not pairing.by_turn:
        return ()
    members = _members_of(runs[0], pairing.turns[0])
    kinds = Counter(kind for kind, _ in members)
    compared = []
    for (kind, name), turns in members.items():
        clusters = {pairing.clusters[dialogue] for dialogue, _ in turns}
        if len(turns) >= FEWEST and len(clusters) > 1 and kinds[kind] > 1:
            paired = _paired_over(runs, metric, turns, pairing, resampling)
            compared += [(kind, name, len(turns), paired)] if paired is not None else []
    corrected = iter(holm([paired.p for *_, paired in compared if paired.p is not None]))
    return tuple(
        GroupFinding(kind, name, n, paired, None if paired.p is None else next(corrected))
        for kind, name, n, paired in compared
    )


def _members_of(run: FinishedRun, turns: Sequence[TurnKey]) -> dict[tuple[str, str], list[TurnKey]]:
    """Return the turns of each group, by (kind, name)."""
    stages = stage_of(run.record.task.strategies)
    members: dict[tuple[str, str], list[TurnKey]] = {}
    for turn in turns:
        pair = run.pairs[turn]
        names = (pair.reference_strategy, stages.get(pair.reference_strategy, ""), pair.topic, pair.language.value)
        for kind, name in zip(GROUPS, names, strict=True):
            if name:
                members.setdefault((kind, name), []).append(turn)
    return members


def _paired_over(
    runs: tuple[FinishedRun, FinishedRun],
    metric: str,
    turns: Sequence[TurnKey],
    pairing: Pairing,
    resampling: Resampling,
) -> Paired | None:
    for scorer in runs[0].scorers:
        try:
            old, new = (
                {sums.spec.name: sums for sums in run.metric_sums(scorer, turns, pairing.clusters)} for run in runs
            )
        except UserError:
            continue  # compare() notes why this scorer is omitted
        if metric in old and metric in new:
            return compare_metrics(old[metric], new[metric], resampling)
    return None
