"""What is sent to a server and what comes back, as values; a server's answer to a `Reply`."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from cscbench.models.openai import OpenAiOptions
from cscbench.values import Frozen, Message, Reply, Sampling

# Servers answer with more than we read, and differ in what: unknown fields are passed over.


class ChatMessage(msgspec.Struct, frozen=True):
    """A reply's words; `reasoning` is named differently by different servers."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None


class TokenLogprob(msgspec.Struct, frozen=True):
    """One token of a reply."""

    token: str = ""
    logprob: float | None = None


class Logprobs(msgspec.Struct, frozen=True):
    """The tokens of a reply, where they were asked for and the server has them."""

    content: tuple[TokenLogprob, ...] | None = None


class Choice(msgspec.Struct, frozen=True):
    """One reply."""

    message: ChatMessage
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class PromptDetails(msgspec.Struct, frozen=True):
    """`cached_tokens` of the prompt were not computed again."""

    cached_tokens: int | None = None


class WireUsage(msgspec.Struct, frozen=True):
    """What a request took, in tokens."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None


class Completion(msgspec.Struct, frozen=True):
    """A server's answer to one request; without a choice it is none."""

    choices: Annotated[tuple[Choice, ...], msgspec.Meta(min_length=1)]
    model: str | None = None
    usage: WireUsage | None = None
    system_fingerprint: str | None = None


class RequestTemplate(Frozen, frozen=True):
    """How a model is asked: its name on the server, the card's options, and what else this engine must be told."""

    model: str
    options: OpenAiOptions
    engine_fields: Mapping[str, Any] = {}


def body(messages: Sequence[Message], sampling: Sampling, template: RequestTemplate) -> dict[str, Any]:
    """The body of a chat completions request.

    `top_p` is sent where it matters only: some models take neither it nor a temperature.
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
    """The same body, asking for the log-probability of each token (and of one rival: llama.cpp's default is 20)."""
    return {**fields, "logprobs": True, "top_logprobs": 1}


_OPEN = re.compile(r"\s*<(think|thinking|reasoning)>(.*?)(?:</\1>(.*)|\Z)", re.DOTALL | re.IGNORECASE)
_CLOSE = re.compile(r"(.*?)</(?:think|thinking|reasoning)>(.*)", re.DOTALL | re.IGNORECASE)


def split_reasoning(content: str) -> tuple[str, str]:
    """The reasoning at a text's head, and the rest. Its opening tag may stand in the prompt; its end may be missing."""
    if opened := _OPEN.match(content):
        return opened[2].strip(), (opened[3] or "").strip()
    if closed := _CLOSE.match(content):
        return closed[1].strip(), closed[2].strip()
    return "", content.strip()


def reply_of(completion: Completion, seconds: float) -> Reply:
    """The reply in a server's answer; one with an error where the answer holds no words of the model."""
    choice, usage = completion.choices[0], completion.usage or WireUsage()
    said = choice.message
    head, text = split_reasoning(said.content or "")
    reasoning = "\n".join(part for part in ((said.reasoning_content or said.reasoning or "").strip(), head) if part)
    details = usage.prompt_tokens_details
    return Reply(
        text=text,
        tokens_in=usage.prompt_tokens or 0,
        tokens_out=usage.completion_tokens or 0,
        tokens_reused=details.cached_tokens if details else None,
        seconds=seconds,
        finish_reason=choice.finish_reason or "",
        error="" if text else _why_silent(choice, bool(reasoning)),
        reasoning=reasoning,
        logprob=_sum(choice.logprobs),
    )


def _why_silent(choice: Choice, reasoned: bool) -> str:
    """Why there are no words; empty where the model itself chose to say nothing."""
    reason = choice.finish_reason or "none given"
    if reasoned and reason == "length":
        return "no reply: `sampling.max_tokens` of the card ended it within its reasoning"
    if choice.message.content is None or reasoned or reason == "content_filter":
        refusal = f": {choice.message.refusal}" if choice.message.refusal else ""
        return f"no reply: the server's answer has no content (finish reason: {reason}){refusal}"
    return ""


def _sum(logprobs: Logprobs | None) -> float | None:
    """The sum over a reply's tokens; None where a token's is not known."""
    known = [token.logprob for token in (logprobs.content or ())] if logprobs else []
    total = math.fsum(value for value in known if value is not None)
    return total if known and None not in known and math.isfinite(total) else None
