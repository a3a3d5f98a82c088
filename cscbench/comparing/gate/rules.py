"""Reads gate.yaml."""

from pathlib import Path

from cscbench.comparing.gate.verdict import Rule, RuleKind
from cscbench.content import yaml_file as yamlfile
from cscbench.content.shipped import expanded
from cscbench.values import Frozen, UserError

# Fewer dialogues than these bootstrap poorly: their intervals are too narrow.
MIN_DIALOGUES = 20


class _RuleLine(Frozen, frozen=True):
    """A rule as it is written."""

    metric: str
    margin: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    confidence: float = 95.0
    min_n: int = MIN_DIALOGUES


class _RulesFile(Frozen, frozen=True):
    rules: tuple[_RuleLine, ...]
    baseline: str = ""


class Rules(Frozen, frozen=True):
    """A gate as it was read; `baseline` is the path that the file names, or None."""

    rules: tuple[Rule, ...]
    baseline: Path | None

    @property
    def needs_baseline(self) -> bool:
        """Some rule is about a difference."""
        return any(rule.kind is RuleKind.MARGIN for rule in self.rules)


def read_rules(path: Path) -> Rules:
    """The rules of a file; a baseline in it is relative to the file.

    Raises:
        UserError: no such file, broken YAML, or a rule that says nothing, too much, or what cannot be.
    """
    data, lines = yamlfile.parse(path, yamlfile.read_text(path, "rules file"))
    written = yamlfile.to_struct(path, data, lines, _RulesFile)
    if not written.rules:
        raise UserError(f"{path}: `rules` is empty: name one, as `- {{metric: bleu_4, margin: 1}}`")
    rules = []
    for number, line in enumerate(written.rules):
        try:
            rules.append(_rule(line))
        except UserError as error:
            raise UserError(f"{path}:{lines['rules', str(number)]}: the rule for {line.metric!r}: {error}") from None
    baseline = path.parent / expanded(written.baseline) if written.baseline else None
    return Rules(tuple(rules), baseline)


def _rule(line: _RuleLine) -> Rule:
    given = [(kind, limit) for kind in RuleKind if (limit := getattr(line, kind.value)) is not None]
    if len(given) != 1:
        raise UserError("give one of `margin` (against the baseline), `floor` or `ceiling` (of the run itself)")
    ((kind, limit),) = given
    if kind is RuleKind.MARGIN and limit < 0:
        raise UserError("`margin` is how many points may be lost, 0 or more")
    if not 50 < line.confidence < 100:
        raise UserError(f"`confidence` is in per cent, between 50 and 100, such as 95: not {line.confidence:g}")
    if line.min_n < 2:
        raise UserError("`min_n` counts dialogues, 2 or more: one alone says nothing about others")
    return Rule(line.metric, kind, limit, line.confidence, line.min_n)
