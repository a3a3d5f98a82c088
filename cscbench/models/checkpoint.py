"""What every adapter that loads a checkpoint itself asks of it: leave to run its code, and where its replies end."""

from typing import Any

from cscbench.values import UserError


def check_trust(name: str, asks: bool, allowed: bool) -> None:
    """A card can ask for the model's own code to run; only the command line allows it.

    Raises:
        UserError: it asks, and is not allowed.
    """
    if asks and not allowed:
        raise UserError(f"{name}: its card asks to run the model's own code: add --trust-remote-code if you trust it")


def end_ids(generation_config: Any) -> list[int]:
    """End ids that a checkpoint's generation settings name; Llama 3.1 has three, its tokenizer knows one."""
    ends = generation_config.eos_token_id
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
