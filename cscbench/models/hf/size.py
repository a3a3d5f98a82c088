"""How much fits: the batch and what is kept of earlier requests, from free memory and the dialogues' lengths."""

from collections.abc import Mapping, Sequence
from typing import Any

from cscbench.content.prompts import NamedPrompt, system_message
from cscbench.models.chat import Chat
from cscbench.values import Dialogue, Frozen, Language

# More rows than this gain little: a CPU is busy with a few, and replies of a batch wait for its longest.
_MOST_ROWS = {"cpu": 16, "cuda": 64}
# Shares of the free memory: states kept between requests, and the batch with its working memory.
_KEPT, _BATCH = 0.3, 0.4
# A row's states lie in the batch once, and again for a moment while a layer reads them with its heads repeated.
_COPIES = 2
# Around each turn a template writes about so many tokens.
_TURN_TOKENS = 8


class ModelSizes(Frozen, frozen=True):
    """Rows of a batch, and bytes to keep of what was computed."""

    batch_size: int
    kept_bytes: int


def sizes(
    model: Any, chat: Chat, dialogues: Sequence[Dialogue], prompts: Mapping[Language, NamedPrompt], new_tokens: int
) -> ModelSizes:
    """What fits the free memory if every row were the longest dialogue; back-off covers what this misses."""
    free = free_bytes(model.device)
    row = state_bytes(model) * (min(_longest(chat, dialogues, prompts), chat.window) + new_tokens) * _COPIES
    fits = max(1, int(_BATCH * free / row))
    most = min(fits, _MOST_ROWS.get(model.device.type, 8))
    # A power of two, so that a little more or less free memory gives the same batches.
    return ModelSizes(1 << (most.bit_length() - 1), int(_KEPT * free))


def free_bytes(device: Any) -> int:
    """Free memory of a device: of all GPUs where layers are shared out, else of the machine."""
    if device.type == "cuda":
        import torch

        return sum(torch.cuda.mem_get_info(number)[0] for number in range(torch.cuda.device_count()))
    import psutil

    return int(psutil.virtual_memory().available)


def state_bytes(model: Any) -> int:
    """Bytes of keys and values that one token leaves in all layers."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * model.dtype.itemsize)


def _longest(chat: Chat, dialogues: Sequence[Dialogue], prompts: Mapping[Language, NamedPrompt]) -> int:
    """Tokens of the longest dialogue's last prompt, roughly: its system message, its words, the template's marks."""
    lengths = [0]
    for language, prompt in prompts.items():
        own = [dialogue for dialogue in dialogues if dialogue.language is language]
        longest = max(own, key=lambda one: sum(len(turn.text) for turn in one.turns), default=None)
        if longest is not None:
            text = "\n".join([system_message(prompt).content, *(turn.text for turn in longest.turns)])
            lengths.append(len(chat.tokenizer(text)["input_ids"]) + _TURN_TOKENS * len(longest.turns))
    return max(lengths)
