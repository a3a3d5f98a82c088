"""Decide the outcome of a rule from its evidence."""

import math

from cscbench.comparing.gate.verdict import Evidence, Outcome, Rule, RuleKind
from cscbench.scoring.bootstrap import t_quantile
from cscbench.scoring.paired import POWER


def decide(rule: Rule, evidence: Evidence) -> Outcome:
    """Test non-inferiority on the confidence bound; report a regression only if the data show one.

    Passed: the worse bound is within the limit. Regressed: it is not, and the better bound shows a loss (`margin`) or
    is beyond the limit (`floor`, `ceiling`). Otherwise there is too little data to tell. If nothing changed, a `margin`
    rule therefore reports a regression at most (100 - confidence) times in 100.
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


def detectable_loss(rule: Rule, evidence: Evidence) -> float | None:
    """Return the true loss, in points, that a `margin` rule over these dialogues would detect with 80% power.

    A regression requires an observed loss above t standard errors (the loss is shown) and above the margin minus t
    standard errors (the loss is not within the margin); Student's 80% quantile is added. None for other rules, or
    without a standard error.
    """
    if rule.kind is not RuleKind.MARGIN or evidence.error is None:
        return None
    reach = evidence.error * t_quantile(rule.confidence / 100, evidence.dialogues)
    return max(reach, rule.limit - reach) + evidence.error * t_quantile(POWER, evidence.dialogues)


def dialogues_needed(rule: Rule, evidence: Evidence) -> int | None:
    """Return how many dialogues would pass the rule at the present value, or None if no number would."""
    if evidence.low is None or evidence.high is None:
        return None
    value = evidence.value if evidence.baseline is None else evidence.value - evidence.baseline
    sign = 1 if evidence.higher_is_better else -1
    target = -rule.limit if rule.kind is RuleKind.MARGIN else sign * rule.limit
    room = sign * value - target
    reach = value - evidence.low if sign > 0 else evidence.high - value
    if room <= 0:
        return None
    needed = evidence.dialogues * (reach / room) * (reach / room)  # not **, which overflows if room is tiny
    return max(rule.min_n, math.ceil(needed)) if math.isfinite(needed) else None
