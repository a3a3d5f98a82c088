"""Adapters: what answers requests. One method, `generate`; a third party's is under 15 lines.

An adapter that batches collects what is pending; one that has an engine or a server just awaits it.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cscbench.content import plugins
from cscbench.content.prompts import NamedPrompt
from cscbench.values import Dialogue, Frozen, Language, ModelCard, Reply, Request, UserError


class Adapter(Protocol):
    """A model backend."""

    async def generate(self, request: Request) -> Reply:
        """The model's answer; a failure is a `Reply` with its `error`, or an exception (the engine makes it one)."""
        ...

    def close(self) -> None:
        """Free what the adapter holds."""
        ...


class LoadContext(Frozen, frozen=True):
    """What an adapter may know: its card, the run's prompts, and the dialogues (baselines look answers up in them).

    `recorded_facts` are the facts that the adapter gave when this run began, empty at its first start.
    """

    card: ModelCard
    prompts: Mapping[Language, NamedPrompt]
    test: tuple[Dialogue, ...] = ()
    train: tuple[Dialogue, ...] = ()
    trust_remote_code: bool = False
    recorded_facts: Mapping[str, str] = {}


class LoadedAdapter(Frozen, frozen=True):
    """An adapter ready to answer.

    `engine_facts` (device, dtype, template) must be the same for all replies of a run; `notes` are for the reader of
    the results. The desk awaits `aclose` in the event loop before it closes the adapter: connections live and end
    there. `devices` names the devices of the model in torch's words (`cuda:1`, `cpu`); it is empty if unknown, as for
    a server.
    """

    adapter: Adapter
    engine_facts: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    aclose: Callable[[], Awaitable[None]] | None = None
    devices: tuple[str, ...] = ()


class Backend(Frozen, frozen=True):
    """A way to run models.

    `fingerprint` hashes a card's weights without loading them, and raises UserError for a card that cannot run;
    `packages` are the distributions whose versions change an answer; `concurrency` is how many dialogues to keep in
    flight; `ranks_choices` says that requests with choices are answered by likelihood. `machine_options` are those of a
    card's `options` that describe this machine and change no reply: they identify no run and are not published.
    `generates_text` is false for those that look replies up in the dialogues: they answer nothing else.
    `batches_turns` says that in gold context a dialogue's turns are best asked all together, not one after the other.
    `runs_here` says that the model runs on this machine: without a price on its card it costs nothing.
    """

    load: Callable[[LoadContext], LoadedAdapter]
    fingerprint: Callable[[ModelCard], Mapping[str, str]] = lambda _card: {}
    packages: tuple[str, ...] = ()
    concurrency: Callable[[ModelCard], int] = lambda _card: 16
    ranks_choices: bool = False
    generates_text: bool = True
    batches_turns: bool = False
    machine_options: tuple[str, ...] = ()
    runs_here: bool = False


_BUILT_IN = {
    "gold": "cscbench.models.baselines:GOLD",
    "majority": "cscbench.models.baselines:MAJORITY",
    "retrieval": "cscbench.models.baselines:RETRIEVAL",
    "hf": "cscbench.models.hf:HF",
    "vllm": "cscbench.models.vllm:VLLM",
    "openai": "cscbench.models.openai:OPENAI",
}


def find_backend(name: str) -> Backend:
    """The kind of this name: built in, or a package's entry point `cscbench.adapters`.

    Raises:
        UserError: there is none (with the nearest names), or the entry point names something else.
    """
    backend = plugins.find("adapter", name, _BUILT_IN)
    if not isinstance(backend, Backend):
        raise UserError(f"adapter {name!r}: its entry point names a {type(backend).__name__}, not a Backend")
    return backend


# Where weights lie says nothing about what they are, the fingerprint does; and a price changes no reply.
_NOT_IDENTIFYING = ("weights", "lora", "revision", "price")


def portable_options(card: ModelCard, backend: Backend) -> dict[str, Any]:
    """A card's options without those that are local to a machine: they change no reply, and are not published."""
    return {name: value for name, value in card.options.items() if name not in backend.machine_options}


def identifying_fields(card: ModelCard, backend: Backend) -> dict[str, Any]:
    """The fields of a card that change a reply, as JSON values; what the weights are is their fingerprint's to say."""
    fields: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(card, options=portable_options(card, backend)))
    return {name: value for name, value in fields.items() if name not in _NOT_IDENTIFYING}


def published_card(card: ModelCard, backend: Backend) -> dict[str, Any]:
    """The fields of a card that run.json shows: of a path on this machine the last part, and no local options."""
    fields = msgspec.structs.asdict(card) | {"options": portable_options(card, backend)}
    for name in ("weights", "lora"):
        if fields[name].startswith(("/", "~")):
            fields[name] = Path(fields[name]).name
    return fields


def check_price(card: ModelCard, backend: Backend) -> None:
    """Make sure that what a model costs is known, where a limit is to be kept.

    Raises:
        UserError: a server, or a third party's adapter, without a price.
    """
    if card.price is None and not backend.runs_here:
        raise UserError(
            f"{card.name}: --max-cost needs the price of its tokens: add it to the card, for a million each, as "
            "`price: {input: 0.15, output: 0.60, currency: USD}`"
        )
