"""The bodies of requests and answers as values; conversion of an answer to a `Reply`."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from cscbench.models.openai import OpenAiOptions
from cscbench.values import Frozen, Message, Reply, Sampling

# Servers send different fields beyond those that we read: unknown fields are ignored.


class ChatMessage(msgspec.Struct, frozen=True):
    """A reply's text; servers use different names for its reasoning."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class TokenLogprob(msgspec.Struct, frozen=True):
    """One token of a reply."""

    token: str = ""
    logprob: float | None = None


class Logprobs(msgspec.Struct, frozen=True):
    """The tokens of a reply, if they were requested and the server reports them."""

    content: tuple[TokenLogprob, ...] | None = None


class Choice(msgspec.Struct, frozen=True):
    """One reply."""

    message: ChatMessage
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class PromptDetails(msgspec.Struct, frozen=True):
    """How many tokens of the prompt came from the server's cache."""

    cached_tokens: int | None = None


class WireUsage(msgspec.Struct, frozen=True):
    """The tokens of a request and its answer."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None


class Completion(msgspec.Struct, frozen=True):
    """A server's answer to one request; it must have a choice."""

    choices: Annotated[tuple[Choice, ...], msgspec.Meta(min_length=1)]
    model: str | None = None
    usage: WireUsage | None = None
    system_fingerprint: str | None = None


class RequestTemplate(Frozen, frozen=True):
    """What all requests to a model share: its name on the server, the card's options, and fields for its engine."""

    model: str
    options: OpenAiOptions
    engine_fields: Mapping[str, Any] = {}


def body(messages: Sequence[Message], sampling: Sampling, template: RequestTemplate) -> dict[str, Any]:
    """Return the body of a chat completions request.

    `top_p` is only sent if it matters: some models accept neither it nor a temperature.
    """
    settings = template.options
    fields: dict[str, Any] = {
        "model": template.model,
        "messages": [{"role": message.role.value, "content": message.content} for message in messages],
        settings.max_tokens_field: sampling.max_tokens,
        "temperature": sampling.temperature,
        "stream": False,
    }
    if sampling.temperature > 0:
        fields["top_p"] = sampling.top_p
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    if settings.seed:
        fields["seed"] = sampling.seed
    if settings.logprobs:
        fields |= with_logprobs({})
    return {**fields, **template.engine_fields, **settings.extra_body}


def with_logprobs(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body, requesting each token's log-probability (and one alternative; llama.cpp's default is 20)."""
    return {**fields, "logprobs": True, "top_logprobs": 1}


_OPEN = re.compile(r"\s*<(think|thinking|reasoning)>(.*?)(?:</\1>(.*)|\Z)", re.DOTALL | re.IGNORECASE)
_CLOSE = re.compile(r"(.*?)</(?:think|thinking|reasoning)>(.*)", re.DOTALL | re.IGNORECASE)


def split_reasoning(content: str) -> tuple[str, str]:
    """Split a text into its leading reasoning and the rest; the opening or the closing tag may be missing."""
    if opened := _OPEN.match(content):
        return opened[2].strip(), (opened[3] or "").strip()
    if closed := _CLOSE.match(content):
        return closed[1].strip(), closed[2].strip()
    return "", content.strip()


def reply_of(completion: Completion, seconds: float) -> Reply:
    """Return the reply in a server's answer, with an error if the answer has no text from the model."""
    choice, usage = completion.choices[0], completion.usage or WireUsage()
    message = choice.message
    head, text = split_reasoning(message.content or "")
    field = (message.reasoning_content or message.reasoning or "").strip()
    reasoning = "\n".join(part for part in (field, head) if part)
    details = usage.prompt_tokens_details
    return Reply(
        text=text,
        tokens_in=usage.prompt_tokens or 0,
        tokens_out=usage.completion_tokens or 0,
        tokens_reused=details.cached_tokens if details else None,
        seconds=seconds,
        finish_reason=choice.finish_reason or "",
        error="" if text else _empty_reply_error(choice, bool(reasoning)),
        reasoning=reasoning,
        logprob=_total_logprob(choice.logprobs),
    )


def _empty_reply_error(choice: Choice, reasoned: bool) -> str:
    """Return why there is no text; empty if the model itself chose to write nothing."""
    reason = choice.finish_reason or "none given"
    if reasoned and reason == "length":
        return "no reply: `sampling.max_tokens` of the card ended it during its reasoning: raise it"
    if choice.message.content is None or reasoned or reason == "content_filter":
        refusal = f": {choice.message.refusal}" if choice.message.refusal else ""
        return f"no reply: the server's answer has no content (finish reason: {reason}){refusal}"
    return ""


def _total_logprob(logprobs: Logprobs | None) -> float | None:
    """Return the sum over a reply's tokens; None if any is unknown."""
    known = [token.logprob for token in (logprobs.content or ())] if logprobs else []
    total = math.fsum(value for value in known if value is not None)
    return total if known and None not in known and math.isfinite(total) else None
