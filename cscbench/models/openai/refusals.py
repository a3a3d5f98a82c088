"""Errors for requests that a server does not answer, with what the user can do about them."""

import re
from collections.abc import Sequence

import msgspec

from cscbench.content.yaml_file import did_you_mean
from cscbench.models.openai import OpenAiOptions
from cscbench.values import ModelCard, UserError

_MAX_MESSAGE = 400
# Fields of a request that some servers reject, and how to change them in the card.
_FIELD_HINTS = {
    "max_tokens": "set `options.max_tokens_field: max_completion_tokens`",
    "max_completion_tokens": "set `options.max_tokens_field: max_tokens`",
    "temperature": "set `sampling.temperature` to a value that the model accepts (reasoning models: 1)",
    "top_p": "set `sampling.top_p` to a value that the model accepts",
    "seed": "set `options.seed: false`",
    "logprobs": "set `options.logprobs: false`",
    "top_logprobs": "set `options.logprobs: false`",
    "stop": "remove `sampling.stop`, or list fewer strings",
}


class Refused(Exception):
    """The server refuses this request, and would on a retry. `message` is the server's, without the key."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"HTTP {status}: {message}")
        self.status, self.message = status, message

    @property
    def for_all(self) -> bool:
        """Whether the server would refuse all other requests too: wrong key, no credit, unknown model."""
        return self.status in (401, 402, 404) or "insufficient_quota" in self.message


class Unanswered(Exception):
    """All attempts that the card allows failed."""


class Unreachable(Exception):
    """No server answers at the address."""


def server_message(content: bytes, key: str) -> str:
    """Return the message in a server's error of any format, in one line of bounded length and without the key."""
    text = content.decode("utf-8", errors="replace")
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = {}
    for _ in range(2):  # {"error": {"message": ...}}, {"error": "..."}, {"message": ...}, {"detail": ...}
        if isinstance(value, dict):
            value = next((value[name] for name in ("error", "message", "detail") if value.get(name)), value)
    codes = re.findall(r'"code"\s*:\s*"(\w+)"', text)
    message = " ".join([value if isinstance(value, str) else text, *(f"({code})" for code in codes[:1])])
    message = " ".join(message.split())
    return (message.replace(key, "***") if key else message)[:_MAX_MESSAGE] or "(no message)"


def user_error(
    card: ModelCard, settings: OpenAiOptions, url: str, has_key: bool, model: str, models: Sequence[str], error: Refused
) -> UserError:
    """Build the error for a refusal: the server's message, and the fix. `models` are the names that it lists."""
    head = f"{card.name}: the server at {url} refuses: {error}"
    if error.status == 401:
        source = f"the environment variable {settings.key_env}"
        hint = f"The key came from {source}" if has_key else f"It requires a key: put it into {source}"
        return UserError(f"{head}\n{hint}, or set `options.key_env` in the card to another variable")
    if error.status == 402 or "insufficient_quota" in error.message:
        return UserError(f"{head}\nThe account has no credit left: add some, then repeat the command to continue")
    if error.status == 404 and models:
        listed = ", ".join(models[:20])
        return UserError(f"{head}\nIt has no model {model!r}{did_you_mean(model, models)}. It has: {listed}")
    if error.status == 404 or error.status < 400:  # a redirect
        return UserError(f"{head}\nEither it has no model {model!r}, or the address is wrong: most end in /v1")
    field = next((name for name in _FIELD_HINTS if re.search(rf"\b{name}\b", error.message)), "")
    hint = f"\nIn the card, {_FIELD_HINTS[field]}" if field and error.status in (400, 422) else ""
    return UserError(f"{head}{hint}")
