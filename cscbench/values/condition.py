"""How a dialogue is played and asked for, and how an answer was understood."""

from enum import StrEnum


class Context(StrEnum):
    """What stands in a prompt for the earlier supporter turns: the reference, or the model's own words."""

    GOLD = "gold"
    GENERATED = "generated"


class Step(StrEnum):
    """What one request asks for."""

    JOINT = "joint"
    STRATEGY = "strategy"
    REPLY = "reply"
    JUDGE = "judge"


class Condition(StrEnum):
    """How strategy and reply are asked for: the requests of a turn in order, and whose prompt file they use.

    `gives_strategy`: the requests show the reference strategy.
    """

    steps: tuple[Step, ...]
    prompt_file: str
    gives_strategy: bool

    JOINT = "joint", (Step.JOINT,)
    TWO_STEP = "two-step", (Step.STRATEGY, Step.REPLY)
    # It asks in the words of two-step, so that the two compare.
    RANKED = "ranked", (Step.STRATEGY, Step.REPLY), "two-step"
    GOLD_STRATEGY = "gold-strategy", (Step.REPLY,), "gold-strategy", True
    REPLY_ONLY = "reply-only", (Step.REPLY,)

    def __new__(
        cls, name: str, steps: tuple[Step, ...] = (), prompt_file: str = "", gives_strategy: bool = False
    ) -> "Condition":
        """A member is its name, and carries the rest."""
        member = str.__new__(cls, name)
        member._value_, member.steps, member.prompt_file = name, steps, prompt_file or name
        member.gives_strategy = gives_strategy
        return member

    @property
    def predicts_strategy(self) -> bool:
        """The model chooses a strategy."""
        return self.steps != (Step.REPLY,)

    @property
    def ranks_strategies(self) -> bool:
        """The strategy is the likeliest of all, not written."""
        return self.predicts_strategy and self.prompt_file != self.value

    @property
    def needs_labels(self) -> bool:
        """Prompts show the strategies of reference turns."""
        return self.predicts_strategy or self.gives_strategy


class ParseForm(StrEnum):
    """How a model's text was understood (see `cscbench.asking.parse`)."""

    JSON = "json"
    BRACKET = "bracket"
    PREFIX = "prefix"
    FIELDS = "fields"
    LABEL = "label"
    GIVEN = "given"
    UNPARSED = "unparsed"
    FAILED = "failed"
