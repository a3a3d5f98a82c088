"""How a dialogue is played, which requests a turn makes, and how an answer was parsed."""

from enum import StrEnum


class Context(StrEnum):
    """What a prompt shows as the earlier supporter turns: the reference, or the model's own replies."""

    GOLD = "gold"
    GENERATED = "generated"


class Step(StrEnum):
    """What one request asks for."""

    JOINT = "joint"
    STRATEGY = "strategy"
    REPLY = "reply"
    JUDGE = "judge"


class Condition(StrEnum):
    """How a turn requests strategy and reply: the steps in order, and the prompt file that they use.

    With `gives_strategy`, the requests show the reference strategy.
    """

    steps: tuple[Step, ...]
    prompt_file: str
    gives_strategy: bool

    JOINT = "joint", (Step.JOINT,)
    TWO_STEP = "two-step", (Step.STRATEGY, Step.REPLY)
    # Shares the prompts of two-step, so that the two conditions can be compared.
    RANKED = "ranked", (Step.STRATEGY, Step.REPLY), "two-step"
    GOLD_STRATEGY = "gold-strategy", (Step.REPLY,), "gold-strategy", True
    REPLY_ONLY = "reply-only", (Step.REPLY,)

    def __new__(
        cls, name: str, steps: tuple[Step, ...] = (), prompt_file: str = "", gives_strategy: bool = False
    ) -> "Condition":
        """Make a member: a string, its name, with the other fields as attributes."""
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
        """The strategy is the likeliest choice instead of generated text."""
        return self.predicts_strategy and self.prompt_file != self.value

    @property
    def needs_labels(self) -> bool:
        """The data must label reference turns with strategies."""
        return self.predicts_strategy or self.gives_strategy


class ParseForm(StrEnum):
    """How a model's text was parsed (see `cscbench.asking.parse`)."""

    JSON = "json"
    BRACKET = "bracket"
    PREFIX = "prefix"
    FIELDS = "fields"
    LABEL = "label"
    GIVEN = "given"
    UNPARSED = "unparsed"
    FAILED = "failed"
