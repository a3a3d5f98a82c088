"""Grouped-query SDPA from torch, for CPUs.

transformers copies keys and values for each query head whenever there is a mask; on a CPU those copies take half of a
decoding step. On accelerators torch's masked grouped kernel is the slower one, so transformers' own stays.
"""

from typing import Any

from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME = "cscbench_sdpa_grouped"


def _grouped(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **options: Any
) -> tuple[Any, None]:
    """Compute transformers' `sdpa`: queries of shape [rows, heads, tokens, size], keys and values with fewer heads."""
    if attention_mask is None or options.get("position_bias") is not None:
        output: tuple[Any, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
        return output
    attended = scaled_dot_product_attention(query, key, value, attention_mask, scale=scaling, enable_gqa=True)
    return attended.transpose(1, 2).contiguous(), None


def group_heads(model: Any) -> None:
    """On a CPU, use grouped-query SDPA instead of transformers' `sdpa`."""
    if model.device.type == "cpu" and model.config.get_text_config()._attn_implementation == "sdpa":
        AttentionInterface.register(_NAME, _grouped)
        AttentionMaskInterface.register(_NAME, sdpa_mask)
        model.set_attn_implementation(_NAME)
