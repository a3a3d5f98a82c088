"""Adapters: what answers requests. One method, `generate`; a third party's is under 15 lines.

An adapter that batches collects what is pending; one that has an engine or a server just awaits it.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cscbench.content import plugins
from cscbench.content.prompts import NamedPrompt
from cscbench.values.asking import ModelCard, Reply, Request
from cscbench.values.dialogue import Dialogue, Language
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen


class Adapter(Protocol):
    """A model backend."""

    async def generate(self, request: Request) -> Reply:
        """The model's answer; a failure is a `Reply` with its `error`, or an exception (the engine makes it one)."""
        ...

    def close(self) -> None:
        """Free what the adapter holds."""
        ...


class Setting(Frozen, frozen=True):
    """What an adapter may know: its card, the run's prompts, and the dialogues (baselines look answers up in them).

    `before` are the facts that the adapter gave when this run began, empty at its first start.
    """

    card: ModelCard
    prompts: Mapping[Language, NamedPrompt]
    test: tuple[Dialogue, ...] = ()
    train: tuple[Dialogue, ...] = ()
    trust_remote_code: bool = False
    before: Mapping[str, str] = {}


class LoadedAdapter(Frozen, frozen=True):
    """An adapter ready to answer.

    `facts` (device, dtype, template) must be the same for all replies of a run; `notes` are for the reader of the
    results. `leave`, where there is one, is awaited in the event loop before the adapter is closed: connections live
    and end there. `devices` are those that the model is on, in torch's words (`cuda:1`, `cpu`); empty where that is not
    known, as of a server.
    """

    adapter: Adapter
    facts: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    leave: Callable[[], Awaitable[None]] | None = None
    devices: tuple[str, ...] = ()


class AdapterKind(Frozen, frozen=True):
    """A way to run models.

    `fingerprint` hashes a card's weights without loading them, and raises UserError for a card that cannot run;
    `packages` are the distributions whose versions change an answer; `concurrency` is how many dialogues to keep in
    flight; `ranks` says that requests with choices are answered by likelihood. `local_options` are those of a card's
    `options` that are this machine's own and change no reply: they identify no run, and are not published with it.
    `writes` is false for those that look replies up in the dialogues: they answer nothing else.
    `turns_at_once` says that in gold context a dialogue's turns are best asked all together, not one after the other.
    """

    load: Callable[[Setting], LoadedAdapter]
    fingerprint: Callable[[ModelCard], Mapping[str, str]] = lambda _card: {}
    packages: tuple[str, ...] = ()
    concurrency: Callable[[ModelCard], int] = lambda _card: 16
    ranks: bool = False
    writes: bool = True
    turns_at_once: bool = False
    local_options: tuple[str, ...] = ()


_BUILT_IN = {
    "gold": "cscbench.models.baselines:GOLD",
    "majority": "cscbench.models.baselines:MAJORITY",
    "retrieval": "cscbench.models.baselines:RETRIEVAL",
    "hf": "cscbench.models.hf:HF",
    "vllm": "cscbench.models.vllm:VLLM",
    "openai": "cscbench.models.openai:OPENAI",
}


def find_adapter(name: str) -> AdapterKind:
    """The kind of this name: built in, or a package's entry point `cscbench.adapters`.

    Raises:
        UserError: there is none (with the nearest names), or the entry point names something else.
    """
    kind = plugins.find("adapter", name, _BUILT_IN)
    if not isinstance(kind, AdapterKind):
        raise UserError(f"adapter {name!r}: its entry point names a {type(kind).__name__}, not an AdapterKind")
    return kind


def public_fields(card: ModelCard, kind: AdapterKind) -> dict[str, Any]:
    """A card's fields without what is this machine's own: a path keeps its last part, local options are left out."""
    shown = msgspec.structs.asdict(card)
    shown["options"] = {name: card.options[name] for name in card.options if name not in kind.local_options}
    for field in ("weights", "lora"):
        if shown[field].startswith(("/", "~")):
            shown[field] = Path(shown[field]).name
    return shown
