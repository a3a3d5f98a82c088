"""Report on one run: metrics, strengths and weaknesses, confusions, examples, cost, and how to reproduce it."""

from collections.abc import Sequence

from cscbench.publishing.report import words
from cscbench.publishing.report.blocks import (
    Block,
    Bullets,
    Code,
    Dot,
    Dots,
    Exchange,
    Heat,
    Section,
    Table,
    Text,
    Utterance,
    section,
)
from cscbench.publishing.report.findings import FEWEST, GROUPS, PRIMARY
from cscbench.publishing.report.study import Member
from cscbench.runs.cost_rows import cost_rows
from cscbench.runs.reproduce import command_of
from cscbench.runs.turns import ScoredTurn, TaskText
from cscbench.scoring.bootstrap import Interval
from cscbench.values import Frozen, ParseForm, Speaker

# The number of groups at each end, of confusions, and of examples to report.
MOST = 4


class TurnGroup(Frozen, frozen=True):
    """The primary metric over a group of turns; `side` is 1 if it is above the run's overall value, -1 if below."""

    kind: str
    name: str
    n: int
    value: float
    interval: Interval | None
    side: int


def primary(member: Member) -> str:
    """Return the metric that the report details, or an empty string if the run has none of them."""
    return next((name for name in PRIMARY if member.metric(name) is not None), "")


def summary(member: Member) -> tuple[Block, ...]:
    """Summarize the run in a few sentences."""
    results, counts = member.results, member.results.counts
    sentences = [f"{member.name} answered {played(member)}."]
    if not results.run.complete:
        failed = words.count(counts.failed, "reply", "replies")
        sentences.append(f"{failed} failed and are not counted: the run is partial.")
    metric = member.metric(primary(member))
    if metric is not None:
        value = words.format_number(metric.value)
        interval = words.in_parentheses(words.interval_of(metric.low, metric.high))
        if metric.name == "strategy_accuracy":
            sentences.append(f"It chose the reference strategy in {value}% of turns{interval}.")
            sentences += _most_frequent_strategy(member)
        else:
            sentences.append(f"Its {words.metric_name(metric.name)} is {value}{interval}.")
    if counts.unparsed:
        unparsed = words.count(counts.unparsed, "reply", "replies")
        sentences.append(f"{unparsed} of {counts.answered:,} contain no readable strategy and count as wrong.")
    first, *others = sentences
    return (Text(first, lead=True), *((Text(" ".join(others)),) if others else ()))


def played(member: Member) -> str:
    """Describe the data and protocol: `164 supporter turns of 16 dialogues of csconv_sample (English), ...`."""
    results = member.results
    history = "the reference" if results.protocol.context == "gold" else "its own replies"
    languages = words.listed([words.language_name(language) for language in results.task.languages])
    turns = words.count(results.counts.answered, "supporter turn")
    dialogues = words.count(results.counts.dialogues, "dialogue")
    return (
        f"{turns} of {dialogues} of {results.task.name} ({languages}), with {history} as history "
        f"(condition {results.protocol.condition})"
    )


def _most_frequent_strategy(member: Member) -> list[str]:
    """Give the accuracy of always choosing the most frequent strategy, which needs no model."""
    rows = member.results.known_tables.by_strategy
    turns = sum(row.n for row in rows)
    if not turns:
        return []
    most = max(rows, key=lambda row: row.n)
    name = words.group_name("strategy", most.name, member.run.record.task.strategies)
    return [f"Always choosing {name} would be right in {words.format_number(100 * most.n / turns)}%."]


def metrics(member: Member) -> tuple[Block, ...]:
    """List every metric of the run with its interval."""
    rows = [
        (
            words.metric_name(metric.name, metric.higher_is_better),
            words.format_number(metric.value, metric.name),
            words.between(words.interval_of(metric.low, metric.high), metric.name),
            f"{metric.n:,}",
        )
        for metric in member.results.metrics
    ]
    return (Table(("metric", "value", "95% interval", "turns"), tuple(rows), (1, 2, 3)),)


def groups(member: Member, name: str) -> list[TurnGroup]:
    """Return a metric by strategy, stage, topic and language, for groups with enough turns."""
    overall = member.metric(name)
    if overall is None:
        return []
    turn_groups = []
    for kind in GROUPS:
        rows = member.results.known_tables.groups(kind)
        for row in rows if len(rows) > 1 else ():
            metric = row.metrics.get(name)
            if metric is not None and row.n >= FEWEST:
                n = row.n if name == "strategy_accuracy" else 0
                side = _side_of(metric.value, metric.low, metric.high, overall.value, n)
                interval = words.interval_of(metric.low, metric.high)
                turn_groups.append(TurnGroup(kind, row.name, row.n, metric.value, interval, side))
    return turn_groups


def _side_of(value: float, low: float | None, high: float | None, overall: float, n: int) -> int:
    """Return 1 if a group is above the overall value, -1 if below, 0 if neither.

    For a share of `n` turns, Wilson's interval must agree: resampling 16 turns without a hit gives the interval 0 to 0.
    """
    from scipy.stats import binomtest

    if low is None or high is None:
        return 0
    if n:
        wilson = binomtest(min(n, max(0, round(n * value / 100))), n).proportion_ci(method="wilson")
        low, high = min(low, float(100 * wilson.low)), max(high, float(100 * wilson.high))
    return int(low > overall) - int(high < overall)


def weakest(member: Member) -> list[TurnGroup]:
    """Return the groups that are below the run's overall value, lowest first."""
    return sorted((group for group in groups(member, primary(member)) if group.side < 0), key=lambda group: group.value)


def strengths(member: Member) -> tuple[Block, ...]:
    """Report the groups in which the run is better or worse than overall, as a list, a plot and a table."""
    overall = member.metric(primary(member))
    turn_groups = groups(member, primary(member))
    if overall is None or not turn_groups:
        return ()
    strong = sorted((group for group in turn_groups if group.side > 0), key=lambda group: -group.value)[:MOST]
    items = [f"Strong: {_group(member, group)}." for group in strong]
    items += [f"Weak: {_group(member, group)}." for group in weakest(member)[:MOST]]
    listed: Block = Bullets(tuple(items)) if items else Text("No group of turns stands out.")
    name = words.metric_name(overall.name)
    about = (
        f"Groups of turns whose {name} differs from the overall value of {words.format_number(overall.value)} by "
        f"more than their 95% interval. Among {len(turn_groups)} groups, one or two may stand out by chance."
    )
    dots = [Dot(f"{group_name(member, group)}, {group.n:,}", group.value, group.interval) for group in turn_groups]
    kinds = words.listed(list(dict.fromkeys(group.kind for group in turn_groups)))
    caption = f"{name} by {kinds}, with the number of turns; the line is the overall value"
    table = _group_table(member, turn_groups)
    return (Text(about), listed, Dots(caption, tuple(dots), overall.value), table)


def group_name(member: Member, group: TurnGroup) -> str:
    """Return the name of a group of turns."""
    return words.group_name(group.kind, group.name, member.run.record.task.strategies)


def _group(member: Member, group: TurnGroup) -> str:
    interval = f" ({words.between(group.interval)})" if group.interval else ""
    value = f"{words.format_number(group.value)}{interval}"
    return f"{group.kind} {group_name(member, group)}: {value} on {words.count(group.n, 'turn')}"


def _group_table(member: Member, turn_groups: Sequence[TurnGroup]) -> Table:
    rows = [
        (
            group.kind,
            group_name(member, group),
            words.format_number(group.value),
            words.between(group.interval),
            f"{group.n:,}",
        )
        for group in turn_groups
    ]
    return Table(("by", "group", words.metric_name(primary(member)), "95% interval", "turns"), tuple(rows), (2, 3, 4))


def confusion(member: Member) -> tuple[Block, ...]:
    """Report the strategies the run confuses: the most frequent mistakes, and all counts."""
    table = member.results.known_tables.confusion
    if table is None or not member.results.protocol.condition.predicts_strategy:
        return ()
    strategies = member.run.record.task.strategies
    mistakes = [
        (count, sum(counts), row, column)
        for row, counts in zip(table.rows, table.counts, strict=True)
        for column, count in zip(table.columns, counts, strict=True)
        if column != row and count
    ]
    mistakes.sort(key=lambda mistake: (-mistake[0], mistake[2], mistake[3]))
    items = []
    for count, total, row, column in mistakes[:MOST]:
        reference = words.group_name("strategy", row, strategies)
        if column == "unparsed":
            items.append(f"For {reference}, {count} of {total} replies contain no readable strategy.")
        else:
            chosen = words.group_name("strategy", column, strategies)
            items.append(f"For {reference}, it chose {chosen} in {count} of {total} turns.")
    listed: Block = Bullets(tuple(items)) if items else Text("It made no mistakes.")
    heat = Heat("Reference (rows) and predicted (columns) strategies, turns", table.rows, table.columns, table.counts)
    return (listed, heat)


def exchange(title: str, turns: Sequence[tuple[str, ScoredTurn]], task_text: TaskText) -> Exchange:
    """Return a turn with the customer's text before it, the reference, and each model's reply."""
    pair = turns[0][1].pair
    dialogue = task_text.dialogues.get(pair.dialogue)
    before = dialogue.turns[: pair.turn] if dialogue else ()
    customer = [turn.text for turn in before if turn.speaker is Speaker.CUSTOMER][-1:]
    lines = [Utterance("Customer", "", text) for text in customer]
    lines.append(Utterance("Reference", pair.reference_strategy, pair.reference))
    for name, turn in turns:
        text = "failed" if turn.pair.form is ParseForm.FAILED else turn.pair.text
        score = "" if turn.scores[0] is None else f", ROUGE-L {turn.scores[0]:.0f}"
        lines.append(Utterance(name, f"{turn.pair.strategy or 'no readable strategy'}{score}", text))
    return Exchange(f"{title}: {pair.dialogue}, turn {pair.turn}", tuple(lines))


def examples(member: Member, task_text: TaskText) -> tuple[Block, ...]:
    """Show the best and worst turns by ROUGE-L."""
    scored = sorted(
        (turn for turn in member.turns if turn.scores[0] is not None),
        key=lambda turn: (turn.scores[0], turn.pair.dialogue, turn.pair.turn),
    )
    if not scored:
        return ()
    half = min(2, (len(scored) + 1) // 2)
    best, worst = scored[::-1][:half], [turn for turn in scored[:half] if turn not in scored[::-1][:half]]
    shown = [("Among the best", turn) for turn in best] + [("Among the worst", turn) for turn in worst]
    return tuple(exchange(title, [(member.name, turn)], task_text) for title, turn in shown)


def cost(member: Member) -> tuple[Block, ...]:
    """Report cost and timing."""
    measured = member.results.timing.cost
    return () if measured is None else (Table(("cost", ""), tuple(cost_rows(measured))),)


def reproduce(member: Member) -> tuple[Block, ...]:
    """Show the command, the metrics' signatures, the environment, and the run's notes."""
    results = member.results
    signatures: dict[str, list[str]] = {}
    for metric in results.metrics:
        signatures.setdefault(metric.signature, []).append(words.metric_name(metric.name))
    rows = [(words.listed(names), signature) for signature, names in signatures.items()]
    engine = results.engine.facts | results.engine.packages if results.engine else {}
    facts = [("run", results.run.name), ("hash", results.run.hash), ("cscbench", results.cscbench), *engine.items()]
    return (
        Code(command_of(member.run.record, results)),
        Table(("metric", "signature"), tuple(rows)),
        Table(("environment", ""), tuple(facts)),
        *((Bullets(results.notes),) if results.notes else ()),
    )


def sections(member: Member, task_text: TaskText, level: int) -> list[Section | None]:
    """Return the sections on a run, with headings of this level."""
    return [
        section("Strengths and weaknesses", strengths(member), level),
        section("Confusions", confusion(member), level),
        section("Examples", examples(member, task_text), level),
        section("Cost and timing", cost(member), level),
        section("How to reproduce", reproduce(member), level),
    ]
