"""Sentences about numbers, to be read aloud."""

from collections.abc import Sequence

from cscbench.comparing.compare import Verdict
from cscbench.publishing.report.findings import Finding, PairFindings
from cscbench.scoring.bootstrap import Interval
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


def metric_name(metric: str) -> str:
    """A metric in words."""
    return _METRICS.get(metric, metric.replace("_", " "))


def language_name(code: str) -> str:
    """A language in words."""
    return _LANGUAGES.get(code, code)


def group_name(kind: str, code: str, strategies: StrategySet) -> str:
    """A group of turns in words: a strategy with its code, a stage, a topic, a language."""
    if kind == "strategy":
        return next((f"{own.en} ({own.code})" for own in strategies.strategies if own.code == code), code)
    if kind == "stage":
        return next((own.en for own in strategies.stages if own.code == code), code)
    return language_name(code) if kind == "language" else code.replace("_", " ")


def number(value: float, metric: str = "") -> str:
    """A value in print: one place after the point, two for stars; zero has no sign."""
    text = f"{value:.2f}" if metric.startswith("stars") else f"{value:.1f}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def between(interval: Interval | None, metric: str = "") -> str:
    """`1.2 to 3.4`, or nothing."""
    return "" if interval is None else f"{number(interval[0], metric)} to {number(interval[1], metric)}"


def unit(metric: str) -> str:
    """What a difference counts."""
    return "stars" if metric.startswith("stars") else "points"


def count(number_of: int, one: str, many: str = "") -> str:
    """`1 turn`, `2 turns`."""
    return f"{number_of:,} {one if number_of == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def chance(p: float) -> str:
    """How easily luck alone would do it."""
    if p < 0.001:
        return "fewer than 1 time in 1,000"
    return f"about {count(round(1000 * p), 'time')} in 1,000" if p < 0.1 else f"about {round(100 * p)} times in 100"


def sentence(found: Finding, old: str, new: str) -> str:
    """What one metric says of a pair: who is better, and by how much."""
    name, metric = metric_name(found.metric), found.metric
    if found.verdict is Verdict.MEASURED_DIFFERENTLY or found.paired is None:
        return f"{_first(name)}: the two were measured in different ways, so their values cannot be compared."
    values = f"{new} {number(found.new, metric)}, {old} {number(found.old, metric)}"
    if found.verdict is Verdict.TOO_FEW or found.p is None:
        return f"{_first(name)}: {values}; too few dialogues to tell."
    if found.verdict is Verdict.NOT_SHOWN:
        least = (
            ""
            if found.detectable is None
            else (
                f" These dialogues would show a true difference only from about {number(found.detectable, metric)} "
                f"{unit(metric)} up."
            )
        )
        return f"{_first(name)}: no difference is shown ({values}).{least}"
    better = new if found.verdict is Verdict.BETTER else old
    difference = number(abs(found.paired.difference), metric)
    interval = found.paired.interval
    if interval is not None and found.paired.difference < 0:
        interval = (-interval[1], -interval[0])
    range_of = f" (95 % interval {between(interval, metric)})" if interval else ""
    lower = "" if found.higher_is_better else ", where lower is better"
    return f"{_first(name)}: {better} is better by {difference} {unit(metric)}{range_of}: {values}{lower}."


def luck(found: Finding) -> str:
    """How sure a shown difference is; nothing for others."""
    if found.p is None or found.verdict not in {Verdict.BETTER, Verdict.WORSE}:
        return ""
    return f" If the two were equally good, luck would make so large a difference {chance(found.p)}."


def headline(found: PairFindings, old: str, new: str) -> str:
    """The pair in one sentence."""
    of = {verdict: [one for one in found.metrics if one.verdict is verdict] for verdict in Verdict}
    better, worse = of[Verdict.BETTER], of[Verdict.WORSE]
    tested = [*of[Verdict.BETTER], *of[Verdict.WORSE], *of[Verdict.NOT_SHOWN]]
    if not tested:
        return f"These dialogues are too few, or too differently measured, to tell {new} and {old} apart."
    total = count(len(tested), "metric")
    if better and not worse:
        rest = len(tested) - len(better)
        return f"{new} is better than {old}: on {len(better)} of {total}, and worse on none{_rest(rest)}."
    if worse and not better:
        rest = len(tested) - len(worse)
        return f"{new} is worse than {old}: on {len(worse)} of {total}, and better on none{_rest(rest)}."
    if better and worse:
        return f"Neither is better in everything: {new} is ahead in {_metrics(better)}, {old} in {_metrics(worse)}."
    return f"None of {total} shows a difference between {new} and {old}. That does not make them equal."


def _rest(count_of: int) -> str:
    if not count_of:
        return ""
    return (
        f"; on the other {count_of} no difference is shown" if count_of > 1 else "; on the other no difference is shown"
    )


def _metrics(found: Sequence[Finding]) -> str:
    return listed([metric_name(one.metric) for one in found])


def _first(text: str) -> str:
    return text[:1].upper() + text[1:]
