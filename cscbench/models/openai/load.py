"""Finds out what a server is, makes sure that it answers as the card wants, and proves that LoRA weights are on."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from cscbench.content.yaml_file import did_you_mean
from cscbench.models.backend import LoadContext, LoadedAdapter
from cscbench.models.event_loop import run_in_thread_loop
from cscbench.models.openai import OpenAiOptions, check_address, options, shown_name
from cscbench.models.openai.adapter import OpenAiAdapter, refused_error, unreachable_error
from cscbench.models.openai.endpoint import Endpoint
from cscbench.models.openai.proof import prove_lora
from cscbench.models.openai.refusals import Refused, Unanswered, Unreachable
from cscbench.models.openai.wire import Completion, RequestTemplate, body
from cscbench.values import ChatRole, Frozen, Message, ModelCard, UserError

_OPENAI = "https://api.openai.com/v1"
# What these engines take besides OpenAI's fields. A server started with other defaults (vLLM reads them from the
# model's generation_config.json) would sample otherwise than the card says, and penalties change greedy replies too.
_ENGINE_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "vllm": {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
    "llama.cpp": {
        "top_k": 0,
        "min_p": 0.0,
        "typical_p": 1.0,
        "xtc_probability": 0.0,
        "dry_multiplier": 0.0,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    },
}
_OWNERS = {"vllm": "vllm", "llamacpp": "llama.cpp"}
_HELLO = (Message(ChatRole.USER, "Answer with the word OK."),)


class ListedModel(msgspec.Struct, frozen=True):
    """One of the models that a server lists; engines add fields of their own."""

    id: str
    owned_by: str | None = None
    aliases: tuple[str, ...] = ()
    max_model_len: int | None = None


class ModelList(msgspec.Struct, frozen=True):
    """GET /models."""

    data: tuple[ListedModel, ...] = ()


class VllmVersion(msgspec.Struct, frozen=True):
    """vLLM's GET /version."""

    version: str = ""


class SlotSettings(msgspec.Struct, frozen=True):
    """llama.cpp: the window of one request, in tokens."""

    n_ctx: int | None = None


class LlamaProps(msgspec.Struct, frozen=True):
    """llama.cpp's GET /props."""

    build_info: str = ""
    chat_template: str = ""
    model_ftype: str = ""
    default_generation_settings: SlotSettings = SlotSettings()


class ServerInfo(Frozen, frozen=True):
    """What a server tells of itself: the engine, empty where unknown; facts; the names of its models."""

    engine: str
    facts: Mapping[str, str]
    models: tuple[str, ...]


class ServerProbe(Frozen, frozen=True):
    """What came of asking a server before the first request of a run."""

    server: ServerInfo
    template: RequestTemplate
    served: str
    notes: tuple[str, ...]


def load(context: LoadContext) -> LoadedAdapter:
    """A ready adapter for a card, after one short question to its server.

    Raises:
        UserError: no server, a wrong key, an unknown model, a field that the server does not take, or LoRA weights
            that are not on.
    """
    card, settings = context.card, options(context.card)
    url, key = _address(card, settings), _key(card, settings)
    # Connections belong to an event loop, and this function runs inside that of the run: it asks in one of its own.
    probe = run_in_thread_loop(_find_out(card, settings, Endpoint(url, key, settings)))
    endpoint = Endpoint(url, key, settings)
    adapter = OpenAiAdapter(card, endpoint, probe.template, probe.served, probe.server.models)
    facts = {**probe.server.facts, "model": shown_name(probe.served)}
    return LoadedAdapter(adapter, facts, probe.notes, endpoint.aclose)


def _address(card: ModelCard, settings: OpenAiOptions) -> str:
    if settings.base_url:
        return settings.base_url
    name = settings.base_url_env
    url = os.environ.get(name, "").strip()
    if url:
        check_address(f"the environment variable {name}", url)
        return url
    if name != OpenAiOptions().base_url_env:
        raise UserError(
            f"{card.name}: the environment variable {name} is not set, which its card names for the server's address: "
            f"export {name}=http://HOST:PORT/v1"
        )
    return _OPENAI


def _key(card: ModelCard, settings: OpenAiOptions) -> str:
    """The key, checked: an error of the HTTP library about a bad header would show it."""
    key = os.environ.get(settings.key_env, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UserError(f"{card.name}: what the environment variable {settings.key_env} holds cannot be a key")
    return key


async def _find_out(card: ModelCard, settings: OpenAiOptions, endpoint: Endpoint) -> ServerProbe:
    base = settings.model or card.weights
    asked = settings.lora_model if card.lora else base
    server = ServerInfo("", {}, ())
    template = RequestTemplate(asked, settings)
    try:
        server = await _describe(endpoint, base)
        _check_listed(card, endpoint, server, [asked, base])
        template = msgspec.structs.replace(template, engine_fields=_ENGINE_FIELDS.get(server.engine, {}))
        hello = (await endpoint.post("chat/completions", body(_HELLO, card.sampling, template), 0, Completion)).value
        notes = _notes(server, hello)
        if card.lora:
            notes.append(await prove_lora(card, endpoint, template, base))
    except Unreachable as error:
        raise unreachable_error(card, endpoint, error) from None
    except Refused as error:
        raise refused_error(card, endpoint, template, server.models, error) from None
    except Unanswered as error:
        raise UserError(f"{card.name}: the server at {endpoint.url} gives no reply: {error}") from None
    finally:
        await endpoint.aclose()
    return ServerProbe(server, template, hello.model or asked, tuple(notes))


async def _describe(endpoint: Endpoint, base: str) -> ServerInfo:
    """What the server says of itself. One that lists no models, or not to this key, may answer all the same."""
    try:
        listed = (await endpoint.get(f"{endpoint.url}/models", ModelList)).data
    except Refused as error:
        if error.status == 401:
            raise
        listed = ()
    names = tuple(name for model in listed for name in dict.fromkeys((model.id, *model.aliases)))
    engine = next((_OWNERS[model.owned_by] for model in listed if model.owned_by in _OWNERS), "")
    facts = {"engine": engine or "unknown"}
    root = endpoint.url.removesuffix("/v1")
    if engine == "vllm":
        facts["engine_version"] = (await endpoint.get(f"{root}/version", VllmVersion)).version
        window = next((model.max_model_len for model in listed if model.id == base), None)  # LoRA modules have none
        facts |= {"context_length": str(window)} if window else {}
    elif engine == "llama.cpp":
        facts |= _llama_facts(await endpoint.get(f"{root}/props", LlamaProps))
    return ServerInfo(engine, facts, names)


def _llama_facts(props: LlamaProps) -> dict[str, str]:
    facts = {
        "engine_version": props.build_info,
        "chat_template": hashlib.sha256(props.chat_template.encode()).hexdigest(),
        "quantization": props.model_ftype,
        "context_length": str(props.default_generation_settings.n_ctx or ""),
    }
    return {name: value for name, value in facts.items() if value}


def _check_listed(card: ModelCard, endpoint: Endpoint, server: ServerInfo, names: list[str]) -> None:
    """The engines that we know list all that they serve; llama.cpp would answer to any name with what it has."""
    for name in names:
        if server.engine and name not in server.models:
            listed = ", ".join(server.models)
            raise UserError(
                f"{card.name}: the {server.engine} server at {endpoint.url} has no model {name!r}"
                f"{did_you_mean(name, server.models)}.\nIt has: {listed}. Name one of them in the card, or start it "
                "with that name (vLLM: --served-model-name, --lora-modules; llama.cpp: --alias)"
            )


def _notes(server: ServerInfo, hello: Completion) -> list[str]:
    notes = []
    if not server.engine:
        notes.append(
            "the server does not say what it runs: top-k, penalties and chat template are its own, and so is how it "
            "rounds"
        )
    if hello.system_fingerprint and not server.engine:
        notes.append(f"the server's system fingerprint when the run began: {hello.system_fingerprint}")
    return notes
