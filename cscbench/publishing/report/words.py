"""Put numbers into words and sentences."""

from collections.abc import Sequence

from cscbench.comparing.compare import Verdict
from cscbench.publishing.report.findings import Finding, PairFindings
from cscbench.scoring.bootstrap import Interval
from cscbench.scoring.paired import Paired
from cscbench.values import StrategySet

_METRICS = {
    "strategy_accuracy": "strategy accuracy",
    "strategy_macro_f1": "strategy macro-F1",
    "parse_rate": "readable strategies",
    "bleu_2": "BLEU-2",
    "bleu_4": "BLEU-4",
    "rouge_l": "ROUGE-L",
    "rouge_l_ascii": "ROUGE-L (ASCII)",
    "bertscore_f1": "BERTScore F1",
    "stars": "stars",
}
_LANGUAGES = {"zh": "Chinese", "en": "English"}


def metric_name(metric: str, higher_is_better: bool = True) -> str:
    """Return a metric's name, noting if lower values are better."""
    return _METRICS.get(metric, metric.replace("_", " ")) + ("" if higher_is_better else " (lower is better)")


def language_name(code: str) -> str:
    """Return a language's English name."""
    return _LANGUAGES.get(code, code)


def group_name(kind: str, code: str, strategies: StrategySet) -> str:
    """Return the name of a group of turns: a strategy with its code, a stage, a topic, or a language."""
    if kind == "strategy":
        return next((f"{strategy.en} ({code})" for strategy in strategies.strategies if strategy.code == code), code)
    if kind == "stage":
        return next((stage.en for stage in strategies.stages if stage.code == code), code)
    return language_name(code) if kind == "language" else code.replace("_", " ")


def format_number(value: float, metric: str = "") -> str:
    """Format a value with one decimal, two for stars; zero has no sign."""
    text = f"{value:.2f}" if metric.startswith("stars") else f"{value:.1f}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def interval_of(low: float | None, high: float | None) -> Interval | None:
    """Return the interval between two bounds, or None if there are none."""
    return None if low is None or high is None else (low, high)


def between(interval: Interval | None, metric: str = "") -> str:
    """Format an interval as `1.2 to 3.4`; an empty string for None."""
    return "" if interval is None else f"{format_number(interval[0], metric)} to {format_number(interval[1], metric)}"


def in_parentheses(interval: Interval | None, metric: str = "") -> str:
    """Format an interval as ` (95% interval 1.2 to 3.4)`; an empty string for None."""
    return "" if interval is None else f" (95% interval {between(interval, metric)})"


def gain_interval(paired: Paired) -> Interval | None:
    """Return the interval of a difference, with the sign of the run that is ahead."""
    if paired.interval is None or paired.difference >= 0:
        return paired.interval
    return -paired.interval[1], -paired.interval[0]


def unit(metric: str) -> str:
    """Return the unit of a difference."""
    return "stars" if metric.startswith("stars") else "points"


def count(amount: int, singular: str, plural: str = "") -> str:
    """Format a count as `1 turn` or `2 turns`."""
    return f"{amount:,} {singular if amount == 1 else plural or singular + 's'}"


def listed(names: Sequence[str]) -> str:
    """Join names as `a`, `a and b`, or `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def chance(p: float) -> str:
    """Put a p-value into words."""
    if p < 0.001:
        return "fewer than 1 time in 1,000"
    return f"about {count(round(1000 * p), 'time')} in 1,000" if p < 0.1 else f"about {round(100 * p)} times in 100"


def sentence(finding: Finding, old: str, new: str) -> str:
    """Say which run of a pair is better in one metric, and by how much."""
    name, metric = metric_name(finding.metric), finding.metric
    if finding.verdict is Verdict.MEASURED_DIFFERENTLY or finding.paired is None:
        return f"{_capitalized(name)}: the two runs were measured differently, so their values cannot be compared."
    values = f"{new} {format_number(finding.new, metric)}, {old} {format_number(finding.old, metric)}"
    if finding.verdict is Verdict.TOO_FEW or finding.p is None:
        return f"{_capitalized(name)}: {values}; too few dialogues to tell."
    if finding.verdict is Verdict.NOT_SHOWN:
        smallest = (
            ""
            if finding.detectable is None
            else (
                f" The smallest difference these dialogues can reliably detect is about "
                f"{format_number(finding.detectable, metric)} {unit(metric)}."
            )
        )
        return f"{_capitalized(name)}: no significant difference ({values}).{smallest}"
    better = new if finding.verdict is Verdict.BETTER else old
    difference = format_number(abs(finding.paired.difference), metric)
    interval = in_parentheses(gain_interval(finding.paired), metric)
    lower = "" if finding.higher_is_better else "; lower is better"
    return f"{_capitalized(name)}: {better} is better by {difference} {unit(metric)}{interval}: {values}{lower}."


def luck(finding: Finding) -> str:
    """Say how unlikely a significant difference is by chance; an empty string for other verdicts."""
    if finding.p is None or finding.verdict not in {Verdict.BETTER, Verdict.WORSE}:
        return ""
    return f" If both were equally good, chance would produce a difference this large {chance(finding.p)}."


def headline(pair: PairFindings, old: str, new: str) -> str:
    """Summarize a pair in one sentence."""
    by_verdict = {verdict: [metric for metric in pair.metrics if metric.verdict is verdict] for verdict in Verdict}
    better, worse = by_verdict[Verdict.BETTER], by_verdict[Verdict.WORSE]
    tested = [*better, *worse, *by_verdict[Verdict.NOT_SHOWN]]
    if not tested:
        return f"There are too few dialogues, or no metrics measured the same way, to compare {new} with {old}."
    total = count(len(tested), "metric")
    if better and not worse:
        rest = _rest(len(tested) - len(better))
        return f"{new} is better than {old} on {len(better)} of {total} and worse on none{rest}."
    if worse and not better:
        rest = _rest(len(tested) - len(worse))
        return f"{new} is worse than {old} on {len(worse)} of {total} and better on none{rest}."
    if better and worse:
        return f"Neither run is better on all metrics: {new} leads in {_metrics(better)}, {old} in {_metrics(worse)}."
    return f"None of {total} shows a significant difference between {new} and {old}. This does not mean they are equal."


def _rest(metrics: int) -> str:
    return f"; no significant difference on the other{f' {metrics}' if metrics > 1 else ''}" if metrics else ""


def _metrics(findings: Sequence[Finding]) -> str:
    return listed([metric_name(finding.metric) for finding in findings])


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
