"""Hugging Face models on this machine through transformers: Hub ids, folders, GGUF files, LoRA through peft.

This module does not import torch: recognizing a finished run and showing a dry run do not need it.
"""

from collections.abc import Mapping

from cscbench.content.cards import read_options
from cscbench.content.extras import require_extra
from cscbench.models.backend import Backend, LoadContext, LoadedAdapter
from cscbench.models.checkpoint import checkpoint_fingerprint
from cscbench.values import Frozen, ModelCard, UserError


class HfOptions(Frozen, frozen=True):
    """`options` of a card with the hf adapter.

    `dtype` and `device` `auto` choose bfloat16 on an accelerator and float32 on a CPU; several GPUs share the layers.
    `batch_size` 0 chooses a size from free memory and the dialogues' lengths; `reuse` caches the states that a
    dialogue's earlier turns computed. `context_length` overrides the model's own window, in tokens.
    """

    dtype: str = "auto"
    device: str = "auto"
    batch_size: int = 0
    reuse: bool = True
    context_length: int = 0
    trust_remote_code: bool = False


def options(card: ModelCard) -> HfOptions:
    """Return the card's options, checked.

    Raises:
        UserError: an option is unknown, or has a wrong type or value.
    """
    settings = read_options(card, HfOptions)
    if settings.dtype not in (known := ("auto", "float32", "bfloat16", "float16")):
        raise UserError(f"{card.name}: `options.dtype` {settings.dtype!r} is not one of {', '.join(known)}")
    if settings.batch_size < 0:
        raise UserError(f"{card.name}: `options.batch_size` must be at least 1, or 0 to choose it from free memory")
    if settings.context_length < 0:
        raise UserError(f"{card.name}: `options.context_length` must be a number of tokens, or 0 for the model's own")
    return settings


# The largest batch that is chosen automatically; dialogues beyond the batch wait.
_MAX_IN_FLIGHT = 64


def _fingerprint(card: ModelCard) -> Mapping[str, str]:
    options(card)
    return checkpoint_fingerprint(card)


def _load(context: LoadContext) -> LoadedAdapter:
    require_extra(
        "hf", ["torch", "transformers", "peft", "accelerate"], f"{context.card.name}: running a Hugging Face model"
    )
    from cscbench.models.hf.load import load

    return load(context)


HF = Backend(
    load=_load,
    fingerprint=_fingerprint,
    packages=("torch", "transformers", "tokenizers", "peft"),
    concurrency=lambda card: options(card).batch_size or _MAX_IN_FLIGHT,
    ranks_choices=True,
    # A batch computes what its rows share only once, and is full however few dialogues there are.
    batches_turns=True,
    runs_here=True,
)
