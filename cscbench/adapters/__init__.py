"""Adapters: what answers requests. One method, `generate`; a third party's is under 15 lines.

An adapter that batches collects what is pending; one that has an engine or a server just awaits it.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from cscbench import plugins
from cscbench.errors import UserError
from cscbench.prompts import NamedPrompt
from cscbench.records import Dialogue, Frozen, Language, ModelCard, Reply, Request


class Adapter(Protocol):
    """A model backend."""

    async def generate(self, request: Request) -> Reply:
        """The model's answer; a failure is a `Reply` with its `error`, or an exception (the engine makes it one)."""
        ...

    def close(self) -> None:
        """Free what the adapter holds."""
        ...


class Setting(Frozen, frozen=True):
    """What an adapter may know: its card, the run's prompts, and the dialogues (baselines look answers up in them)."""

    card: ModelCard
    prompts: Mapping[Language, NamedPrompt]
    test: tuple[Dialogue, ...] = ()
    train: tuple[Dialogue, ...] = ()
    trust_remote_code: bool = False


class LoadedAdapter(Frozen, frozen=True):
    """An adapter ready to answer.

    `facts` (device, dtype, template) must be the same for all replies of a run; `notes` are for the reader of the
    results.
    """

    adapter: Adapter
    facts: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()


class AdapterKind(Frozen, frozen=True):
    """A way to run models.

    `fingerprint` hashes a card's weights without loading them, and raises UserError for a card that cannot run;
    `packages` are the distributions whose versions change an answer; `concurrency` is how many dialogues to keep in
    flight; `ranks` says that requests with choices are answered by likelihood.
    """

    load: Callable[[Setting], LoadedAdapter]
    fingerprint: Callable[[ModelCard], Mapping[str, str]] = lambda _card: {}
    packages: tuple[str, ...] = ()
    concurrency: Callable[[ModelCard], int] = lambda _card: 16
    ranks: bool = False


_BUILT_IN = {
    "gold": "cscbench.adapters.baseline:GOLD",
    "majority": "cscbench.adapters.baseline:MAJORITY",
    "retrieval": "cscbench.adapters.baseline:RETRIEVAL",
    "hf": "cscbench.adapters.hf:HF",
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
