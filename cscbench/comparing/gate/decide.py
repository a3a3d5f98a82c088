"""From evidence to an outcome."""

import math

from cscbench.comparing.gate.verdict import Evidence, Outcome, Rule, RuleKind
from cscbench.scoring.bootstrap import t_quantile
from cscbench.scoring.paired import POWER


def decide(rule: Rule, evidence: Evidence) -> Outcome:
    """Non-inferiority on the confidence bound, and a regression only where one is shown.

    Passed: the worse bound is within the limit. Regressed: it is not, and the better bound shows a loss (`margin`), or
    is beyond the limit (`floor`, `ceiling`). Else the data are too few to tell. So where nothing changed, a `margin`
    rule regresses at most (100 - confidence) times in 100.
    """
    if evidence.low is None or evidence.high is None or evidence.dialogues < rule.min_n:
        return Outcome.CANNOT_TELL
    low, high, target = evidence.low, evidence.high, -rule.limit if rule.kind is RuleKind.MARGIN else rule.limit
    if not evidence.higher_is_better:
        low, high = -high, -low
        target = target if rule.kind is RuleKind.MARGIN else -target
    if low >= target:
        return Outcome.PASSED
    return Outcome.REGRESSED if high < (0 if rule.kind is RuleKind.MARGIN else target) else Outcome.CANNOT_TELL


def caught(rule: Rule, evidence: Evidence) -> float | None:
    """The true loss that a `margin` rule over these dialogues would call a regression 80 times in 100, in points.

    A regression needs an observed loss above t errors (it is shown) and above the margin less t errors (it is not
    within); Student's quantile of 80 % on top. None for other rules, or where there is no error.
    """
    if rule.kind is not RuleKind.MARGIN or evidence.error is None:
        return None
    reach = evidence.error * t_quantile(rule.confidence / 100, evidence.dialogues)
    return max(reach, rule.limit - reach) + evidence.error * t_quantile(POWER, evidence.dialogues)


def dialogues_needed(rule: Rule, evidence: Evidence) -> int | None:
    """How many dialogues would pass the rule if its value stays as it is; None where no number would."""
    if evidence.low is None or evidence.high is None:
        return None
    value = evidence.value if evidence.baseline is None else evidence.value - evidence.baseline
    sign = 1 if evidence.higher_is_better else -1
    target = -rule.limit if rule.kind is RuleKind.MARGIN else sign * rule.limit
    room = sign * value - target
    reach = value - evidence.low if sign > 0 else evidence.high - value
    if room <= 0:
        return None
    needed = evidence.dialogues * (reach / room) * (reach / room)  # not **, which overflows where room is tiny
    return max(rule.min_n, math.ceil(needed)) if math.isfinite(needed) else None
