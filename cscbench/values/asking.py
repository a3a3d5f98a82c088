"""What passes between a play and a model: requests, replies, and the card that says which model it is."""

import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from cscbench.values.condition import Step
from cscbench.values.dialogue import Language
from cscbench.values.frozen import Frozen


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


SUPPORTER, JUDGE = "supporter", "judge"


class Request(Frozen, frozen=True):
    """One question to a model.

    `role` says which desk answers it.

    `thread` is the dialogue: requests of one thread come in order, each extending the last one's messages, so that an
    adapter may keep what it has computed. `turn` is the index in `Dialogue.turns` of the turn to be written, and
    `customer_text` what the customer has just said (empty at an opening): all that a rule or a lookup needs. With
    `choices`, the model writes nothing: the reply is the likeliest of them.
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


def estimate_tokens(text: str) -> int:
    """A rough count without a tokenizer: three tokens for four Chinese characters, one for four others."""
    han = len(re.findall(r"[㐀-鿿]", text))
    return math.ceil(0.75 * han + (len(text) - han) / 4)
