"""Start vLLM's engine for a card, with the same prompts as the hf adapter, and verify that LoRA weights are applied."""

import logging
from pathlib import Path
from typing import Any

import vllm
from jinja2 import TemplateError
from transformers import AutoConfig, AutoTokenizer, GenerationConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.lora.request import LoRARequest
from vllm.platforms import current_platform

from cscbench.content.shipped import expanded
from cscbench.models.backend import LoadContext, LoadedAdapter
from cscbench.models.chat import Chat
from cscbench.models.checkpoint import check_trust, end_ids
from cscbench.models.vllm import VllmOptions, options
from cscbench.models.vllm.engine import Engine
from cscbench.models.vllm.generate import VllmAdapter
from cscbench.models.vllm.guide import guides
from cscbench.models.vllm.lora import check_fit, max_lora_rank, prove
from cscbench.models.weights import fetch
from cscbench.values import ModelCard, UserError

log = logging.getLogger("cscbench")


def load(context: LoadContext) -> LoadedAdapter:
    """Load the adapter for a card.

    Raises:
        UserError: weights are missing or do not load, a LoRA adapter does not fit or changes nothing, or the command
            line does not allow the model's own code to run.
    """
    card, settings = context.card, options(context.card)
    check_trust(card.name, settings.trust_remote_code, context.trust_remote_code)
    weights = fetch(card.name, card.weights, card.revision)
    if weights.is_file():
        raise UserError(
            f"{card.name}: vLLM does not read the GGUF file {weights}: use the hf adapter, or a folder with the model"
        )
    args = _engine_args(settings, weights)
    if card.lora:
        folder = expanded(card.lora)
        args.enable_lora, args.max_lora_rank = True, max_lora_rank(card, folder)
        check_fit(card, folder, weights, settings.trust_remote_code)
    log.info("starting vLLM with %s", weights)
    engine = _start(card, args, weights)
    try:
        return _build_adapter(context, settings, weights, engine)
    except BaseException:
        engine.close()
        raise


def _start(card: ModelCard, args: AsyncEngineArgs, weights: Path) -> Engine:
    try:
        return Engine(args)
    except Exception as error:  # contradictory settings, too little memory, no such device, ...
        raise UserError(f"{card.name}: vLLM cannot start with {weights}: {type(error).__name__}: {error}") from error


def _engine_args(settings: VllmOptions, weights: Path) -> AsyncEngineArgs:
    return AsyncEngineArgs(
        model=str(weights),
        dtype=_dtype(settings),
        quantization=settings.quantization or None,
        max_model_len=settings.context_length or None,
        tensor_parallel_size=settings.tensor_parallel_size,
        pipeline_parallel_size=settings.pipeline_parallel_size,
        gpu_memory_utilization=settings.gpu_memory_utilization,
        kv_cache_memory_bytes=round(settings.kv_cache_gib * 2**30) or None,
        # vLLM only reuses whole blocks: by default of 128 tokens on a CPU and 16 on a GPU.
        block_size=32 if current_platform.is_cpu() else None,
        enforce_eager=settings.enforce_eager,
        trust_remote_code=settings.trust_remote_code,
        enable_prefix_caching=True,
        generation_config="vllm",  # not the checkpoint's: the card sets the sampling
        disable_log_stats=True,
        use_tqdm_on_load=False,
    )


def _dtype(settings: VllmOptions) -> str:
    """Choose as the hf adapter does; vLLM's own `auto` would load a float32 checkpoint as float16."""
    if settings.dtype != "auto":
        return settings.dtype
    return "float32" if current_platform.is_cpu() else "bfloat16"


def _build_adapter(context: LoadContext, settings: VllmOptions, weights: Path, engine: Engine) -> LoadedAdapter:
    card, config = context.card, engine.llm.vllm_config
    chat = _chat(card, settings, weights, config.model_config.max_model_len)
    notes, lora = list(chat.notes), None
    if card.lora:
        lora = LoRARequest(card.name, 1, str(expanded(card.lora)))
        notes.append(prove(card, engine, chat, lora))
    by_thread = None
    if settings.guided:
        by_language = {language: guides(prompt) for language, prompt in context.prompts.items()}
        by_thread = {dialogue.id: by_language[dialogue.language] for dialogue in context.test}
        notes.append("guided decoding: an answer can only name one of the task's strategies")
    adapter = VllmAdapter(engine, chat, lora, by_thread)
    return LoadedAdapter(adapter, _facts(config, chat), tuple(notes), devices=_devices(config))


def _chat(card: ModelCard, settings: VllmOptions, weights: Path, window: int) -> Chat:
    try:
        tokenizer = AutoTokenizer.from_pretrained(weights, trust_remote_code=settings.trust_remote_code)
        return Chat(tokenizer, window, end_ids(_generation_config(weights, settings.trust_remote_code)))
    except TemplateError as error:
        raise UserError(f"{card.name}: the chat template of {weights} does not render: {error}") from None


def _generation_config(weights: Path, trust: bool) -> GenerationConfig:
    """Return the settings that a loaded model would have."""
    if (weights / "generation_config.json").is_file():
        return GenerationConfig.from_pretrained(weights)
    return GenerationConfig.from_model_config(AutoConfig.from_pretrained(weights, trust_remote_code=trust))


def _facts(config: Any, chat: Chat) -> dict[str, str]:
    device, name = current_platform.device_type, current_platform.get_device_name()
    facts = {
        "engine": f"vllm {vllm.__version__}",
        "device": device if device == name else f"{device}: {name}",
        "dtype": str(config.model_config.dtype).removeprefix("torch."),
        "quantization": str(config.model_config.quantization or ""),
        "chat_template": chat.template_sha256,
        "context_length": str(chat.window),
    }
    return facts | ({"max_lora_rank": str(config.lora_config.max_lora_rank)} if config.lora_config else {})


def _devices(config: Any) -> tuple[str, ...]:
    if current_platform.is_cpu():
        return ("cpu",)
    return tuple(f"{current_platform.device_type}:{n}" for n in range(config.parallel_config.world_size))
