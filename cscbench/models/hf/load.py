"""Load a card's model, tokenizer and LoRA weights, and verify that the LoRA weights are applied."""

import logging
import math
import warnings
from pathlib import Path
from typing import Any

from cscbench.content.shipped import expanded
from cscbench.models.backend import LoadContext, LoadedAdapter
from cscbench.models.chat import Chat
from cscbench.models.checkpoint import check_trust, end_ids
from cscbench.models.hf import HfOptions, options
from cscbench.models.hf.attention import group_heads
from cscbench.models.hf.batch import Memory
from cscbench.models.hf.cache import PrefixCache
from cscbench.models.hf.decode import Model
from cscbench.models.hf.generate import HfAdapter
from cscbench.models.hf.size import fit_batch
from cscbench.models.weights import fetch
from cscbench.values import ChatRole, Message, ModelCard, UserError

log = logging.getLogger("cscbench")


def load(context: LoadContext) -> LoadedAdapter:
    """Load the adapter for a card.

    Raises:
        UserError: weights are missing or do not load, a LoRA adapter does not fit or changes nothing, or the command
            line does not allow the model's own code to run.
    """
    card, settings = context.card, options(context.card)
    model, chat = open_base(card, context.trust_remote_code)
    notes = list(chat.notes)
    group_heads(model)
    if card.lora:
        model, proof = _with_lora(card, model, chat)
        notes.append(proof)
    model.eval()
    fitting = fit_batch(model, chat, context.test, context.prompts, card.sampling.max_tokens)
    # A resumed run keeps its batch size.
    batch_size = settings.batch_size or int(context.recorded_facts.get("batch_size", fitting.batch_size))
    reuse = settings.reuse and _caches_all_tokens(model)
    if settings.reuse and not reuse:
        notes.append("no states are reused between requests: this model's layers do not keep the states of every token")
    facts = {
        **engine_facts(model, chat),
        "batch_size": str(batch_size),
        "reuse": "on" if reuse else "off",
    }
    prefixes = PrefixCache(fitting.kept_bytes) if reuse else None
    devices = tuple(sorted({str(weights.device) for weights in model.parameters()}))
    return LoadedAdapter(
        HfAdapter(Model(model, chat, prefixes, Memory()), batch_size), facts, tuple(notes), devices=devices
    )


def open_base(card: ModelCard, trust_remote_code: bool) -> tuple[Any, Chat]:
    """Load a card's model without LoRA weights, and its chat, whose notes list the workarounds.

    Raises:
        UserError: weights are missing or do not load, or the command line does not allow the model's own code to run.
    """
    import transformers
    from jinja2 import TemplateError

    settings = options(card)
    check_trust(card.name, settings.trust_remote_code, trust_remote_code)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    weights = fetch(card.name, card.weights, card.revision)
    log.info("loading %s", weights)
    device = _device(card, settings)
    tokenizer, model = _pretrained(card, settings, weights, device)
    try:
        chat = Chat(tokenizer, settings.context_length or _window(card, model), end_ids(model.generation_config))
    except TemplateError as error:
        raise UserError(f"{card.name}: the chat template of {weights} does not render: {error}") from None
    if weights.is_file():
        chat.notes.append(
            "GGUF: transformers rebuilds the tokenizer without the file's own pre-tokenizer, so digits and spaces may "
            "be split differently than in training; a folder with the same model does not have this problem"
        )
    return model, chat


def engine_facts(model: Any, chat: Chat) -> dict[str, str]:
    """Return the device, dtype, attention, template and window that runs and trainings record."""
    return {
        "device": _device_name(model),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": str(getattr(model.config, "_attn_implementation", "")),
        "chat_template": chat.template_sha256,
        "context_length": str(chat.window),
    }


def _caches_all_tokens(model: Any) -> bool:
    """Return whether every layer caches the states of every token; sliding-window and recurrent layers do not."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def _device(card: ModelCard, settings: HfOptions) -> str:
    import torch

    if settings.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"{card.name}: `options.device` is {settings.device!r}, but torch finds no such device on this machine: "
            "set it to auto or cpu"
        )
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
        return torch.float32 if device.startswith("cpu") else torch.bfloat16
    return getattr(torch, settings.dtype)


def _pretrained(card: ModelCard, settings: HfOptions, weights: Path, device: str) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    common: dict[str, Any] = {"trust_remote_code": settings.trust_remote_code}
    folder, format_options = weights, dict[str, Any](use_safetensors=True)
    if weights.is_file():
        from transformers import GgufConfig

        folder, common["gguf_file"] = weights.parent, weights.name
        # Weights left in quantized blocks would not compute in the dtype that run.json records.
        format_options = {"quantization_config": GgufConfig(dequantize=True)}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", **common)
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=_dtype(settings, device),
            device_map=device,
            output_loading_info=True,
            **format_options,
            **common,
        )
    except Exception as error:  # a damaged file can raise anything: struct.error, SafetensorError, TypeError, ...
        problem = f"{type(error).__name__}: {error}{_safetensors_hint(weights)}"
        raise UserError(f"{card.name}: transformers cannot load {weights}: {problem}") from error
    if loading["missing_keys"]:
        # transformers fills them with random numbers.
        missing = sorted(loading["missing_keys"])
        raise UserError(
            f"{card.name}: the checkpoint {weights} lacks {len(missing)} of its model's weights, the first: "
            f"{missing[0]}. It is incomplete or not a causal language model: use another one"
        )
    return tokenizer, model


def _safetensors_hint(weights: Path) -> str:
    """What to do about a folder with weights that are not safetensors."""
    if weights.is_file() or any(weights.glob("*.safetensors")) or not any(weights.glob("*.bin")):
        return ""
    return "\nIts .bin weights are pickles, which are never loaded: save the model as safetensors"


def _window(card: ModelCard, model: Any) -> int:
    config = model.config.get_text_config()
    length = getattr(config, "max_position_embeddings", None)
    if not isinstance(length, int):
        raise UserError(
            f"{card.name}: the model's config has no context window: set `options.context_length` in the card"
        )
    return length


def load_lora(card: ModelCard, model: Any) -> Any:
    """Return the model with its LoRA weights: all of them are in the file, and all of the file's are in it."""
    from peft import PeftModel, load_peft_weights, set_peft_model_state_dict

    folder = str(expanded(card.lora))
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tuned = PeftModel.from_pretrained(model, folder, use_safetensors=True)
            # peft reports which of the file's weights the model lacks only when they are set a second time.
            unexpected = set_peft_model_state_dict(tuned, load_peft_weights(folder, device="cpu")).unexpected_keys
    except Exception as error:  # a damaged file can raise anything
        problem = f"{type(error).__name__}: {error}"
        raise UserError(f"{card.name}: the LoRA weights at {card.lora} do not fit {card.weights}: {problem}") from error
    missing = [str(w.message) for w in caught if "missing adapter keys" in str(w.message)]
    if missing:
        raise UserError(f"{card.name}: the LoRA weights at {card.lora} are incomplete: {missing[0]}")
    if unexpected:
        raise UserError(
            f"{card.name}: the LoRA weights at {card.lora} were made for another model than {card.weights}: "
            f"{len(unexpected)} of them match no module, the first: {unexpected[0]}"
        )
    return tuned


def _with_lora(card: ModelCard, model: Any, chat: Chat) -> tuple[Any, str]:
    """Return the model with its LoRA weights, and a note that proves that they change its logits.

    The same prompt is evaluated with and without the adapter: an adapter that is not applied, or is all zeros, gives
    equal logits, and such a run would score the base model under another name.
    """
    import torch

    tuned = load_lora(card, model)
    tuned.eval()
    ids = torch.tensor(
        [chat.encode([Message(ChatRole.USER, "Hello, I need help. 您好。")], 1).ids], device=model.device
    )
    with torch.inference_mode():
        on = tuned(input_ids=ids).logits
        with tuned.disable_adapter():
            off = tuned(input_ids=ids).logits
    change = float((on - off).abs().max())
    if not math.isfinite(change):
        raise UserError(
            f"{card.name}: with the LoRA weights at {card.lora} the logits are {change}: the weights are damaged"
        )
    if change == 0.0:
        raise UserError(
            f"{card.name}: the LoRA weights at {card.lora} change nothing: the logits equal the base model's. "
            "They are untrained (all zeros) or were made for other modules; the run would score the base model"
        )
    return tuned, f"LoRA is on: the logits of a probe differ from the base model's by up to {change:.3g}"
