"""Attention for a CPU: torch's own, over grouped heads as they are.

transformers copies keys and values once for each query head whenever there is a mask; on a CPU those copies take half
of a decoding step. On accelerators torch's masked grouped kernel is the slow one: there theirs stays.
"""

from typing import Any

from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME = "cscbench_sdpa_grouped"


def _grouped(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **more: Any
) -> tuple[Any, None]:
    """As transformers' `sdpa`: queries of shape [rows, heads, tokens, size], keys and values with fewer heads."""
    if attention_mask is None or more.get("position_bias") is not None:
        found: tuple[Any, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **more
        )
        return found
    attended = scaled_dot_product_attention(query, key, value, attention_mask, scale=scaling, enable_gqa=True)
    return attended.transpose(1, 2).contiguous(), None


def group_heads(model: Any) -> None:
    """Let a model on a CPU attend so, where it would use `sdpa`."""
    if model.device.type == "cpu" and model.config.get_text_config()._attn_implementation == "sdpa":
        AttentionInterface.register(_NAME, _grouped)
        AttentionMaskInterface.register(_NAME, sdpa_mask)
        model.set_attn_implementation(_NAME)
