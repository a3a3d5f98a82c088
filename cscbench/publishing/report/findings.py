"""What pairs of runs show: each metric's difference with its test, and where in the dialogues it comes from."""

from collections import Counter
from collections.abc import Sequence

from cscbench.comparing.agree.scores import measured_as, scorers_of, side_sums
from cscbench.comparing.agree.sides import Side, TurnKey, same_turns
from cscbench.comparing.compare import Comparison, Row, Verdict, compare
from cscbench.publishing.report.study import Pairing, Study
from cscbench.scoring.bootstrap import Resampling
from cscbench.scoring.paired import SIGNIFICANCE, Paired, Summarise, compare_sums, holm
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen
from cscbench.values.strategies import stage_of

# The metric that a report goes into detail with: the first of these that both runs have.
PRIMARY = ("strategy_accuracy", "rouge_l", "bleu_4")
# A group of fewer turns says nothing.
FEWEST = 10
GROUPS = ("strategy", "stage", "topic", "language")


class Finding(Frozen, frozen=True):
    """One metric of a pair: the values of both over the turns that both answered, and the test of their difference.

    `p` is corrected (Holm) over the report's pairs; `detectable` is the smallest true difference that would be shown
    four times in five.
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
    """The primary metric over the turns of one group; `p` is corrected over all groups of the pair."""

    kind: str
    name: str
    n: int
    paired: Paired
    p: float | None


class PairFindings(Frozen, frozen=True):
    """All that is found of a pair. `notes` say what a reader must know beside it."""

    pairing: Pairing
    turns: int
    dialogues: int
    metrics: tuple[Finding, ...]
    primary: str
    groups: tuple[GroupFinding, ...]
    notes: tuple[str, ...]


def findings(study: Study, how: Resampling, encoder: str = "") -> tuple[PairFindings, ...]:
    """Every pair of the study, tested.

    Raises:
        UserError: two runs have no turn in common.
    """
    compared = [_compare(study, pairing, how, encoder) for pairing in study.pairings]
    corrected = _corrected(compared)
    found = []
    for number, (pairing, comparison) in enumerate(zip(study.pairings, compared, strict=True)):
        metrics = tuple(
            _finding(table.name, table.higher_is_better, table.rows, comparison.baseline, corrected[number])
            for table in comparison.metrics
            if len(table.rows) == 2
        )
        known = [one.metric for one in metrics if one.verdict is not Verdict.OTHERWISE]
        primary = next((name for name in PRIMARY if name in known), "")
        sides = (study.members[pairing.old].side, study.members[pairing.new].side)
        found.append(
            PairFindings(
                pairing=pairing,
                turns=comparison.turns,
                dialogues=comparison.dialogues,
                metrics=metrics,
                primary=primary,
                groups=_groups(sides, primary, how, encoder) if primary else (),
                notes=comparison.notes,
            )
        )
    return tuple(found)


def _compare(study: Study, pairing: Pairing, how: Resampling, encoder: str) -> Comparison:
    return compare([study.members[pairing.old].side, study.members[pairing.new].side], how, encoder)


def _corrected(compared: Sequence[Comparison]) -> list[dict[str, float]]:
    """Holm's correction over the pairs, for each metric."""
    own: list[dict[str, float]] = [{} for _ in compared]
    tested: dict[str, list[tuple[int, float]]] = {}
    for number, comparison in enumerate(compared):
        for table in comparison.metrics:
            for row in table.rows:
                if row.paired and row.paired.p is not None:
                    tested.setdefault(table.name, []).append((number, row.paired.p))
    for name, values in tested.items():
        for (number, _), p in zip(values, holm([p for _, p in values]), strict=True):
            own[number][name] = p
    return own


def _finding(name: str, higher: bool, rows: Sequence[Row], baseline: str, corrected: dict[str, float]) -> Finding:
    old, new = sorted(rows, key=lambda row: row.run != baseline)
    p = corrected.get(name)
    verdict = new.verdict
    if verdict in {Verdict.BETTER, Verdict.WORSE, Verdict.NOT_SHOWN} and new.paired and p is not None:
        up = (new.paired.difference > 0) == higher
        verdict = Verdict.NOT_SHOWN if p >= SIGNIFICANCE else Verdict.BETTER if up else Verdict.WORSE
    return Finding(name, higher, old.value, new.value, new.paired, p, new.detectable, verdict)


def _groups(sides: tuple[Side, Side], metric: str, how: Resampling, encoder: str) -> tuple[GroupFinding, ...]:
    """The metric's difference over each group of turns that is large enough and in two dialogues or more."""
    turns = same_turns(sides)
    members = _members_of(sides[0], turns)
    large = {key: own for key, own in members.items() if len(own) >= FEWEST and len({d for d, _ in own}) > 1}
    kinds = Counter(kind for kind, _ in members)
    found = []
    for (kind, name), own in large.items():
        if kinds[kind] > 1 and (paired := _paired_over(sides, metric, own, how, encoder)) is not None:
            found.append((kind, name, len(own), paired))
    tested = [one[3].p for one in found]
    known = holm([p for p in tested if p is not None])
    corrected = iter(known)
    return tuple(
        GroupFinding(*one, p=None if p is None else next(corrected)) for one, p in zip(found, tested, strict=True)
    )


def _members_of(side: Side, turns: Sequence[TurnKey]) -> dict[tuple[str, str], list[TurnKey]]:
    """The turns of each group, by (kind, name)."""
    pairs, stages = side.pairs or {}, stage_of(side.run.task.strategies)
    found: dict[tuple[str, str], list[TurnKey]] = {}
    for key in turns:
        pair = pairs[key]
        names = (pair.reference_strategy, stages.get(pair.reference_strategy, ""), pair.topic, pair.language.value)
        for kind, name in zip(GROUPS, names, strict=True):
            if name:
                found.setdefault((kind, name), []).append(key)
    return found


def _paired_over(
    sides: tuple[Side, Side], metric: str, turns: Sequence[TurnKey], how: Resampling, encoder: str
) -> Paired | None:
    for name in scorers_of(sides):
        try:
            (scorer, old), (_, new) = (side_sums(name, side, turns, encoder) for side in sides)
        except UserError:
            continue  # compare() has said why this scorer is left out
        names = [spec.name for spec in scorer.metrics]
        if metric in names and measured_as(sides[0], metric) == measured_as(sides[1], metric):
            return compare_sums(old, new, _column(scorer.summarise, names.index(metric)), how)[0]
    return None


def _column(summarise: Summarise, number: int) -> Summarise:
    return lambda sums: summarise(sums)[:, number : number + 1]
