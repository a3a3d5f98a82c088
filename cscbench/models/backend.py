"""The interface of a model backend. An adapter has one method, `generate`; a third party's needs under 15 lines.

An adapter that batches collects pending requests; one backed by an engine or a server awaits each of them.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cscbench.content import plugins
from cscbench.content.prompts import NamedPrompt
from cscbench.values import Dialogue, Frozen, Language, ModelCard, Reply, Request, UserError


class Adapter(Protocol):
    """A loaded model that answers requests."""

    async def generate(self, request: Request) -> Reply:
        """Answer a request; a failure is a `Reply` with an `error`, or an exception (the engine turns it into one)."""
        ...

    def close(self) -> None:
        """Release the adapter's resources."""
        ...


class LoadContext(Frozen, frozen=True):
    """What a backend loads from: the card, the run's prompts, and the dialogues (where baselines look up answers).

    `recorded_facts` are the facts that the adapter reported when this run first started; empty on the first start.
    """

    card: ModelCard
    prompts: Mapping[Language, NamedPrompt]
    test: tuple[Dialogue, ...] = ()
    train: tuple[Dialogue, ...] = ()
    trust_remote_code: bool = False
    recorded_facts: Mapping[str, str] = {}


class LoadedAdapter(Frozen, frozen=True):
    """An adapter ready to answer.

    `engine_facts` (device, dtype, template) must be the same for all replies of a run; `notes` are for readers of the
    results. The desk awaits `aclose` in the event loop before it closes the adapter, because connections belong to
    that loop. `devices` lists the model's devices by their torch names (`cuda:1`, `cpu`); it is empty if unknown, as
    for a server.
    """

    adapter: Adapter
    engine_facts: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    aclose: Callable[[], Awaitable[None]] | None = None
    devices: tuple[str, ...] = ()


class Backend(Frozen, frozen=True):
    """A way to run models.

    `fingerprint` hashes a card's weights without loading them, and raises UserError for a card that cannot run;
    `packages` are the distributions whose versions affect replies; `concurrency` is the number of dialogues to keep in
    flight; `ranks_choices` means that requests with choices are answered by likelihood. `machine_options` names those
    of a card's `options` that describe this machine and affect no reply: they are not part of a run's identity and are
    not published. `generates_text` is false for backends that only look up replies in the dialogues.
    `batches_turns` means that in gold context all turns of a dialogue are best requested at once.
    `runs_here` means that the model runs on this machine: without a price on its card it is free.
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
    """Return the backend with this name: a built-in one, or one from a package's entry point `cscbench.adapters`.

    Raises:
        UserError: the name is unknown (the message lists the nearest names), or the entry point is no Backend.
    """
    backend = plugins.find("adapter", name, _BUILT_IN)
    if not isinstance(backend, Backend):
        raise UserError(f"adapter {name!r}: its entry point is a {type(backend).__name__}, not a Backend")
    return backend


# The fingerprint identifies weights, not their location; and a price affects no reply.
_NOT_IDENTIFYING = ("weights", "lora", "revision", "price")


def portable_options(card: ModelCard, backend: Backend) -> dict[str, Any]:
    """A card's options without `machine_options`, which affect no reply and are not published."""
    return {name: value for name, value in card.options.items() if name not in backend.machine_options}


def identifying_fields(card: ModelCard, backend: Backend) -> dict[str, Any]:
    """The fields of a card that affect replies, as JSON values; the fingerprint covers the weights."""
    fields: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(card, options=portable_options(card, backend)))
    return {name: value for name, value in fields.items() if name not in _NOT_IDENTIFYING}


def published_card(card: ModelCard, backend: Backend) -> dict[str, Any]:
    """The fields of a card that run.json shows: only the last part of local paths, and no local options."""
    fields = msgspec.structs.asdict(card) | {"options": portable_options(card, backend)}
    for name in ("weights", "lora"):
        if fields[name].startswith(("/", "~")):
            fields[name] = Path(fields[name]).name
    return fields


def check_price(card: ModelCard, backend: Backend) -> None:
    """Make sure that a cost limit can be enforced for this model.

    Raises:
        UserError: the card of a server or of a third-party backend has no price.
    """
    if card.price is None and not backend.runs_here:
        raise UserError(
            f"{card.name}: --max-cost needs the model's price: add the cost per million tokens to the card, e.g. "
            "`price: {input: 0.15, output: 0.60, currency: USD}`"
        )
