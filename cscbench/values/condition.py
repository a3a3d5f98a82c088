"""How a dialogue is played and asked for, and how an answer was understood."""

from enum import StrEnum


class Context(StrEnum):
    """What stands in a prompt for the earlier supporter turns: the reference, or the model's own words."""

    GOLD = "gold"
    GENERATED = "generated"


class Condition(StrEnum):
    """How strategy and reply are asked for."""

    JOINT = "joint"
    TWO_STEP = "two-step"
    RANKED = "ranked"
    GOLD_STRATEGY = "gold-strategy"


class Step(StrEnum):
    """What one request asks for."""

    JOINT = "joint"
    STRATEGY = "strategy"
    REPLY = "reply"
    JUDGE = "judge"


class Form(StrEnum):
    """How a model's text was understood (see `cscbench.asking.parse`)."""

    JSON = "json"
    BRACKET = "bracket"
    PREFIX = "prefix"
    FIELDS = "fields"
    LABEL = "label"
    GIVEN = "given"
    UNPARSED = "unparsed"
    FAILED = "failed"
