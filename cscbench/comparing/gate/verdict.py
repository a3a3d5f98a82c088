"""Whether a run is good enough: rules against a baseline or a fixed value, judged on confidence bounds.

One straight line: `rules` reads gate.yaml, `evidence` measures what a rule is about, `decide` judges, `report` tells.
"""

from enum import IntEnum, StrEnum

from cscbench.values import Frozen

SCHEMA = "cscbench/gate/1"


class RuleKind(StrEnum):
    """What a rule is about: the difference from a baseline, or the run's own value."""

    MARGIN = "margin"
    FLOOR = "floor"
    CEILING = "ceiling"


class Rule(Frozen, frozen=True):
    """One line of a gate. `limit` is the rule's margin, floor or ceiling, in the metric's points.

    `confidence` is of each one-sided bound, in per cent; below `min_n` dialogues nothing is judged.
    """

    metric: str
    kind: RuleKind
    limit: float
    confidence: float
    min_n: int


class Evidence(Frozen, frozen=True):
    """What is known of a rule's quantity: the run's value, or (`baseline` not null) its difference from the baseline.

    `low` and `high` are one-sided bounds of it at the rule's confidence, `error` its standard error; null where one
    dialogue alone can give none. `paired`: both runs' dialogues were at hand.
    """

    value: float
    baseline: float | None
    low: float | None
    high: float | None
    error: float | None
    dialogues: int
    higher_is_better: bool
    paired: bool


class Outcome(StrEnum):
    """What a rule came to."""

    PASSED = "passed"
    REGRESSED = "regressed"
    CANNOT_TELL = "cannot tell"


class ExitCode(IntEnum):
    """What `cscbench gate` ends with; 2 is a mistake in what was given."""

    PASSED = 0
    REGRESSED = 1
    USAGE = 2
    BROKEN = 3
    TOO_LITTLE = 4


class RuleResult(Frozen, frozen=True):
    """A rule with its evidence and outcome."""

    rule: Rule
    evidence: Evidence
    outcome: Outcome


class GateVerdict(Frozen, frozen=True):
    """A whole gate: the run, the baseline (empty where no rule asks for one), each rule, and what a reader must know.

    `broken` says why the run cannot be trusted (not finished, replies failed, a damaged file), or is empty.
    """

    run: str
    baseline: str
    judged: tuple[RuleResult, ...]
    broken: str
    notes: tuple[str, ...]

    @property
    def code(self) -> ExitCode:
        """A broken run first, then a regression, then too little data."""
        outcomes = {one.outcome for one in self.judged}
        if self.broken:
            return ExitCode.BROKEN
        if Outcome.REGRESSED in outcomes:
            return ExitCode.REGRESSED
        return ExitCode.TOO_LITTLE if Outcome.CANNOT_TELL in outcomes else ExitCode.PASSED
