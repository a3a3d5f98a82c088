"""What `cscbench compare --texts` prints: aligned tables."""

import re
import textwrap
from collections.abc import Sequence

from cscbench.cli.show.results import table
from cscbench.comparing.agree.agree import Agreement, RunSide
from cscbench.comparing.agree.facts import Fact, Part
from cscbench.comparing.agree.texts import ALL, SAME_PROMPT, TextGroup
from cscbench.runs.finished import RunState

_BAR = 30
_ENDS = "∎"


def show_agreement(agreement: Agreement) -> None:
    """Print what differs, where the texts diverge, and how that changes the scores."""
    _say(_head("A", agreement.a), _head("B", agreement.b), "")
    _show_facts(agreement.facts)
    scope = agreement.scope
    _say(
        f"requests compared: {scope.requests}; without a reply in one of the runs: {scope.failed}; "
        f"only in A: {scope.only_a}, only in B: {scope.only_b}; counted in {agreement.unit}",
    )
    if scope.requests:
        _show_groups(agreement)
        _show_histogram(agreement.groups)
    if agreement.divergences:
        _show_divergences(agreement)
    if agreement.differences:
        _show_differences(agreement)
    if agreement.strategies is not None:
        kappa = "not defined" if agreement.strategies.kappa is None else f"{agreement.strategies.kappa:.3f}"
        share = _share(agreement.strategies.same, agreement.strategies.turns)
        _say(f"strategies: the same on {share} of {agreement.strategies.turns} turns, Cohen's kappa {kappa}")
    if scope.other_words:
        _say(f"note: {scope.other_words} turns have different references in A and B and are left out")
    _say(*(f"note: {note}" for note in agreement.notes))


def _say(*lines: str) -> None:
    for line in lines:
        print(line)  # noqa: T201 - standard output is this module's purpose


def _head(name: str, side: RunSide) -> str:
    state = "" if side.state is RunState.COMPLETE else f", {side.state.upper()}"
    return f"{name}: {side.name} ({side.model}, {side.requests} replies{state})"


def _show_facts(facts: Sequence[Fact]) -> None:
    """Print a row for each difference, and a line for each part that is the same."""
    rows = [(fact.part.value, fact.name, _brief(fact.a), _brief(fact.b)) for fact in facts if fact.same is False]
    table("", ("differs", "", "A", "B"), rows or [("nothing", "", "", "")])
    for part in Part:
        _wrapped(f"same {part}", [fact.name for fact in facts if fact.part is part and fact.same])
    _wrapped("unknown for both", [fact.name for fact in facts if fact.same is None])
    other = [f"{fact.part} {fact.name}" for fact in facts if fact.same is False and fact.part is not Part.ENGINE]
    _say("")
    _wrapped("differs besides the engine", other or ["nothing known"])
    _say("")


def _wrapped(title: str, names: Sequence[str]) -> None:
    if names:
        _say(*textwrap.wrap(f"{title}: {', '.join(names)}", 118, subsequent_indent="  "))


def _brief(value: str | None) -> str:
    """Shorten hashes, as run names do."""
    if value is None:
        return "unknown"
    return re.sub(r"\b[0-9a-f]{32,}\b", lambda match: f"{match[0][:12]}…", value)


def _show_groups(agreement: Agreement) -> None:
    rows = []
    for group in agreement.groups:
        quartiles = [f"{value:g}" for value in group.quartiles] if group.quartiles else ["", "", ""]
        shares = (_share(group.identical, group.requests), _share(group.identical_first, group.requests))
        rows.append((group.name, str(group.requests), *shares, *quartiles))
    columns = ("replies", "n", "identical", f"first {agreement.first} alike", "diverge after: 25%", "median", "75%")
    table("", columns, rows, numbers=range(1, len(columns)))


def _show_histogram(groups: Sequence[TextGroup]) -> None:
    """Print the histogram of requests with equal prompts, or of all requests if no prompts are equal."""
    of = {group.name: group for group in groups}
    shown = of[SAME_PROMPT] if of[SAME_PROMPT].requests else of[ALL]
    rows = []
    for bucket in shown.histogram:
        label = (
            f"{bucket.low}+"
            if bucket.high is None
            else f"{bucket.low}-{bucket.high}"
            if bucket.high > bucket.low
            else f"{bucket.low}"
        )
        rows.append((label, str(bucket.count), _bar(bucket.count, shown.requests)))
    rows.append(("identical", str(shown.identical), _bar(shown.identical, shown.requests)))
    title = f"where they diverge ({shown.name if shown is of[SAME_PROMPT] else 'other prompts'})"
    table(title, ("after", "replies", ""), rows, numbers=(0, 1))


def _bar(count: int, whole: int) -> str:
    """Return a bar, at least one block long for a positive count."""
    return "█" * max(round(_BAR * count / whole), 1) if count else ""


def _show_divergences(agreement: Agreement) -> None:
    rows = []
    for divergence in agreement.divergences:
        prompt = "" if divergence.same_prompt else " (other prompt)"
        rows.append(
            (
                f"{divergence.request}{prompt}",
                str(divergence.common_prefix),
                "A",
                _line(divergence.shared, divergence.a),
            )
        )
        rows.append(("", "", "B", _line(divergence.shared, divergence.b)))
    table("", ("divergence", "after", "", "context"), rows, numbers=(1,))


def _line(shared: str, rest: str) -> str:
    """Join both parts on one line, with ▸ where the texts diverge."""
    return re.sub(r"\s*\n\s*", "⏎", f"{shared}▸{rest or _ENDS}")


def _show_differences(agreement: Agreement) -> None:
    rows = []
    for difference in agreement.differences:
        low, high = ("" if bound is None else f"{bound:+.2f}" for bound in (difference.low, difference.high))
        marks = [
            "" if difference.higher_is_better else "lower",
            "" if difference.same_signature else "measured differently",
        ]
        numbers = (f"{difference.a:.2f}", f"{difference.b:.2f}", f"{difference.difference:+.2f}", low, high)
        rows.append((difference.name, *numbers, ", ".join(mark for mark in marks if mark)))
    turns = f"metric over {agreement.scope.turns} turns of {agreement.scope.dialogues} dialogues"
    table("", (turns, "A", "B", "B - A", "95% low", "high", ""), rows, numbers=range(1, 6))


def _share(count: int, whole: int) -> str:
    return f"{100 * count / whole:.1f}%" if whole else ""
