"""Write a gate's verdict as text, JUnit XML, and Markdown."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from cscbench.comparing.gate.decide import detectable_loss, dialogues_needed
from cscbench.comparing.gate.verdict import ExitCode, GateVerdict, Outcome, RuleKind, RuleResult
from cscbench.publishing.formats import markdown

_IN_WORDS = {
    ExitCode.PASSED: "passed",
    ExitCode.REGRESSED: "regressed",
    ExitCode.BROKEN: "the run is broken or partial",
    ExitCode.TOO_LITTLE: "too little data to tell",
}


def lines(verdict: GateVerdict) -> list[str]:
    """Return an aligned line per rule, then whether the run is broken, the notes, and the overall outcome."""
    width = max((len(result.rule.metric) for result in verdict.judged), default=0)
    report = [f"{result.outcome:<12}{result.rule.metric:<{width}}  {sentence(result)}" for result in verdict.judged]
    report += [f"broken: {verdict.run}: {verdict.broken}"] if verdict.broken else []
    report += [f"note: {note}" for note in verdict.notes]
    against = f" against {verdict.baseline}" if verdict.baseline else ""
    return [*report, f"gate: {_IN_WORDS[verdict.code]}: {verdict.run}{against}"]


def sentence(result: RuleResult) -> str:
    """Say in words what was measured and what the rule requires."""
    return f"{_measured(result)}; {_requirement(result)}{_power(result)}"


def _measured(result: RuleResult) -> str:
    evidence = result.evidence
    if evidence.baseline is None:
        return f"{evidence.value:.2f}{_bounds(result, '.2f')}"
    difference = evidence.value - evidence.baseline
    return (
        f"{evidence.value:.2f}, baseline {evidence.baseline:.2f}, difference {difference:+.2f}{_bounds(result, '+.2f')}"
    )


def _bounds(result: RuleResult, form: str) -> str:
    evidence = result.evidence
    if evidence.low is None or evidence.high is None:
        return ""
    return f" ({result.rule.confidence:g}% bounds: {evidence.low:{form}} to {evidence.high:{form}})"


def _requirement(result: RuleResult) -> str:
    rule = result.rule
    match rule.kind:
        case RuleKind.MARGIN:
            return f"may lose at most {rule.limit:g}"
        case RuleKind.FLOOR:
            return f"at least {rule.limit:g}"
        case RuleKind.CEILING:
            return f"at most {rule.limit:g}"


def _power(result: RuleResult) -> str:
    """Say how many dialogues there were, and how many are needed or what loss they can detect."""
    rule, evidence = result.rule, result.evidence
    count = f"; {evidence.dialogues} dialogues"
    if evidence.dialogues < rule.min_n:
        return f"{count}, the rule requires {rule.min_n}"
    if result.outcome is Outcome.CANNOT_TELL:
        needed = dialogues_needed(rule, evidence)
        return count + (f", about {needed} would pass at this value" if needed else "")
    loss = detectable_loss(rule, evidence)
    return count + (f", detects a loss of {loss:.2f} with 80% power" if loss is not None else "")


def junit(verdict: GateVerdict) -> str:
    """Return JUnit XML with a test case per rule; a regression is a failure, any other problem an error."""
    broken = int(bool(verdict.broken))
    outcomes = [result.outcome for result in verdict.judged]
    suite = ET.Element(
        "testsuite",
        name=f"cscbench gate {verdict.run}",
        tests=str(len(outcomes) + broken),
        failures=str(outcomes.count(Outcome.REGRESSED)),
        errors=str(outcomes.count(Outcome.CANNOT_TELL) + broken),
        skipped="0",
    )
    for result in verdict.judged:
        case = ET.SubElement(suite, "testcase", classname="cscbench.gate", name=_case(result))
        if result.outcome is not Outcome.PASSED:
            tag = "failure" if result.outcome is Outcome.REGRESSED else "error"
            ET.SubElement(case, tag, type=result.outcome.value, message=_printable(sentence(result)))
    if verdict.broken:
        case = ET.SubElement(suite, "testcase", classname="cscbench.gate", name="the run is complete")
        ET.SubElement(case, "error", type="broken", message=_printable(verdict.broken))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(result: RuleResult) -> str:
    return f"{result.rule.metric} {result.rule.kind} {result.rule.limit:g}"


def _printable(text: str) -> str:
    """Return the text without the control characters that XML 1.0 forbids."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def summary(verdict: GateVerdict) -> str:
    """Return a Markdown summary for a CI step."""
    head = ("", "metric", "value", "baseline", "difference", "bounds", "rule", "dialogues")
    parts = [f"### cscbench gate: {_IN_WORDS[verdict.code]}\n"]
    parts += [markdown(("run", "baseline"), [(verdict.run, verdict.baseline or "none")])]
    parts += [markdown(head, [_cells(result) for result in verdict.judged])] if verdict.judged else []
    notes: Sequence[str] = [*([f"broken: {verdict.broken}"] if verdict.broken else []), *verdict.notes]
    parts += [markdown(("notes",), [(note,) for note in notes])] if notes else []
    return "\n".join(parts)


def _cells(result: RuleResult) -> tuple[str, ...]:
    evidence = result.evidence
    form = ".2f" if evidence.baseline is None else "+.2f"
    bounds = "" if evidence.low is None else f"{evidence.low:{form}} to {evidence.high:{form}}"
    return (
        result.outcome.value,
        result.rule.metric,
        f"{evidence.value:.2f}",
        "" if evidence.baseline is None else f"{evidence.baseline:.2f}",
        "" if evidence.baseline is None else f"{evidence.value - evidence.baseline:+.2f}",
        bounds,
        f"{_requirement(result)}, at {result.rule.confidence:g}%",
        f"{evidence.dialogues}",
    )
