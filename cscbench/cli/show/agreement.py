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


def show_agreement(found: Agreement) -> None:
    """All of it, in the order in which a person asks: what differs, where it shows, what it does to the scores."""
    _say(_head("A", found.a), _head("B", found.b), "")
    _show_facts(found.facts)
    scope = found.scope
    _say(
        f"requests compared: {scope.requests}; without a reply in one of the runs: {scope.failed}; "
        f"asked in A alone: {scope.only_a}, in B alone: {scope.only_b}; counted in {found.unit}",
    )
    if scope.requests:
        _show_groups(found)
        _show_histogram(found.groups)
    if found.divergences:
        _show_partings(found)
    if found.differences:
        _show_differences(found)
    if found.strategies is not None:
        kappa = "not defined" if found.strategies.kappa is None else f"{found.strategies.kappa:.3f}"
        share = _share(found.strategies.same, found.strategies.turns)
        _say(f"strategies: the same on {share} of {found.strategies.turns} turns, Cohen's kappa {kappa}")
    if scope.other_words:
        _say(f"note: {scope.other_words} turns of one name have other references in A and B: they are left out")
    _say(*(f"note: {note}" for note in found.notes))


def _say(*lines: str) -> None:
    for line in lines:
        print(line)  # noqa: T201 - standard output is this module's purpose


def _head(name: str, side: RunSide) -> str:
    state = "" if side.state is RunState.COMPLETE else f", {side.state.upper()}"
    return f"{name}: {side.name} ({side.model}, {side.requests} replies{state})"


def _show_facts(facts: Sequence[Fact]) -> None:
    """Each difference in full view; what is the same, in one line a part."""
    rows = [(fact.part.value, fact.name, _brief(fact.a), _brief(fact.b)) for fact in facts if fact.same is False]
    table("", ("differs", "", "A", "B"), rows or [("nothing", "", "", "")])
    for part in Part:
        _wrapped(f"same {part}", [fact.name for fact in facts if fact.part is part and fact.same])
    _wrapped("not known of either", [fact.name for fact in facts if fact.same is None])
    other = [f"{fact.part} {fact.name}" for fact in facts if fact.same is False and fact.part is not Part.ENGINE]
    _say("")
    _wrapped("not the engine, and differs", other or ["nothing that is known"])
    _say("")


def _wrapped(title: str, names: Sequence[str]) -> None:
    if names:
        _say(*textwrap.wrap(f"{title}: {', '.join(names)}", 118, subsequent_indent="  "))


def _brief(value: str | None) -> str:
    """Hashes by their head, as run names have them."""
    if value is None:
        return "not known"
    return re.sub(r"\b[0-9a-f]{32,}\b", lambda found: f"{found[0][:12]}…", value)


def _show_groups(found: Agreement) -> None:
    rows = []
    for group in found.groups:
        quartiles = [f"{value:g}" for value in group.quartiles] if group.quartiles else ["", "", ""]
        shares = (_share(group.identical, group.requests), _share(group.identical_first, group.requests))
        rows.append((group.name, str(group.requests), *shares, *quartiles))
    columns = ("replies", "n", "identical", f"first {found.first} alike", "parts after: 25 %", "median", "75 %")
    table("", columns, rows, numbers=range(1, len(columns)))


def _show_histogram(groups: Sequence[TextGroup]) -> None:
    """Of the requests with equal prompts, or of all where no prompts are equal."""
    of = {group.name: group for group in groups}
    shown = of[SAME_PROMPT] if of[SAME_PROMPT].requests else of[ALL]
    rows = []
    for one in shown.histogram:
        label = f"{one.low}+" if one.high is None else f"{one.low}-{one.high}" if one.high > one.low else f"{one.low}"
        rows.append((label, str(one.count), _bar(one.count, shown.requests)))
    rows.append(("identical", str(shown.identical), _bar(shown.identical, shown.requests)))
    title = f"where they part ({shown.name if shown is of[SAME_PROMPT] else 'other prompts'})"
    table(title, ("after", "replies", ""), rows, numbers=(0, 1))


def _bar(count: int, whole: int) -> str:
    """A bar, at least a sliver long where there is anything."""
    return "█" * max(round(_BAR * count / whole), 1) if count else ""


def _show_partings(found: Agreement) -> None:
    rows = []
    for one in found.divergences:
        prompt = "" if one.same_prompt else " (other prompt)"
        rows.append((f"{one.request}{prompt}", str(one.common_prefix), "A", _line(one.shared, one.a)))
        rows.append(("", "", "B", _line(one.shared, one.b)))
    table("", ("parting", "after", "", "around it"), rows, numbers=(1,))


def _line(shared: str, rest: str) -> str:
    """Both parts on one line; ▸ stands where they part."""
    return re.sub(r"\s*\n\s*", "⏎", f"{shared}▸{rest or _ENDS}")


def _show_differences(found: Agreement) -> None:
    rows = []
    for one in found.differences:
        low, high = ("" if bound is None else f"{bound:+.2f}" for bound in (one.low, one.high))
        marks = ["" if one.higher_is_better else "lower", "" if one.same_signature else "measured otherwise"]
        numbers = (f"{one.a:.2f}", f"{one.b:.2f}", f"{one.difference:+.2f}", low, high)
        rows.append((one.name, *numbers, ", ".join(mark for mark in marks if mark)))
    turns = f"metric over {found.scope.turns} turns of {found.scope.dialogues} dialogues"
    table("", (turns, "A", "B", "B - A", "95 % low", "high", ""), rows, numbers=range(1, 6))


def _share(count: int, whole: int) -> str:
    return f"{100 * count / whole:.1f} %" if whole else ""
