"""Loads a card's model, tokenizer and LoRA weights, and proves that the LoRA weights are on."""

import logging
import warnings
from pathlib import Path
from typing import Any

from cscbench.adapters import LoadedAdapter, Setting
from cscbench.adapters.hf import HfOptions, options
from cscbench.adapters.hf.chat import Chat
from cscbench.adapters.hf.generate import HfAdapter
from cscbench.errors import UserError
from cscbench.records import ChatRole, Message, ModelCard
from cscbench.weights.source import fetch

log = logging.getLogger("cscbench")


def load(setting: Setting) -> LoadedAdapter:
    """A ready adapter for a card.

    Raises:
        UserError: weights that are not there or do not load, a LoRA adapter that does not fit or changes nothing, or
            remote code that the command line has not allowed.
    """
    import transformers

    card, settings = setting.card, options(setting.card)
    if settings.trust_remote_code and not setting.trust_remote_code:
        raise UserError(
            f"{card.name}: its card asks to run the model's own code: add --trust-remote-code if you trust it"
        )
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    where = fetch(card.name, card.weights, card.revision)
    log.info("loading %s", where)
    device = _device(settings)
    tokenizer, model = _pretrained(card, settings, where, device)
    chat = Chat(tokenizer, settings.context_length or _window(model))
    notes = list(chat.notes)
    if card.lora:
        model, proof = _with_lora(card, model, chat)
        notes.append(proof)
    model.eval()
    facts = {
        "device": _device_name(model),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": str(getattr(model.config, "_attn_implementation", "")),
        "chat_template": chat.template_sha256,
        "context_length": str(chat.window),
        "batch_size": str(settings.batch_size),
    }
    return LoadedAdapter(HfAdapter(model, chat, settings.batch_size), facts, tuple(notes))


def _device(settings: HfOptions) -> str:
    import torch

    if settings.device != "auto":
        return settings.device
    if torch.cuda.is_available():
        return "cuda" if torch.cuda.device_count() == 1 else "auto"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _device_name(model: Any) -> str:
    import torch

    device = model.device
    return f"{device.type}: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device.type)


def _dtype(settings: HfOptions, device: str) -> Any:
    import torch

    if settings.dtype == "auto":
        return torch.float32 if device == "cpu" else torch.bfloat16
    return getattr(torch, settings.dtype)


def _pretrained(card: ModelCard, settings: HfOptions, where: Path, device: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    common: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    folder = where
    if where.is_file():
        folder, common["gguf_file"] = where.parent, where.name
    else:
        common["use_safetensors"] = True
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", **common)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=_dtype(settings, device), device_map=device, **common
        )
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{card.name}: transformers cannot load {where}: {error}") from error
    return tokenizer, model


def _window(model: Any) -> int:
    config = model.config.get_text_config()
    length = getattr(config, "max_position_embeddings", None)
    if not isinstance(length, int):
        raise UserError("the model's config names no context window: set `options.context_length` in its card")
    return length


def _with_lora(card: ModelCard, model: Any, chat: Chat) -> tuple[Any, str]:
    """The model with its LoRA weights, and the proof that they change its logits.

    Two evaluations of one prompt, with and without the adapter: adapters that were never applied, or that are all
    zeros, give equal logits, and scores of such a run would be the base model's under another name.
    """
    import torch
    from peft import PeftModel

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tuned = PeftModel.from_pretrained(model, card.lora, use_safetensors=True)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise UserError(f"{card.name}: the LoRA weights at {card.lora} do not fit {card.weights}: {error}") from error
    missing = [str(w.message) for w in caught if "missing adapter keys" in str(w.message)]
    if missing:
        raise UserError(f"{card.name}: the LoRA weights at {card.lora} are incomplete: {missing[0]}")
    tuned.eval()
    ids = torch.tensor(
        [chat.encode([Message(ChatRole.USER, "Hello, I need help. 您好。")], 1).ids], device=model.device
    )
    with torch.inference_mode():
        on = tuned(input_ids=ids).logits
        with tuned.disable_adapter():
            off = tuned(input_ids=ids).logits
    change = float((on - off).abs().max())
    if change == 0.0:
        raise UserError(
            f"{card.name}: the LoRA weights at {card.lora} change nothing: the logits equal the base model's. "
            "They are untrained (all zeros) or were made for other modules; the run would score the base model"
        )
    return tuned, f"LoRA is on: with it the logits of a probe differ from the base model's by up to {change:.3g}"
