"""What passes between a play and a model: requests, replies, and the card that identifies the model."""

import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta

from cscbench.values.condition import Step
from cscbench.values.dialogue import Language
from cscbench.values.frozen import Frozen


class ChatRole(StrEnum):
    """Role of a chat message, under the name that chat templates and servers use."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Message(Frozen, frozen=True):
    """One chat message."""

    role: ChatRole
    content: str


class Sampling(Frozen, frozen=True):
    """Decoding settings. `temperature` 0 is greedy; `max_tokens` counts new tokens."""

    max_tokens: Annotated[int, Meta(ge=1)] = 160
    temperature: Annotated[float, Meta(ge=0)] = 0.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0


SUPPORTER, JUDGE = "supporter", "judge"


class Request(Frozen, frozen=True):
    """One question to a model. `role` says which desk answers it.

    `thread` is the dialogue: its requests come in order, and each extends the messages of the one before, so an adapter
    can reuse what it has computed. `turn` is the index in `Dialogue.turns` of the turn to write; `customer_text` is the
    customer's last line (empty at an opening), which is all that a rule or a lookup needs. With `choices`, the model
    writes nothing: the reply is the likeliest choice.
    """

    id: str
    thread: str
    turn: int
    step: Step
    messages: tuple[Message, ...]
    sampling: Sampling
    customer_text: str = ""
    choices: tuple[str, ...] = ()
    role: str = SUPPORTER


class Reply(Frozen, frozen=True):
    """A model's answer. If `error` is not empty, the request failed: the reply is stored but not scored, and a later
    command repeats the request.

    `tokens_reused` counts the input tokens that came from a cache (None if unknown). `dropped` counts the oldest
    messages that were removed to fit the context window. `reasoning` is the model's thinking, kept out of `text`.
    `logprob` is the sum of the natural log-probabilities of the reply's tokens, if known; `choice_logprobs` is the mean
    over the tokens of each of the request's choices.
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
    """Cost of a million tokens, input and output."""

    input: Annotated[float, Meta(ge=0)]
    output: Annotated[float, Meta(ge=0)]
    currency: str = "USD"


class ModelCard(Frozen, frozen=True):
    """A model with all defaults and variants resolved: everything needed to run it.

    `weights` is a hub id, a folder, a GGUF file, or `package:NAME` for weights that ship in a package. The adapter
    defines `options` and checks them.
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


def estimate_tokens(text: str) -> int:
    """Estimate the token count without a tokenizer: 3 tokens per 4 Chinese characters, 1 per 4 others."""
    han = len(re.findall(r"[㐀-鿿]", text))
    return math.ceil(0.75 * han + (len(text) - han) / 4)
