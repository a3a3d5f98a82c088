"""Cards for servers, and helpers that send requests to the openai adapter."""

import asyncio
from collections.abc import Sequence
from typing import Any

from cscbench.models.backend import LoadContext, LoadedAdapter
from cscbench.models.openai import OPENAI
from cscbench.values import ModelCard, Reply, Request, Sampling


def server_card(url: str, lora: str = "", weights: str = "", **options: Any) -> ModelCard:
    """A card for a server at `url`; its model is the fault server's."""
    settings = {"model": "echo", "base_url": url, **options}
    return ModelCard("served", "openai", weights, lora=lora, sampling=Sampling(max_tokens=4), options=settings)


def loaded(card: ModelCard) -> LoadedAdapter:
    """The adapter for a card, through the same two calls that a run makes."""
    OPENAI.fingerprint(card)
    return OPENAI.load(LoadContext(card, {}))


def ask(adapter: LoadedAdapter, requests: Sequence[Request]) -> list[Reply]:
    """Send all requests at once, close the adapter, and return the replies in order."""

    async def main() -> list[Reply]:
        try:
            return await asyncio.gather(*(adapter.adapter.generate(request) for request in requests))
        finally:
            if adapter.aclose is not None:
                await adapter.aclose()

    try:
        return asyncio.run(main())
    finally:
        adapter.adapter.close()


def leave(adapter: LoadedAdapter) -> LoadedAdapter:
    """Close an adapter that was only loaded to be inspected."""
    ask(adapter, [])
    return adapter
