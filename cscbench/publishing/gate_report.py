"""A verdict as lines, JUnit XML, and Markdown."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from cscbench.comparing.gate.decide import caught, dialogues_needed
from cscbench.comparing.gate.verdict import ExitCode, GateVerdict, Outcome, RuleKind, RuleResult
from cscbench.publishing.formats import markdown

_IN_WORDS = {
    ExitCode.PASSED: "passed",
    ExitCode.REGRESSED: "regressed",
    ExitCode.BROKEN: "the run is broken or partial",
    ExitCode.TOO_LITTLE: "too little data to tell",
}


def lines(verdict: GateVerdict) -> list[str]:
    """One line a rule, aligned; then what is broken, the notes, and the outcome of all."""
    width = max((len(one.rule.metric) for one in verdict.judged), default=0)
    found = [f"{one.outcome:<12}{one.rule.metric:<{width}}  {sentence(one)}" for one in verdict.judged]
    found += [f"broken: {verdict.run}: {verdict.broken}"] if verdict.broken else []
    found += [f"note: {note}" for note in verdict.notes]
    against = f" against {verdict.baseline}" if verdict.baseline else ""
    return [*found, f"gate: {_IN_WORDS[verdict.code]}: {verdict.run}{against}"]


def sentence(one: RuleResult) -> str:
    """What was measured and what the rule asks, in words."""
    return f"{_measured(one)}; {_wanted(one)}{_more(one)}"


def _measured(one: RuleResult) -> str:
    evidence = one.evidence
    if evidence.baseline is None:
        return f"{evidence.value:.2f}{_bounds(one, '.2f')}"
    difference = evidence.value - evidence.baseline
    return f"{evidence.value:.2f}, baseline {evidence.baseline:.2f}, difference {difference:+.2f}{_bounds(one, '+.2f')}"


def _bounds(one: RuleResult, form: str) -> str:
    evidence = one.evidence
    if evidence.low is None or evidence.high is None:
        return ""
    return f" (at {one.rule.confidence:g} % from {evidence.low:{form}}, up to {evidence.high:{form}})"


def _wanted(one: RuleResult) -> str:
    rule = one.rule
    match rule.kind:
        case RuleKind.MARGIN:
            return f"may lose {rule.limit:g}"
        case RuleKind.FLOOR:
            return f"at least {rule.limit:g}"
        case RuleKind.CEILING:
            return f"at most {rule.limit:g}"


def _more(one: RuleResult) -> str:
    """How many dialogues there were, and how many would tell."""
    rule, evidence = one.rule, one.evidence
    count = f"; {evidence.dialogues} dialogues"
    if evidence.dialogues < rule.min_n:
        return f"{count}, the rule asks for {rule.min_n}"
    if one.outcome is Outcome.CANNOT_TELL:
        needed = dialogues_needed(rule, evidence)
        return count + (f", about {needed} would pass if this stays so" if needed else "")
    loss = caught(rule, evidence)
    return count + (f", a loss of {loss:.2f} would be caught 80 times in 100" if loss is not None else "")


def junit(verdict: GateVerdict) -> str:
    """JUnit XML: a test case a rule; a regression is a failure, what cannot be told or is broken an error."""
    broken = int(bool(verdict.broken))
    outcomes = [one.outcome for one in verdict.judged]
    suite = ET.Element(
        "testsuite",
        name=f"cscbench gate {verdict.run}",
        tests=str(len(outcomes) + broken),
        failures=str(outcomes.count(Outcome.REGRESSED)),
        errors=str(outcomes.count(Outcome.CANNOT_TELL) + broken),
        skipped="0",
    )
    for one in verdict.judged:
        case = ET.SubElement(suite, "testcase", classname="cscbench.gate", name=_case(one))
        if one.outcome is not Outcome.PASSED:
            tag = "failure" if one.outcome is Outcome.REGRESSED else "error"
            ET.SubElement(case, tag, type=one.outcome.value, message=_printable(sentence(one)))
    if verdict.broken:
        case = ET.SubElement(suite, "testcase", classname="cscbench.gate", name="the run is complete")
        ET.SubElement(case, "error", type="broken", message=_printable(verdict.broken))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(one: RuleResult) -> str:
    return f"{one.rule.metric} {one.rule.kind} {one.rule.limit:g}"


def _printable(text: str) -> str:
    """XML 1.0 has no other control characters."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def summary(verdict: GateVerdict) -> str:
    """Markdown for a CI step."""
    head = ("", "metric", "value", "baseline", "difference", "bounds", "rule", "dialogues")
    parts = [f"### cscbench gate: {_IN_WORDS[verdict.code]}\n"]
    parts += [markdown(("run", "baseline"), [(verdict.run, verdict.baseline or "none")])]
    parts += [markdown(head, [_cells(one) for one in verdict.judged])] if verdict.judged else []
    said: Sequence[str] = [*([f"broken: {verdict.broken}"] if verdict.broken else []), *verdict.notes]
    parts += [markdown(("notes",), [(note,) for note in said])] if said else []
    return "\n".join(parts)


def _cells(one: RuleResult) -> tuple[str, ...]:
    evidence = one.evidence
    form = ".2f" if evidence.baseline is None else "+.2f"
    bounds = "" if evidence.low is None else f"{evidence.low:{form}} to {evidence.high:{form}}"
    return (
        one.outcome.value,
        one.rule.metric,
        f"{evidence.value:.2f}",
        "" if evidence.baseline is None else f"{evidence.baseline:.2f}",
        "" if evidence.baseline is None else f"{evidence.value - evidence.baseline:+.2f}",
        bounds,
        f"{_wanted(one)}, at {one.rule.confidence:g} %",
        f"{evidence.dialogues}",
    )
