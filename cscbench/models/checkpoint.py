"""Shared by the backends that load a checkpoint: its fingerprint, permission to run its code, and its end ids."""

from collections.abc import Mapping
from typing import Any

from cscbench.models.lora import lora_sha256
from cscbench.models.weights import identify
from cscbench.values import ModelCard, UserError


def checkpoint_fingerprint(card: ModelCard) -> Mapping[str, str]:
    """Return the hashes of a card's weights and LoRA weights.

    Raises:
        UserError: the weights are missing.
    """
    weights = identify(card.name, card.weights, card.revision)
    return {"weights": weights} | ({"lora": lora_sha256(card)} if card.lora else {})


def check_trust(name: str, asks: bool, allowed: bool) -> None:
    """Make sure that the command line allows the model's own code to run if the card asks for it.

    Raises:
        UserError: the card asks for it, and the command line does not allow it.
    """
    if asks and not allowed:
        raise UserError(f"{name}: its card runs code from the model's folder: add --trust-remote-code if you trust it")


def end_ids(generation_config: Any) -> list[int]:
    """The end ids in a checkpoint's generation settings; Llama 3.1 has three, of which its tokenizer knows one."""
    ends = generation_config.eos_token_id
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
