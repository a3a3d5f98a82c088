"""What a report says of one run: its numbers, where it is strong and weak, what it confuses, examples, what it took."""

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
    Said,
    Section,
    Table,
    Text,
    section,
)
from cscbench.publishing.report.findings import FEWEST, GROUPS, PRIMARY
from cscbench.publishing.report.study import Member
from cscbench.runs.cost_rows import cost_rows
from cscbench.runs.reproduce import command_of
from cscbench.runs.turns import ScoredTurn, TaskText
from cscbench.values import Frozen, ParseForm, Speaker

# So many groups at each end, confusions, and examples are told.
MOST = 4


class TurnGroup(Frozen, frozen=True):
    """The primary metric over some turns of a run, and whether its interval is above or below the run's value."""

    kind: str
    name: str
    n: int
    value: float
    low: float | None
    high: float | None
    side: int


def primary(member: Member) -> str:
    """The metric that its report goes into detail with; empty where it has none of them."""
    names = {metric.name for metric in member.results.metrics}
    return next((name for name in PRIMARY if name in names), "")


def in_short(member: Member) -> tuple[Block, ...]:
    """The run in a few sentences."""
    found = member.results
    counts = found.counts
    said = [f"{member.name} answered {played(member)}."]
    if not found.run.complete:
        said.append(f"{words.count(counts.failed, 'reply', 'replies')} failed and are not counted: the run is partial.")
    metric = next((one for one in found.metrics if one.name == primary(member)), None)
    if metric is not None:
        range_of = words.between(None if metric.low is None or metric.high is None else (metric.low, metric.high))
        interval = f" (95 % interval {range_of})" if range_of else ""
        if metric.name == "strategy_accuracy":
            said.append(
                f"It chose the strategy of the reference in {words.number(metric.value)} of 100 turns{interval}."
            )
            said += _against_always(member)
        else:
            said.append(f"Its {words.metric_name(metric.name)} is {words.number(metric.value)}{interval}.")
    if counts.unparsed:
        said.append(
            f"In {words.count(counts.unparsed, 'reply', 'replies')} of {counts.answered:,} no strategy could be read; "
            "they count as wrong."
        )
    return (Text(said[0], lead=True), *((Text(" ".join(said[1:])),) if said[1:] else ()))


def played(member: Member) -> str:
    """`164 supporter turns of 16 dialogues of csconv_sample (English), with the reference as history`."""
    found = member.results
    history = "the reference" if found.protocol.context == "gold" else "its own replies"
    languages = words.listed([words.language_name(one) for one in found.task.languages])
    turns = words.count(found.counts.answered, "supporter turn")
    dialogues = words.count(found.counts.dialogues, "dialogue")
    return (
        f"{turns} of {dialogues} of {found.task.name} ({languages}), with {history} as history "
        f"(condition {found.protocol.condition})"
    )


def _against_always(member: Member) -> list[str]:
    """What naming one strategy every time would give: a floor that needs no model."""
    rows = member.results.known_tables.by_strategy
    turns = sum(row.n for row in rows)
    if not turns:
        return []
    most = max(rows, key=lambda row: row.n)
    share = 100 * most.n / turns
    name = words.group_name("strategy", most.name, member.run.record.task.strategies)
    return [f"Always naming {name} would be right in {words.number(share)} of 100."]


def numbers(member: Member) -> tuple[Block, ...]:
    """Every metric of the run, with its interval."""
    rows = [
        (
            words.metric_name(one.name) + ("" if one.higher_is_better else " (lower is better)"),
            words.number(one.value, one.name),
            words.between(None if one.low is None or one.high is None else (one.low, one.high), one.name),
            f"{one.n:,}",
        )
        for one in member.results.metrics
    ]
    return (Table(("metric", "value", "95 % interval", "turns"), tuple(rows), (1, 2, 3)),)


def groups(member: Member, metric: str) -> list[TurnGroup]:
    """The metric by strategy, stage, topic and language, where there are turns enough."""
    overall = next((one.value for one in member.results.metrics if one.name == metric), None)
    tables = member.results.known_tables
    found = []
    for kind in GROUPS:
        rows = tables.groups(kind)
        for row in rows if len(rows) > 1 else ():
            own = row.metrics.get(metric)
            if own is not None and overall is not None and row.n >= FEWEST:
                side = _side_of(own.value, own.low, own.high, overall, row.n if metric == "strategy_accuracy" else 0)
                found.append(TurnGroup(kind, row.name, row.n, own.value, own.low, own.high, side))
    return found


def _side_of(value: float, low: float | None, high: float | None, overall: float, n: int) -> int:
    """1 above, -1 below, 0 neither. For a share of `n` turns, Wilson's interval must say so too: resampling 16 turns
    without a hit gives an interval from 0 to 0."""
    from scipy.stats import binomtest

    if low is None or high is None:
        return 0
    if n:
        wilson = binomtest(min(n, max(0, round(n * value / 100))), n).proportion_ci(method="wilson")
        low, high = min(low, float(100 * wilson.low)), max(high, float(100 * wilson.high))
    return int(low > overall) - int(high < overall)


def strengths(member: Member) -> tuple[Block, ...]:
    """Where the run is better or worse than it is on the whole, in words and drawn."""
    metric = primary(member)
    found = groups(member, metric)
    if not found:
        return ()
    overall = next(one.value for one in member.results.metrics if one.name == metric)
    strong = sorted((own for own in found if own.side > 0), key=lambda own: -own.value)[:MOST]
    weak = sorted((own for own in found if own.side < 0), key=lambda own: own.value)[:MOST]
    name = words.metric_name(metric)
    items = [f"Strong: {_group(member, own)}." for own in strong] + [f"Weak: {_group(member, own)}." for own in weak]
    said: Block = Bullets(tuple(items)) if items else Text("No group of turns stands out.")
    about = (
        f"Groups of turns whose {name} differs from the run's own {words.number(overall)} by more than their 95 % "
        f"interval. With {len(found)} groups one or two may stand out by luck."
    )
    dots = [
        Dot(
            f"{words.group_name(own.kind, own.name, member.run.record.task.strategies)}, {own.n:,}",
            own.value,
            None if own.low is None or own.high is None else (own.low, own.high),
        )
        for own in found
    ]
    caption = (
        f"{name} by {words.listed(list(dict.fromkeys(own.kind for own in found)))}, turns; the line is the run's own"
    )
    return (Text(about), said, Dots(caption, tuple(dots), overall), _group_table(member, found))


def _group(member: Member, own: TurnGroup) -> str:
    name = words.group_name(own.kind, own.name, member.run.record.task.strategies)
    interval = "" if own.low is None or own.high is None else f" ({words.between((own.low, own.high))})"
    return f"{own.kind} {name}: {words.number(own.value)}{interval} on {words.count(own.n, 'turn')}"


def _group_table(member: Member, found: Sequence[TurnGroup]) -> Table:
    rows = [
        (
            own.kind,
            words.group_name(own.kind, own.name, member.run.record.task.strategies),
            words.number(own.value),
            "" if own.low is None or own.high is None else words.between((own.low, own.high)),
            f"{own.n:,}",
        )
        for own in found
    ]
    return Table(("by", "group", words.metric_name(primary(member)), "95 % interval", "turns"), tuple(rows), (2, 3, 4))


def confusion(member: Member) -> tuple[Block, ...]:
    """Which strategies it takes for which: the most frequent mistakes in words, and all counts."""
    table = member.results.known_tables.confusion
    if table is None or not member.results.protocol.condition.predicts_strategy:
        return ()
    strategies = member.run.record.task.strategies
    mistakes = [
        (number, sum(counts), row, column)
        for row, counts in zip(table.rows, table.counts, strict=True)
        for column, number in zip(table.columns, counts, strict=True)
        if column != row and number
    ]
    mistakes.sort(key=lambda one: (-one[0], one[2], one[3]))
    items = []
    for number, of, row, column in mistakes[:MOST]:
        reference = words.group_name("strategy", row, strategies)
        if column == "unparsed":
            items.append(f"Where the reference is {reference}, no strategy could be read in {number} of {of} turns.")
        else:
            chosen = words.group_name("strategy", column, strategies)
            items.append(f"Where the reference is {reference}, it chose {chosen} in {number} of {of} turns.")
    said: Block = Bullets(tuple(items)) if items else Text("It made no mistake.")
    heat = Heat("Reference (row) against prediction (column), turns", table.rows, table.columns, table.counts)
    return (said, heat)


def exchange(title: str, turns: Sequence[tuple[str, ScoredTurn]], source: TaskText) -> Exchange:
    """A turn as its readers saw it: the customer's words before it, the reference, and each model's reply."""
    pair = turns[0][1].pair
    known = source.dialogues.get(pair.dialogue)
    before = known.turns[: pair.turn] if known else ()
    customer = [turn.text for turn in before if turn.speaker is Speaker.CUSTOMER][-1:]
    lines = [Said("Customer", "", text) for text in customer]
    lines.append(Said("Reference", pair.reference_strategy, pair.reference))
    for name, turn in turns:
        failed = turn.pair.form is ParseForm.FAILED
        score = "" if turn.scores[0] is None else f", ROUGE-L {turn.scores[0]:.0f}"
        lines.append(
            Said(name, f"{turn.pair.strategy or 'no strategy read'}{score}", "failed" if failed else turn.pair.text)
        )
    return Exchange(f"{title}: {pair.dialogue}, turn {pair.turn}", tuple(lines))


def examples(member: Member, source: TaskText) -> tuple[Block, ...]:
    """Its best turns and its worst, by ROUGE-L."""
    scored = sorted(
        (turn for turn in member.turns if turn.scores[0] is not None),
        key=lambda turn: (turn.scores[0], turn.pair.dialogue, turn.pair.turn),
    )
    if not scored:
        return ()
    half = min(2, (len(scored) + 1) // 2)
    best, worst = scored[::-1][:half], [turn for turn in scored[:half] if turn not in scored[::-1][:half]]
    shown = [("Among its best", turn) for turn in best] + [("Among its worst", turn) for turn in worst]
    return tuple(exchange(title, [(member.name, turn)], source) for title, turn in shown)


def cost(member: Member) -> tuple[Block, ...]:
    """What the run took."""
    found = member.results.timing.cost
    if found is None:
        return ()
    return (Table(("cost", ""), tuple((name, value) for name, value in cost_rows(found))),)


def reproduce(member: Member) -> tuple[Block, ...]:
    """The command, the signatures of its numbers, and what a reader must know of them."""
    found = member.results
    blocks: list[Block] = [Code(command_of(member.run.record, found))]
    signatures: dict[str, list[str]] = {}
    for metric in found.metrics:
        signatures.setdefault(metric.signature, []).append(words.metric_name(metric.name))
    rows = [(words.listed(names), signature) for signature, names in signatures.items()]
    engine = found.engine.facts | found.engine.packages if found.engine else {}
    facts = [("run", found.run.name), ("hash", found.run.hash), ("cscbench", found.cscbench), *engine.items()]
    blocks += [Table(("metric", "signature"), tuple(rows)), Table(("what ran", ""), tuple(facts))]
    if found.notes:
        blocks.append(Bullets(found.notes))
    return tuple(blocks)


def sections(member: Member, source: TaskText, level: int) -> list[Section | None]:
    """All of it below headings of a level; the first of them is the caller's."""
    return [
        section("Strengths and weaknesses", strengths(member), level),
        section("What it confuses", confusion(member), level),
        section("Examples", examples(member, source), level),
        section("What it took", cost(member), level),
        section("How to run it again", reproduce(member), level),
    ]
