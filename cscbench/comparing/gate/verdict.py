"""The values of a gate: rules relative to a baseline or a fixed value, evidence, outcomes, and exit codes.

`rules` reads gate.yaml, `evidence` measures, `decide` decides each rule, `publishing.gate_report` prints the verdict.
"""

from enum import IntEnum, StrEnum

from cscbench.values import Frozen

SCHEMA = "cscbench/gate/1"


class RuleKind(StrEnum):
    """What a rule limits: the difference from a baseline, or the run's own value."""

    MARGIN = "margin"
    FLOOR = "floor"
    CEILING = "ceiling"


class Rule(Frozen, frozen=True):
    """One rule of a gate. `limit` is its margin, floor or ceiling, in points of the metric.

    `confidence` is the level of each one-sided bound, in percent; with fewer than `min_n` dialogues the outcome is
    "cannot tell".
    """

    metric: str
    kind: RuleKind
    limit: float
    confidence: float
    min_n: int


class Evidence(Frozen, frozen=True):
    """The measurement a rule is decided on: the run's value, or its difference from `baseline` if that is not null.

    `low` and `high` are one-sided bounds at the rule's confidence, `error` is the standard error; all are null if there
    is only one dialogue. `paired` is true if the dialogues of both runs were available.
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
    """The outcome of a rule."""

    PASSED = "passed"
    REGRESSED = "regressed"
    CANNOT_TELL = "cannot tell"


class ExitCode(IntEnum):
    """Exit codes of `cscbench gate`; 2 means invalid input."""

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
    """The verdict of a gate: the run, the baseline (empty if no rule needs one), the rules' results, and notes.

    `broken` says why the run cannot be trusted (unfinished, failed replies, a damaged file); it is empty otherwise.
    """

    run: str
    baseline: str
    judged: tuple[RuleResult, ...]
    broken: str
    notes: tuple[str, ...]

    @property
    def code(self) -> ExitCode:
        """Return the exit code: a broken run comes first, then a regression, then too little data."""
        outcomes = {result.outcome for result in self.judged}
        if self.broken:
            return ExitCode.BROKEN
        if Outcome.REGRESSED in outcomes:
            return ExitCode.REGRESSED
        return ExitCode.TOO_LITTLE if Outcome.CANNOT_TELL in outcomes else ExitCode.PASSED
