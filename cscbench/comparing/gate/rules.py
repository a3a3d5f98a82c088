"""Read gate.yaml."""

from pathlib import Path

from cscbench.comparing.gate.verdict import Rule, RuleKind
from cscbench.content import yaml_file as yamlfile
from cscbench.content.shipped import expanded
from cscbench.values import Frozen, UserError

# With fewer dialogues, bootstrap intervals are too narrow.
MIN_DIALOGUES = 20


class _RuleLine(Frozen, frozen=True):
    """A rule as written in the file."""

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
    """The contents of a gate file; `baseline` is the path that the file names, or None."""

    rules: tuple[Rule, ...]
    baseline: Path | None

    @property
    def needs_baseline(self) -> bool:
        """Return whether any rule compares with the baseline."""
        return any(rule.kind is RuleKind.MARGIN for rule in self.rules)


def read_rules(path: Path) -> Rules:
    """Read the rules of a file; a baseline path is relative to the file.

    Raises:
        UserError: no such file, invalid YAML, or a rule with no limit, several limits, or an invalid value.
    """
    data, lines = yamlfile.parse(path, yamlfile.read_text(path, "rules file"))
    file = yamlfile.to_struct(path, data, lines, _RulesFile)
    if not file.rules:
        raise UserError(f"{path}: `rules` is empty. Add a rule, e.g. `- {{metric: bleu_4, margin: 1}}`")
    rules = []
    for number, line in enumerate(file.rules):
        try:
            rules.append(_rule(line))
        except UserError as error:
            raise UserError(f"{path}:{lines['rules', str(number)]}: the rule for {line.metric!r}: {error}") from None
    baseline = path.parent / expanded(file.baseline) if file.baseline else None
    return Rules(tuple(rules), baseline)


def _rule(line: _RuleLine) -> Rule:
    given = [(kind, limit) for kind in RuleKind if (limit := getattr(line, kind.value)) is not None]
    if len(given) != 1:
        raise UserError("set exactly one of `margin` (relative to the baseline), `floor` or `ceiling` (absolute)")
    ((kind, limit),) = given
    if kind is RuleKind.MARGIN and limit < 0:
        raise UserError("`margin` is the largest acceptable loss in points and must be at least 0")
    if not 50 < line.confidence < 100:
        raise UserError(f"`confidence` is a percentage between 50 and 100, e.g. 95; it is {line.confidence:g}")
    if line.min_n < 2:
        raise UserError("`min_n` is a number of dialogues and must be at least 2: one dialogue gives no interval")
    return Rule(line.metric, kind, limit, line.confidence, line.min_n)
