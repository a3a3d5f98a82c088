"""Models behind a server that speaks OpenAI's chat completions: vLLM's, llama.cpp's, a hosted one.

Nothing here imports httpx2: a finished run is recognised, and a dry run shown, without it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cscbench.content.cards import read_options
from cscbench.content.extras import require_extra
from cscbench.models.backend import Backend, LoadContext, LoadedAdapter
from cscbench.models.lora import lora_sha256
from cscbench.values import Frozen, ModelCard, UserError

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")
# What a request has from its card, sampling and messages: `extra_body` may not say otherwise.
_OWN_FIELDS = {
    *("model", "messages", "stream", "n", "temperature", "top_p", "seed", "stop", "logprobs", "top_logprobs"),
    *_MAX_TOKENS_FIELDS,
}


class OpenAiOptions(Frozen, frozen=True):
    """`options` of a card with the openai adapter.

    `model` and `lora_model` are names that the server knows; an empty `model` takes the card's `weights`.
    `base_url_env` and `key_env` name environment variables: a key itself never stands in a card. `concurrency` is the
    most requests in flight; `requests_per_minute` and `tokens_per_minute` 0 set no limit; `timeout` is in seconds, for
    one whole answer. `extra_body` is added to each request's body as it is.
    """

    model: str = ""
    lora_model: str = ""
    base_url: str = ""
    base_url_env: str = "OPENAI_BASE_URL"
    key_env: str = "OPENAI_API_KEY"
    concurrency: int = 16
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    timeout: float = 120.0
    retries: int = 8
    seed: bool = True
    logprobs: bool = False
    max_tokens_field: str = "max_tokens"
    extra_body: Mapping[str, Any] = {}


def options(card: ModelCard) -> OpenAiOptions:
    """The card's options, checked. No message repeats a value that could be a key.

    Raises:
        UserError: one is unknown, or of the wrong type, size or shape.
    """
    found = read_options(card, OpenAiOptions)
    where = f"{card.name}: `options."
    if not (found.model or card.weights):
        raise UserError(f"{where}model` is missing: the name that the server has for the model")
    for field, name in (("key_env", found.key_env), ("base_url_env", found.base_url_env)):
        if not _ENV_NAME.fullmatch(name):
            raise UserError(
                f"{where}{field}` takes the name of an environment variable (letters, digits and _), not its content: "
                f"`export MY_NAME=...` in the shell, and `{field}: MY_NAME` in the card"
            )
    if found.base_url:
        check_address(f"{where}base_url`", found.base_url)
    for field, least in (("concurrency", 1), ("requests_per_minute", 0), ("tokens_per_minute", 0), ("retries", 0)):
        if getattr(found, field) < least:
            raise UserError(f"{where}{field}` must be at least {least}")
    if not 0 < found.timeout < float("inf"):
        raise UserError(f"{where}timeout` must be a number of seconds above 0")
    if found.max_tokens_field not in _MAX_TOKENS_FIELDS:
        raise UserError(f"{where}max_tokens_field` must be {' or '.join(_MAX_TOKENS_FIELDS)}")
    if taken := sorted(_OWN_FIELDS & set(found.extra_body)):
        raise UserError(f"{where}extra_body` may not set {', '.join(taken)}: other fields of the card do")
    return found


def check_address(where: str, url: str) -> None:
    """Make sure that this is the address of a server, and holds no password or key.

    Raises:
        UserError: it is none, or it holds one; `where` says whose mistake it is.
    """
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UserError(f"{where} is an address alone: a key belongs in the environment variable that `key_env` names")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{where} must be an address such as http://localhost:8000/v1")


def shown_name(name: str) -> str:
    """A model's name as it may be published: of a path, servers' default name for local weights, the last part."""
    return Path(name).name if name.startswith(("/", "~", "./", "../")) else name


def _fingerprint(card: ModelCard) -> Mapping[str, str]:
    found = options(card)
    marks = {"model": shown_name(found.model or card.weights)}
    if found.model and card.weights:
        marks["weights"] = shown_name(card.weights) + (f"@{card.revision}" if card.revision else "")
    if not card.lora:
        return marks
    if not found.lora_model:
        raise UserError(
            f"{card.name}: a server is not given LoRA weights by --lora, it must have them: start it with them "
            "(vLLM: --enable-lora --lora-modules NAME=PATH), and set `options.lora_model: NAME` in the card"
        )
    return marks | {"lora": lora_sha256(card)}


def _load(context: LoadContext) -> LoadedAdapter:
    require_extra("openai", ["httpx2"], f"{context.card.name}: asking a server")
    from cscbench.models.openai.load import load

    return load(context)


OPENAI = Backend(
    load=_load,
    fingerprint=_fingerprint,
    concurrency=lambda card: options(card).concurrency,
    # The names of models are in the fingerprint; the rest says where and how fast to ask.
    machine_options=(
        *("model", "lora_model", "base_url", "base_url_env", "key_env"),
        *("concurrency", "requests_per_minute", "tokens_per_minute", "timeout", "retries"),
    ),
)
