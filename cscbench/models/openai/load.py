"""Identify a server, check that it answers as the card requires, and verify that LoRA weights are applied."""

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
# Fields that these engines accept besides OpenAI's. Without them a server's defaults (vLLM reads them from the model's
# generation_config.json) would override the card's sampling, and penalties affect greedy replies too.
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
    """A model that a server lists; engines add their own fields."""

    id: str
    owned_by: str | None = None
    aliases: tuple[str, ...] = ()
    max_model_len: int | None = None


class ModelList(msgspec.Struct, frozen=True):
    """The response to GET /models."""

    data: tuple[ListedModel, ...] = ()


class VllmVersion(msgspec.Struct, frozen=True):
    """vLLM's response to GET /version."""

    version: str = ""


class SlotSettings(msgspec.Struct, frozen=True):
    """llama.cpp's context window for one request, in tokens."""

    n_ctx: int | None = None


class LlamaProps(msgspec.Struct, frozen=True):
    """llama.cpp's response to GET /props."""

    build_info: str = ""
    chat_template: str = ""
    model_ftype: str = ""
    default_generation_settings: SlotSettings = SlotSettings()


class ServerInfo(Frozen, frozen=True):
    """What a server reports: its engine (empty if unknown), facts, and the names of its models."""

    engine: str
    facts: Mapping[str, str]
    models: tuple[str, ...]


class ServerProbe(Frozen, frozen=True):
    """The result of probing a server before the first request of a run."""

    server: ServerInfo
    template: RequestTemplate
    served: str
    notes: tuple[str, ...]


def load(context: LoadContext) -> LoadedAdapter:
    """Load the adapter for a card, after one short request to its server.

    Raises:
        UserError: there is no server, the key is wrong, the model is unknown, the server rejects a field, or the LoRA
            weights are not applied.
    """
    card, settings = context.card, options(context.card)
    url, key = _address(card, settings), _key(card, settings)
    # Connections belong to an event loop, and this function runs inside the run's: it probes in a loop of its own.
    probe = run_in_thread_loop(_probe_server(card, settings, Endpoint(url, key, settings)))
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
            f"{card.name}: the environment variable {name} is not set; the card's `options.base_url_env` names it for "
            f"the server's address: export {name}=http://HOST:PORT/v1"
        )
    return _OPENAI


def _key(card: ModelCard, settings: OpenAiOptions) -> str:
    """Return the key, checked: the HTTP library's error about an invalid header would show it."""
    key = os.environ.get(settings.key_env, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UserError(
            f"{card.name}: the environment variable {settings.key_env} does not contain a valid key: set it again"
        )
    return key


async def _probe_server(card: ModelCard, settings: OpenAiOptions, endpoint: Endpoint) -> ServerProbe:
    base = settings.model or card.weights
    model = settings.lora_model if card.lora else base
    server = ServerInfo("", {}, ())
    template = RequestTemplate(model, settings)
    try:
        server = await _describe(endpoint, base)
        _check_listed(card, endpoint, server, [model, base])
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
        raise UserError(f"{card.name}: the server at {endpoint.url} does not answer: {error}") from None
    finally:
        await endpoint.aclose()
    return ServerProbe(server, template, hello.model or model, tuple(notes))


async def _describe(endpoint: Endpoint, base: str) -> ServerInfo:
    """Return what the server reports. A server that lists no models, or not to this key, may still answer."""
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
    """Check names against the list of a known engine: llama.cpp would answer any name with the model that it has."""
    for name in names:
        if server.engine and name not in server.models:
            listed = ", ".join(server.models)
            raise UserError(
                f"{card.name}: the {server.engine} server at {endpoint.url} has no model {name!r}"
                f"{did_you_mean(name, server.models)}.\nIt has: {listed}. Use one of these names in the card, or start "
                "the server with that name (vLLM: --served-model-name, --lora-modules; llama.cpp: --alias)"
            )


def _notes(server: ServerInfo, hello: Completion) -> list[str]:
    notes = []
    if not server.engine:
        notes.append(
            "the server does not report its engine: top-k, penalties, chat template and numerical precision are the "
            "server's own"
        )
    if hello.system_fingerprint and not server.engine:
        notes.append(f"the server's system fingerprint when the run started: {hello.system_fingerprint}")
    return notes
