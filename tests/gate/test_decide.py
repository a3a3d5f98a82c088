"""The decision of a rule: what passes, what regresses, and that the two cannot both be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from cscbench.comparing.gate.decide import decide, detectable_loss, dialogues_needed
from cscbench.comparing.gate.verdict import Evidence, ExitCode, GateVerdict, Outcome, Rule, RuleKind, RuleResult


def rule(kind: RuleKind = RuleKind.MARGIN, limit: float = 2.0, confidence: float = 95.0) -> Rule:
    return Rule("m", kind, limit, confidence, 20)


def evidence(low: float | None, high: float | None, *, dialogues: int = 50, better: bool = True) -> Evidence:
    if low is None or high is None:
        return Evidence(50.0, 50.0, None, None, None, dialogues, better, True)
    return Evidence(50 + (low + high) / 2, 50.0, low, high, (high - low) / 3.29, dialogues, better, True)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (-1.9, 1.0, Outcome.PASSED),
        (-2.0, -1.0, Outcome.PASSED),  # worse, but by no more than may be lost
        (-2.1, 1.0, Outcome.CANNOT_TELL),
        (-2.1, -0.1, Outcome.REGRESSED),
        (-9.0, -5.0, Outcome.REGRESSED),
        (None, None, Outcome.CANNOT_TELL),
    ],
)
def test_a_margin(low, high, outcome):
    assert decide(rule(), evidence(low, high)) is outcome
    if low is not None:  # what is lost where lower is better is gained elsewhere
        assert decide(rule(), evidence(-high, -low, better=False)) is outcome


@pytest.mark.parametrize(
    ("low", "high", "floor"),
    [(5.0, 7.0, Outcome.PASSED), (4.9, 7.0, Outcome.CANNOT_TELL), (2.0, 4.9, Outcome.REGRESSED)],
)
def test_a_floor_and_a_ceiling(low, high, floor):
    assert decide(rule(RuleKind.FLOOR, 5.0), evidence(low, high)) is floor
    assert decide(rule(RuleKind.CEILING, -5.0), evidence(-high, -low, better=False)) is floor


def test_fewer_dialogues_than_the_rule_asks_for_tell_nothing():
    assert decide(rule(), evidence(0.0, 1.0, dialogues=19)) is Outcome.CANNOT_TELL
    assert decide(rule(), evidence(0.0, 1.0, dialogues=20)) is Outcome.PASSED


BOUND = st.floats(-20, 20)


@given(BOUND, BOUND, st.floats(0, 10), st.floats(0, 5))
def test_a_better_run_never_has_a_worse_outcome(bound, other_bound, margin, gain):
    order = [Outcome.REGRESSED, Outcome.CANNOT_TELL, Outcome.PASSED]
    low, high = sorted((bound, other_bound))
    before = decide(rule(limit=margin), evidence(low, high))
    after = decide(rule(limit=margin), evidence(low + gain, high + gain))
    assert order.index(after) >= order.index(before)


@given(st.floats(0.1, 5), st.floats(0, 10), st.floats(60, 99.9))
def test_the_loss_that_is_caught_is_caught_80_times_in_100(error, margin, confidence):
    """By Student's distribution: an observed difference below `cut` regresses."""
    asked = rule(limit=margin, confidence=confidence)
    known = Evidence(50, 50, -1, 1, error, 50, True, True)
    loss = detectable_loss(asked, known)
    reach = error * t(49).ppf(confidence / 100)

    def regresses(difference: float) -> bool:
        seen = Evidence(50 + difference, 50, difference - reach, difference + reach, error, 50, True, True)
        return decide(asked, seen) is Outcome.REGRESSED

    cut = -loss + error * t(49).ppf(0.8)
    assert regresses(cut - 1e-6)
    assert not regresses(cut + 1e-6)


def test_how_many_dialogues_would_do():
    seen = evidence(-4.0, 4.0, dialogues=25)  # no difference, a reach of 4, and 2 may be lost
    assert dialogues_needed(rule(), seen) == 100
    assert dialogues_needed(rule(limit=0), seen) is None  # no number shows that nothing is lost


@pytest.mark.parametrize(
    ("outcomes", "broken", "code"),
    [
        ((Outcome.PASSED, Outcome.PASSED), "", ExitCode.PASSED),
        ((Outcome.PASSED, Outcome.CANNOT_TELL), "", ExitCode.TOO_LITTLE),
        ((Outcome.REGRESSED, Outcome.CANNOT_TELL), "", ExitCode.REGRESSED),
        ((Outcome.REGRESSED,), "torn", ExitCode.BROKEN),
    ],
)
def test_the_gravest_outcome_is_the_exit_code(outcomes, broken, code):
    judged = tuple(RuleResult(rule(), evidence(0, 1), outcome) for outcome in outcomes)
    assert GateVerdict("r", "", judged, broken, ()).code is code
