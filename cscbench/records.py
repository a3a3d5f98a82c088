"""The values that pass between layers: frozen, without behaviour.

A `Dialogue` is played into `Request`s, answered by `Reply`s, and ends as one `Prediction` a supporter turn.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec


class Frozen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every value type: immutable, and strict about what it is decoded from."""


class Language(StrEnum):
    """Language of a dialogue; chooses prompts, tokenisers and the encoder's reach."""

    ZH = "zh"
    EN = "en"


class Speaker(StrEnum):
    """Who says a turn."""

    SUPPORTER = "supporter"
    CUSTOMER = "customer"


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
    """How a model's text was understood (see `cscbench.parse`)."""

    JSON = "json"
    BRACKET = "bracket"
    PREFIX = "prefix"
    FIELDS = "fields"
    LABEL = "label"
    GIVEN = "given"
    UNPARSED = "unparsed"
    FAILED = "failed"


class ChatRole(StrEnum):
    """Role of a chat message, as every chat template and server names it."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Message(Frozen, frozen=True):
    """One chat message."""

    role: ChatRole
    content: str


class Sampling(Frozen, frozen=True):
    """Decoding settings. `temperature` 0 is greedy; `max_tokens` counts new tokens."""

    max_tokens: int = 160
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0


class Turn(Frozen, frozen=True):
    """One utterance. `strategy` is a code of the task's `StrategySet`, and None on customer turns."""

    speaker: Speaker
    text: str
    strategy: str | None = None


class Dialogue(Frozen, frozen=True):
    """One conversation, in order. `source` and `topic` are the data's own words, or empty."""

    id: str
    turns: tuple[Turn, ...]
    language: Language
    topic: str = ""
    source: str = ""


class Request(Frozen, frozen=True):
    """One question to a model.

    `thread` is the dialogue: requests of one thread come in order, each extending the last one's messages, so that an
    adapter may keep what it has computed. `turn` is the index in `Dialogue.turns` of the turn to be written, and
    `heard` what the customer has just said (empty at an opening): all that a rule or a lookup needs. Where there are
    `choices`, nothing is written: the reply is the likeliest of them.
    """

    id: str
    thread: str
    turn: int
    step: Step
    messages: tuple[Message, ...]
    sampling: Sampling
    heard: str = ""
    choices: tuple[str, ...] = ()


class Reply(Frozen, frozen=True):
    """A model's answer. A non-empty `error` says that there is none: such a reply is kept, never scored, asked again.

    `tokens_reused` of the `tokens_in` were found in a cache, not computed again; None where that is not known.
    `dropped` counts the oldest messages left out so that the rest fitted the context window. `reasoning` is what a
    model thought aloud, kept apart from `text`. `logprob` sums the natural log-probabilities of the reply's tokens,
    where they are known; `choice_logprobs` has, for each of the request's choices, the mean over its tokens.
    """

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_reused: int | None = None
    seconds: float = 0.0
    finish_reason: str = ""
    dropped: int = 0
    error: str = ""
    reasoning: str = ""
    logprob: float | None = None
    choice_logprobs: tuple[float, ...] = ()


class Price(Frozen, frozen=True):
    """What a million tokens cost, in and out."""

    input: float
    output: float
    currency: str = "USD"


class Prediction(Frozen, frozen=True):
    """What a model made of one supporter turn. `strategy` is None where none could be read."""

    dialogue: str
    turn: int
    strategy: str | None
    text: str
    form: Form
    error: str = ""


class Pair(Frozen, frozen=True):
    """A prediction beside its reference: the row that scorers read, and a row of predictions.parquet."""

    dialogue: str
    turn: int
    language: Language
    topic: str
    reference_strategy: str
    reference: str
    strategy: str | None
    text: str
    form: Form
    error: str = ""


class Estimate(Frozen, frozen=True):
    """A value and its 95 % interval over dialogues; None where one dialogue alone can give no interval."""

    value: float
    low: float | None
    high: float | None


class Metric(Frozen, frozen=True):
    """One number of a results file, on a 0-100 scale unless its signature says otherwise.

    `low` and `high` bound the 95 % interval over dialogues (null where one dialogue alone can give none); `n` counts
    the turns behind it.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    signature: str
    higher_is_better: bool = True


class ModelCard(Frozen, frozen=True):
    """A model with every default and variant resolved: all that is needed to run it.

    `weights` is a hub id, a folder, a GGUF file, or `package:NAME` for weights that ship in a package; `options` belong
    to the adapter, which checks them.
    """

    name: str
    adapter: str
    weights: str = ""
    revision: str = ""
    lora: str = ""
    family: str = ""
    parameters: float = 0
    license: str = ""
    languages: tuple[Language, ...] = ()
    prompts: str = "default"
    sampling: Sampling = Sampling()
    price: Price | None = None
    options: Mapping[str, Any] = {}
