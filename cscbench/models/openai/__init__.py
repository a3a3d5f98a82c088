"""Models behind a server with OpenAI's chat completions API: vLLM's, llama.cpp's, a hosted one.

This module does not import httpx2: recognizing a finished run and showing a dry run do not need it.
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
# Fields that come from the card, the sampling and the messages: `extra_body` must not override them.
_RESERVED_FIELDS = {
    *("model", "messages", "stream", "n", "temperature", "top_p", "seed", "stop", "logprobs", "top_logprobs"),
    *_MAX_TOKENS_FIELDS,
}


class OpenAiOptions(Frozen, frozen=True):
    """`options` of a card with the openai adapter.

    `model` and `lora_model` are names that the server knows; an empty `model` means the card's `weights`.
    `base_url_env` and `key_env` name environment variables, so that a card never contains a key. `concurrency` is the
    maximum number of requests in flight; 0 for `requests_per_minute` or `tokens_per_minute` means no limit; `timeout`
    is in seconds, for one complete answer. `extra_body` is added unchanged to the body of each request.
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
    """Return the card's options, checked. No message repeats a value that could be a key.

    Raises:
        UserError: an option is unknown, or has a wrong type or value.
    """
    settings = read_options(card, OpenAiOptions)
    prefix = f"{card.name}: `options."
    if not (settings.model or card.weights):
        raise UserError(f"{prefix}model` is missing: set it to the model's name on the server")
    for field, name in (("key_env", settings.key_env), ("base_url_env", settings.base_url_env)):
        if not _ENV_NAME.fullmatch(name):
            raise UserError(
                f"{prefix}{field}` must be the name of an environment variable (letters, digits and _), not its value: "
                f"use `export MY_NAME=...` in the shell and `{field}: MY_NAME` in the card"
            )
    if settings.base_url:
        check_address(f"{prefix}base_url`", settings.base_url)
    for field, least in (("concurrency", 1), ("requests_per_minute", 0), ("tokens_per_minute", 0), ("retries", 0)):
        if getattr(settings, field) < least:
            raise UserError(f"{prefix}{field}` must be at least {least}")
    if not 0 < settings.timeout < float("inf"):
        raise UserError(f"{prefix}timeout` must be a number of seconds above 0")
    if settings.max_tokens_field not in _MAX_TOKENS_FIELDS:
        raise UserError(f"{prefix}max_tokens_field` must be {' or '.join(_MAX_TOKENS_FIELDS)}")
    if reserved := sorted(_RESERVED_FIELDS & set(settings.extra_body)):
        raise UserError(f"{prefix}extra_body` must not set {', '.join(reserved)}: use the card's other fields")
    return settings


def check_address(source: str, url: str) -> None:
    """Make sure that `url` is the address of a server and contains no password or key.

    Raises:
        UserError: it is no such address, or contains one; the message starts with its `source`.
    """
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UserError(
            f"{source} must contain only an address: put the key into the environment variable that `key_env` names"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{source} must be an address such as http://localhost:8000/v1")


def shown_name(name: str) -> str:
    """A model's name for publication: the last part of a path, which is the default name for local weights."""
    return Path(name).name if name.startswith(("/", "~", "./", "../")) else name


def _fingerprint(card: ModelCard) -> Mapping[str, str]:
    settings = options(card)
    fingerprint = {"model": shown_name(settings.model or card.weights)}
    if settings.model and card.weights:
        fingerprint["weights"] = shown_name(card.weights) + (f"@{card.revision}" if card.revision else "")
    if not card.lora:
        return fingerprint
    if not settings.lora_model:
        raise UserError(
            f"{card.name}: --lora cannot send LoRA weights to a server: start the server with them "
            "(vLLM: --enable-lora --lora-modules NAME=PATH), and set `options.lora_model: NAME` in the card"
        )
    return fingerprint | {"lora": lora_sha256(card)}


def _load(context: LoadContext) -> LoadedAdapter:
    require_extra("openai", ["httpx2"], f"{context.card.name}: asking a server")
    from cscbench.models.openai.load import load

    return load(context)


OPENAI = Backend(
    load=_load,
    fingerprint=_fingerprint,
    concurrency=lambda card: options(card).concurrency,
    # The fingerprint has the model names; the rest is the server's address and speed.
    machine_options=(
        *("model", "lora_model", "base_url", "base_url_env", "key_env"),
        *("concurrency", "requests_per_minute", "tokens_per_minute", "timeout", "retries"),
    ),
)
