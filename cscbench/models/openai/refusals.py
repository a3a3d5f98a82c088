"""What a server says when it does not answer, and what the person can do about it."""

import re
from collections.abc import Sequence

import msgspec

from cscbench.content.yaml_file import did_you_mean
from cscbench.models.openai import OpenAiOptions
from cscbench.values import ModelCard, UserError

_LONGEST_WORDS = 400
# Fields of a request, and what in a card makes a server that does not take them content.
_FIELD_HINTS = {
    "max_tokens": "set `options.max_tokens_field: max_completion_tokens`",
    "max_completion_tokens": "set `options.max_tokens_field: max_tokens`",
    "temperature": "set `sampling.temperature` to what the model takes (reasoning models: 1)",
    "top_p": "set `sampling.top_p` to what the model takes",
    "seed": "set `options.seed: false`",
    "logprobs": "set `options.logprobs: false`",
    "top_logprobs": "set `options.logprobs: false`",
    "stop": "remove `sampling.stop`, or give fewer texts",
}


class Refused(Exception):
    """The server will not answer this request, however often it is asked. `words` are its own, without the key."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"HTTP {status}: {words}")
        self.status, self.words = status, words

    @property
    def for_all(self) -> bool:
        """Whether every other request would be refused alike: the key, the credit, the model's name."""
        return self.status in (401, 402, 404) or "insufficient_quota" in self.words


class Unanswered(Exception):
    """A request that was tried as often as the card allows."""


class Unreachable(Exception):
    """No server answers at the address."""


def server_words(content: bytes, key: str) -> str:
    """The message in a server's error, of whatever shape, in one line of bounded length; never with the key in it."""
    text = content.decode("utf-8", errors="replace")
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = {}
    for _ in range(2):  # {"error": {"message": ...}}, {"error": "..."}, {"message": ...}, {"detail": ...}
        if isinstance(found, dict):
            found = next((found[name] for name in ("error", "message", "detail") if found.get(name)), found)
    codes = re.findall(r'"code"\s*:\s*"(\w+)"', text)
    words = " ".join([found if isinstance(found, str) else text, *(f"({code})" for code in codes[:1])])
    words = " ".join(words.split())
    return (words.replace(key, "***") if key else words)[:_LONGEST_WORDS] or "(no words)"


def user_error(
    card: ModelCard, settings: OpenAiOptions, url: str, has_key: bool, asked: str, models: Sequence[str], error: Refused
) -> UserError:
    """A refusal as a message for the person: the server's words, and the fix. `models` are those it lists."""
    head = f"{card.name}: the server at {url} refuses: {error}"
    if error.status == 401:
        source = f"the environment variable {settings.key_env}"
        hint = f"It was given the key in {source}" if has_key else f"It wants a key: put it into {source}"
        return UserError(f"{head}\n{hint}, or name another variable with `options.key_env` in the card")
    if error.status == 402 or "insufficient_quota" in error.words:
        return UserError(
            f"{head}\nThe account has no credit left. With some, the same command goes on where it stopped"
        )
    if error.status == 404 and models:
        listed = ", ".join(models[:20])
        return UserError(f"{head}\nIt has no model {asked!r}{did_you_mean(asked, models)}. It has: {listed}")
    if error.status == 404 or error.status < 400:  # a redirect
        return UserError(f"{head}\nEither it has no model {asked!r}, or the address is not right: most end in /v1")
    field = next((name for name in _FIELD_HINTS if re.search(rf"\b{name}\b", error.words)), "")
    hint = f"\nIn the card, {_FIELD_HINTS[field]}" if field and error.status in (400, 422) else ""
    return UserError(f"{head}{hint}")
