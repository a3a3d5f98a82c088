"""Put a study and its findings into a document."""

from collections.abc import Sequence

from cscbench.comparing.compare import Verdict
from cscbench.comparing.rows import p_value
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
_READING_NOTES = (
    "Metrics range from 0 to 100 and higher is better, unless the table says otherwise; stars range from 1 to 5.",
    "A 95% interval shows how much a value could differ for other dialogues of the same kind. Whole dialogues are "
    "resampled, because turns of one dialogue are not independent.",
    "Runs are compared on the same turns. Judge a difference by its own interval, not by whether the intervals of the "
    "two runs overlap.",
    "p is the share of random swaps between the two runs that produce a difference at least as large, corrected (Holm) "
    f"for the number of pairs in this report. A difference with p below {SIGNIFICANCE} is significant.",
    f'"{Verdict.NOT_SHOWN.value}" does not mean "equal": a true difference smaller than the table\'s "MDE" (minimum '
    "detectable effect) is missed more than 20% of the time.",
    "BLEU, ROUGE-L and BERTScore measure similarity to one reference. A good reply in other words scores low.",
)


def document(study: Study, pairs: Sequence[PairFindings], task_text: TaskText) -> Document:
    """Return the whole report: a summary first, then metrics, then each run."""
    parts: list[Section | None]
    if study.kind is StudyKind.RUN:
        (member,) = study.members
        parts = [
            section("Summary", single.summary(member)),
            section("Metrics", single.metrics(member)),
            *single.sections(member, task_text, 2),
        ]
    else:
        parts = [
            section("Summary", _summary(study, pairs)),
            section("Metrics", _metrics(study)),
            section("Over time", _over_time(study)) if study.kind is StudyKind.TREND else None,
            *(part for pair in pairs for part in _pair(study, pair, task_text)),
        ]
        for member in study.members:
            parts += [section(member.name, single.summary(member)), *single.sections(member, task_text, 3)]
    parts.append(section("How to read this report", (Bullets(_READING_NOTES),)))
    return Document(study.title, tuple(part for part in parts if part is not None))


def _names(study: Study, pairing: StudyPair) -> tuple[str, str]:
    return study.members[pairing.old].name, study.members[pairing.new].name


def _summary(study: Study, pairs: Sequence[PairFindings]) -> tuple[Block, ...]:
    """Say which run is better, by how much and how certainly, and where each is weak."""
    headlines = [words.headline(pair, *_names(study, pair.pairing)) for pair in pairs]
    blocks: list[Block] = [Text(headlines[0], lead=True)] if len(pairs) == 1 else [Bullets(tuple(headlines))]
    for pair in pairs:
        main = next((finding for finding in pair.metrics if finding.metric == pair.primary), None)
        if main is not None:
            blocks.append(Text(words.sentence(main, *_names(study, pair.pairing)) + words.luck(main)))
    weak = [text for member in study.members if (text := _weak(member))]
    return (*blocks, *((Bullets(tuple(weak)),) if weak else ()))


def _weak(member: Member) -> str:
    overall = member.metric(single.primary(member))
    weakest = single.weakest(member)[:3]
    if overall is None or not weakest:
        return ""
    named = [f"{single.group_name(member, group)} ({words.format_number(group.value)})" for group in weakest]
    metric, value = words.metric_name(overall.name), words.format_number(overall.value)
    return f"{member.name} is weakest in {words.listed(named)}; its overall {metric} is {value}."


def _metrics(study: Study) -> tuple[Block, ...]:
    """Return a row per metric and a column per run, each run over all turns that it answered."""
    names = list(dict.fromkeys(metric.name for member in study.members for metric in member.results.metrics))
    rows = []
    for name in names:
        values = [member.metric(name) for member in study.members]
        cells = []
        for metric in values:
            interval = None if metric is None else words.interval_of(metric.low, metric.high)
            value = "" if metric is None else words.format_number(metric.value, name)
            cells.append(f"{value} ({words.between(interval, name)})" if interval else value)
        higher = all(metric.higher_is_better for metric in values if metric is not None)
        rows.append((words.metric_name(name, higher), *cells))
    columns = tuple(range(1, len(study.members) + 1))
    return (
        Text("Values with 95% intervals over dialogues, each run over all turns that it answered."),
        Table(("metric", *(member.name for member in study.members)), tuple(rows), columns),
    )


def _over_time(study: Study) -> tuple[Block, ...]:
    """Return a plot per metric, of the runs measured the same way as the latest one."""
    blocks: list[Block] = []
    for latest in study.members[-1].results.metrics:
        name, dots, omitted = words.metric_name(latest.name), [], 0
        for member in study.members:
            metric = member.metric(latest.name)
            if metric is None or metric.signature != latest.signature:
                omitted += 1
                continue
            dots.append(Dot(member.name, metric.value, words.interval_of(metric.low, metric.high)))
        if len(dots) > 1:
            blocks.append(TimeSeries(name, tuple(dots)))
        if omitted:
            blocks.append(Text(f"{name}: {words.count(omitted, 'run')} omitted because measured differently."))
    return tuple(blocks)


def _pair(study: Study, pair: PairFindings, task_text: TaskText) -> list[Section | None]:
    old, new = _names(study, pair.pairing)
    turns, dialogues = words.count(pair.turns, "turn"), words.count(pair.dialogues, "dialogue")
    about = Text(f"Over the {turns} of {dialogues} that both runs answered. Differences are {new} minus {old}.")
    dots = tuple(
        Dot(words.metric_name(finding.metric), finding.paired.difference, finding.paired.interval)
        for finding in pair.metrics
        if finding.paired is not None and not finding.metric.startswith("stars")
    )
    plot = Dots(f"{new} minus {old}, in points, with 95% intervals", dots, 0.0) if dots else None
    sentences = tuple(words.sentence(finding, old, new) for finding in pair.metrics)
    blocks = [about, Bullets(sentences) if sentences else None, plot, _tests(pair.metrics)]
    return [
        section(f"{new} against {old}", [*blocks, Bullets(pair.notes) if pair.notes else None]),
        section("Where they differ", _where(study, pair), 3),
        section("Turns where they differ most", _largest_differences(study, pair.pairing, task_text), 3),
    ]


def _tests(findings: Sequence[Finding]) -> Table | None:
    rows = []
    for finding in findings:
        metric, paired = finding.metric, finding.paired
        sign = "+" if paired is not None and paired.difference > 0 else ""
        rows.append(
            (
                words.metric_name(metric, finding.higher_is_better),
                words.format_number(finding.old, metric),
                words.format_number(finding.new, metric),
                "" if paired is None else f"{sign}{words.format_number(paired.difference, metric)}",
                "" if paired is None else words.between(paired.interval, metric),
                p_value(finding.p),
                "" if finding.detectable is None else words.format_number(finding.detectable, metric),
                finding.verdict.value,
            )
        )
    head = ("metric", "old", "new", "difference", "95% interval", "p", "MDE", "verdict")
    return Table(head, tuple(rows), (1, 2, 3, 4, 5, 6)) if rows else None


def _where(study: Study, pair: PairFindings) -> tuple[Block, ...]:
    """List the groups of turns in which one run is ahead, corrected for their number."""
    old, new = _names(study, pair.pairing)
    if not pair.groups:
        return ()
    strategies = study.members[pair.pairing.old].run.record.task.strategies
    significant = [group for group in pair.groups if group.p is not None and group.p < SIGNIFICANCE]
    significant.sort(key=lambda group: -abs(group.paired.difference))
    items = []
    for group in significant[:MOST_GROUPS]:
        better = new if group.paired.difference > 0 else old
        name = words.group_name(group.kind, group.name, strategies)
        points = words.format_number(abs(group.paired.difference))
        interval = words.in_parentheses(words.gain_interval(group.paired))
        turns = words.count(group.n, "turn")
        items.append(f"{group.kind} {name}: {better} is ahead by {points} points{interval} on {turns}.")
    metric, tested = words.metric_name(pair.primary), len(pair.groups)
    if not items:
        return (Text(f"No group of turns shows a significant difference in {metric} ({tested} groups tested)."),)
    rest = f" The largest {MOST_GROUPS} of {len(significant)}." if len(significant) > MOST_GROUPS else ""
    about = f"Groups with a significant difference in {metric}, corrected for {tested} groups.{rest}"
    return (Text(about), Bullets(tuple(items)))


def _largest_differences(study: Study, pairing: StudyPair, task_text: TaskText) -> tuple[Block, ...]:
    """Show the turn with the largest difference in ROUGE-L in each direction."""
    old, new = study.members[pairing.old], study.members[pairing.new]
    old_turns = {(turn.pair.dialogue, turn.pair.turn): turn for turn in old.turns}
    scored = []
    for turn in new.turns:
        counterpart = old_turns.get((turn.pair.dialogue, turn.pair.turn))
        if counterpart is None or counterpart.pair.reference != turn.pair.reference:
            continue
        before, after = counterpart.scores[0], turn.scores[0]
        if before is not None and after is not None:
            scored.append((after - before, turn.pair.dialogue, turn.pair.turn, counterpart, turn))
    if not scored:
        return ()
    scored.sort(key=lambda entry: entry[:3])
    shown = [(new.name, scored[-1])] if scored[-1][0] > 0 else []
    shown += [(old.name, scored[0])] if scored[0][0] < 0 else []
    return tuple(
        single.exchange(f"{name} closer to the reference", [(old.name, before), (new.name, after)], task_text)
        for name, (*_, before, after) in shown
    )
