"""A study and its findings as a document."""

from collections.abc import Sequence

from cscbench.comparing.compare import Verdict
from cscbench.publishing.formats import p_value
from cscbench.publishing.report import single, words
from cscbench.publishing.report.blocks import (
    Block,
    Bullets,
    Document,
    Dot,
    Dots,
    Section,
    Table,
    Text,
    TimeSeries,
    section,
)
from cscbench.publishing.report.findings import Finding, PairFindings
from cscbench.publishing.report.study import Member, Study, StudyKind, StudyPair
from cscbench.runs.turns import TaskText
from cscbench.scoring.paired import SIGNIFICANCE

MOST_GROUPS = 6
_HOW = (
    "All metrics are on a scale of 0 to 100, higher is better, unless the table says otherwise; stars go from 1 to 5.",
    "A 95 % interval says where the value would lie for other dialogues of the same kind. Whole dialogues are drawn "
    "again and again, because turns of one dialogue are not independent.",
    "Two runs are compared on the same turns: the interval of their difference counts, not whether their own "
    "intervals overlap.",
    "p is the share of random swaps between the two runs that give a difference as large, corrected (Holm) for the "
    f"number of pairs in this report. Below {SIGNIFICANCE} a difference is called shown.",
    f'"{Verdict.NOT_SHOWN.value}" is not "equal": a true difference smaller than the table\'s "would be shown" goes '
    "unseen more than 20 times in 100.",
    "BLEU, ROUGE-L and BERTScore measure likeness to one reference. A good reply in other words scores low.",
)


def document(study: Study, found: Sequence[PairFindings], source: TaskText) -> Document:
    """The whole report: what was found in words first, then numbers, then each run."""
    if study.kind is StudyKind.RUN:
        own = study.members[0]
        head: list[Section | None] = [
            section("In short", single.in_short(own)),
            section("The numbers", single.numbers(own)),
        ]
        return Document(
            study.title,
            _there([*head, *single.sections(own, source, 2), section("How to read this", (Bullets(_HOW),))]),
        )
    parts: list[Section | None] = [
        section("In short", _in_short(study, found)),
        section("The numbers", _numbers(study)),
        section("Over time", _over_time(study)) if study.kind is StudyKind.TREND else None,
        *(part for one in found for part in _pair(study, one, source)),
    ]
    for member in study.members:
        parts.append(section(member.name, single.in_short(member)))
        parts += single.sections(member, source, 3)
    return Document(study.title, _there([*parts, section("How to read this", (Bullets(_HOW),))]))


def _there(parts: Sequence[Section | None]) -> tuple[Section, ...]:
    return tuple(part for part in parts if part is not None)


def _names(study: Study, pairing: StudyPair) -> tuple[str, str]:
    return study.members[pairing.old].name, study.members[pairing.new].name


def _in_short(study: Study, found: Sequence[PairFindings]) -> tuple[Block, ...]:
    """Who is better, by how much, how sure; where each is weak."""
    headlines = [words.headline(one, *_names(study, one.pairing)) for one in found]
    blocks: list[Block] = [Text(headlines[0], lead=True)] if len(found) == 1 else [Bullets(tuple(headlines))]
    for one in found:
        main = next((own for own in one.metrics if own.metric == one.primary), None)
        if main is not None:
            blocks.append(Text(words.sentence(main, *_names(study, one.pairing)) + words.luck(main)))
    weak = [text for member in study.members if (text := _weak(member))]
    return (*blocks, *((Bullets(tuple(weak)),) if weak else ()))


def _weak(member: Member) -> str:
    metric = single.primary(member)
    found = sorted((own for own in single.groups(member, metric) if own.side < 0), key=lambda own: own.value)
    if not found:
        return ""
    named = [
        f"{words.group_name(own.kind, own.name, member.run.record.task.strategies)} ({words.number(own.value)})"
        for own in found[:3]
    ]
    overall = next(one.value for one in member.results.metrics if one.name == metric)
    return (
        f"{member.name} is weakest in {words.listed(named)}: {words.metric_name(metric)}, "
        f"{words.number(overall)} on the whole."
    )


def _numbers(study: Study) -> tuple[Block, ...]:
    """A row a metric, a column a run: each run over all turns that it answered."""
    names = list(dict.fromkeys(metric.name for member in study.members for metric in member.results.metrics))
    values = [{metric.name: metric for metric in member.results.metrics} for member in study.members]
    rows = []
    for name in names:
        cells = []
        for own in values:
            metric = own.get(name)
            interval = (
                None if metric is None or metric.low is None or metric.high is None else (metric.low, metric.high)
            )
            shown = "" if metric is None else words.number(metric.value, name)
            cells.append(f"{shown} ({words.between(interval, name)})" if interval else shown)
        lower = any(own[name].higher_is_better is False for own in values if name in own)
        rows.append((words.metric_name(name) + (" (lower is better)" if lower else ""), *cells))
    columns = tuple(range(1, len(study.members) + 1))
    return (
        Text("Values with their 95 % intervals over dialogues, each run over all turns that it answered."),
        Table(("metric", *(member.name for member in study.members)), tuple(rows), columns),
    )


def _over_time(study: Study) -> tuple[Block, ...]:
    """A drawing a metric; only runs that were measured as the latest was."""
    blocks: list[Block] = []
    latest = study.members[-1].results
    for metric in latest.metrics:
        dots, left = [], 0
        for member in study.members:
            own = next((one for one in member.results.metrics if one.name == metric.name), None)
            if own is None or own.signature != metric.signature:
                left += 1
                continue
            interval = None if own.low is None or own.high is None else (own.low, own.high)
            dots.append(Dot(member.name, own.value, interval))
        if len(dots) > 1:
            blocks.append(TimeSeries(words.metric_name(metric.name), tuple(dots)))
        if left:
            blocks.append(
                Text(f"{words.metric_name(metric.name)}: {words.count(left, 'run')} measured otherwise, left out here.")
            )
    return tuple(blocks)


def _pair(study: Study, found: PairFindings, source: TaskText) -> list[Section | None]:
    old, new = _names(study, found.pairing)
    turns, dialogues = words.count(found.turns, "turn"), words.count(found.dialogues, "dialogue")
    about = Text(f"Over the {turns} of {dialogues} that both answered. A difference is {new} less {old}.")
    dots = tuple(
        Dot(words.metric_name(one.metric), one.paired.difference, one.paired.interval)
        for one in found.metrics
        if one.paired is not None and not one.metric.startswith("stars")
    )
    drawn = Dots(f"{new} less {old}, points, with 95 % intervals", dots, 0.0) if dots else None
    said = Bullets(tuple(words.sentence(one, old, new) for one in found.metrics)) if found.metrics else None
    notes = Bullets(found.notes) if found.notes else None
    return [
        section(f"{new} against {old}", [about, said, drawn, _tests(found.metrics), notes]),
        section("Where they differ", _where(study, found), 3),
        section("Turns where they differ most", _apart(study, found.pairing, source), 3),
    ]


def _tests(found: Sequence[Finding]) -> Table | None:
    rows = []
    for one in found:
        paired = one.paired
        metric = one.metric
        rows.append(
            (
                words.metric_name(metric) + ("" if one.higher_is_better else " (lower is better)"),
                words.number(one.old, metric),
                words.number(one.new, metric),
                ""
                if paired is None
                else f"{'+' if paired.difference > 0 else ''}{words.number(paired.difference, metric)}",
                "" if paired is None else words.between(paired.interval, metric),
                p_value(one.p),
                "" if one.detectable is None else words.number(one.detectable, metric),
                one.verdict.value,
            )
        )
    head = ("metric", "old", "new", "difference", "95 % interval", "p", "would be shown", "verdict")
    return Table(head, tuple(rows), (1, 2, 3, 4, 5, 6)) if rows else None


def _where(study: Study, found: PairFindings) -> tuple[Block, ...]:
    """Groups of turns in which one is ahead, after correction for their number."""
    old, new = _names(study, found.pairing)
    if not found.groups:
        return ()
    strategies = study.members[found.pairing.old].run.record.task.strategies
    shown = [own for own in found.groups if own.p is not None and own.p < SIGNIFICANCE]
    shown.sort(key=lambda own: -abs(own.paired.difference))
    items = []
    for own in shown[:MOST_GROUPS]:
        better = new if own.paired.difference > 0 else old
        name = words.group_name(own.kind, own.name, strategies)
        interval = own.paired.interval
        if interval is not None and own.paired.difference < 0:
            interval = (-interval[1], -interval[0])
        range_of = f" (95 % interval {words.between(interval)})" if interval else ""
        items.append(
            f"{own.kind} {name}: {better} is ahead by {words.number(abs(own.paired.difference))} points{range_of}, on "
            f"{words.count(own.n, 'turn')}."
        )
    metric = words.metric_name(found.primary)
    if not items:
        return (
            Text(f"In no group of turns is a difference in {metric} shown, with {len(found.groups)} groups tested."),
        )
    rest = f" The largest {MOST_GROUPS} of {len(shown)}." if len(shown) > MOST_GROUPS else ""
    about = (
        f"Groups in which a difference in {metric} is shown, with a correction for {len(found.groups)} groups.{rest}"
    )
    return (Text(about), Bullets(tuple(items)))


def _apart(study: Study, pairing: StudyPair, source: TaskText) -> tuple[Block, ...]:
    """One turn each way in which the replies are most unlike in quality, by ROUGE-L."""
    old, new = study.members[pairing.old], study.members[pairing.new]
    there = {(turn.pair.dialogue, turn.pair.turn): turn for turn in old.turns}
    both = [(there[key], turn) for turn in new.turns if (key := (turn.pair.dialogue, turn.pair.turn)) in there]
    alike = [(a, b) for a, b in both if a.pair.reference == b.pair.reference]
    scored = [
        (b.scores[0] - a.scores[0], a, b) for a, b in alike if a.scores[0] is not None and b.scores[0] is not None
    ]
    if not scored:
        return ()
    scored.sort(key=lambda one: (one[0], one[1].pair.dialogue, one[1].pair.turn))
    ends = [(f"{new.name} closer to the reference", scored[-1]), (f"{old.name} closer to the reference", scored[0])]
    shown = [(title, one) for title, one in ends if (one[0] > 0) == (one is scored[-1]) and one[0]]
    return tuple(single.exchange(title, [(old.name, a), (new.name, b)], source) for title, (_, a, b) in shown)
