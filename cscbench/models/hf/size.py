"""Choose the batch size and the cache size from free memory and the dialogues' lengths."""

from collections.abc import Mapping, Sequence
from typing import Any

from cscbench.content.prompts import NamedPrompt, system_message
from cscbench.models.chat import Chat
from cscbench.values import Dialogue, Frozen, Language

# More rows gain little: a few keep a CPU busy, and the replies of a batch wait for the longest.
_MAX_ROWS = {"cpu": 16, "cuda": 64}
# Shares of the free memory: states cached between requests, and the batch with its working memory.
_CACHE, _BATCH = 0.3, 0.4
# A row's states exist once in the batch, and a second time while a layer repeats its heads to read them.
_COPIES = 2
# About how many tokens a template adds to each turn.
_TURN_TOKENS = 8


class ModelSizes(Frozen, frozen=True):
    """Rows of a batch, and bytes of states to cache."""

    batch_size: int
    kept_bytes: int


def fit_batch(
    model: Any, chat: Chat, dialogues: Sequence[Dialogue], prompts: Mapping[Language, NamedPrompt], new_tokens: int
) -> ModelSizes:
    """Return what fits in free memory if every row is the longest dialogue; the adapter backs off if it does not."""
    free = free_bytes(model.device)
    row_bytes = state_bytes(model) * (min(_longest(chat, dialogues, prompts), chat.window) + new_tokens) * _COPIES
    fits = max(1, int(_BATCH * free / row_bytes))
    rows = min(fits, _MAX_ROWS.get(model.device.type, 8))
    # A power of two, so that a little more or less free memory does not change the batches.
    return ModelSizes(1 << (rows.bit_length() - 1), int(_CACHE * free))


def free_bytes(device: Any) -> int:
    """Return the free memory of all GPUs (layers may be spread over them), or else of the machine."""
    if device.type == "cuda":
        import torch

        return sum(torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count()))
    import psutil

    return int(psutil.virtual_memory().available)


def state_bytes(model: Any) -> int:
    """Return the bytes of keys and values of one token in all layers."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * model.dtype.itemsize)


def _longest(chat: Chat, dialogues: Sequence[Dialogue], prompts: Mapping[Language, NamedPrompt]) -> int:
    """Estimate the tokens of the longest dialogue's last prompt: system message, text, template markup."""
    lengths = [0]
    for language, prompt in prompts.items():
        candidates = [dialogue for dialogue in dialogues if dialogue.language is language]
        longest = max(candidates, key=lambda dialogue: sum(len(turn.text) for turn in dialogue.turns), default=None)
        if longest is not None:
            text = "\n".join([system_message(prompt).content, *(turn.text for turn in longest.turns)])
            lengths.append(len(chat.tokenizer(text)["input_ids"]) + _TURN_TOKENS * len(longest.turns))
    return max(lengths)
