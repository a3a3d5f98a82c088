"""LoRA weights in vLLM: checked against the model before the engine starts, and verified to be applied afterwards.

vLLM silently ignores weights that match no module of the model, and accepts a file that lacks some.
"""

import json
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from peft import PeftConfig, get_peft_model, get_peft_model_state_dict
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM
from vllm.config.lora import MaxLoRARanks
from vllm.sampling_params import RequestOutputKind, SamplingParams

from cscbench.models.chat import Chat
from cscbench.models.lora import CONFIG, WEIGHTS
from cscbench.models.vllm.engine import Engine
from cscbench.values import ChatRole, Message, ModelCard, UserError

# The first of an adapter's two matrices is random before training; the second is all zeros.
_FIRST = re.compile(r"\blora_(embedding_)?A\b")
_PROBE = (Message(ChatRole.USER, "Hello, I need help. 您好。"),)


def max_lora_rank(card: ModelCard, folder: Path) -> int:
    """Return the smallest LoRA rank of vLLM's that covers all ranks of an adapter.

    Raises:
        UserError: the adapter's config has no rank, or a larger one than vLLM supports.
    """
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        rank = max(config["r"], *config.get("rank_pattern", {}).values(), 1)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(f"{card.name}: {folder / CONFIG} has no LoRA rank `r`: {error!r}") from None
    allowed = sorted(get_args(MaxLoRARanks))
    fitting = [largest for largest in allowed if largest >= rank]
    if not fitting:
        raise UserError(
            f"{card.name}: the LoRA weights at {folder} have rank {rank}; vLLM supports up to {allowed[-1]}: "
            "use the hf adapter, or merge them into the model"
        )
    return int(fitting[0])


def check_fit(card: ModelCard, folder: Path, model: Path, trust: bool) -> None:
    """Make sure that LoRA weights are complete, made for this model, and not all zeros, without loading the model.

    The model is built on torch's meta device, without memory, and peft adds the adapter: the file must have the tensors
    that peft would save.

    Raises:
        UserError: the weights do not fit, are incomplete or damaged, or change nothing.
    """
    try:
        expected = _expected_shapes(folder, model, trust)
        present = _shapes_in_file(folder)
    except Exception as error:  # a damaged file can raise anything: SafetensorError, KeyError, ValueError, ...
        problem = f"{type(error).__name__}: {error}"
        raise UserError(f"{card.name}: the LoRA weights at {folder} do not fit {card.weights}: {problem}") from error
    prefix = f"{card.name}: the LoRA weights at {folder}"
    if unexpected := sorted(present.keys() - expected.keys()):
        raise UserError(
            f"{prefix} were made for another model than {card.weights}: {len(unexpected)} of them match no module, "
            f"the first: {unexpected[0]}"
        )
    if missing := sorted(expected.keys() - present.keys()):
        raise UserError(f"{prefix} are incomplete: {len(missing)} are missing, the first: {missing[0]}")
    if mismatched := sorted(name for name, shape in expected.items() if present[name] != shape):
        name = mismatched[0]
        raise UserError(
            f"{prefix} do not fit {card.weights}: size mismatch: {name} is {present[name]}, the model needs "
            f"{expected[name]}"
        )
    _check_values(prefix, folder)


def _expected_shapes(folder: Path, model: Path, trust: bool) -> Mapping[str, tuple[int, ...]]:
    lora = PeftConfig.from_pretrained(str(folder))
    lora.init_lora_weights = True  # other kinds start from the model's weights, which are not loaded
    config = AutoConfig.from_pretrained(model, trust_remote_code=trust)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about missing weights
        tuned = get_peft_model(AutoModelForCausalLM.from_config(config, trust_remote_code=trust), lora)
        state = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _shapes_in_file(folder: Path) -> Mapping[str, tuple[int, ...]]:
    with safe_open(folder / WEIGHTS, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping


def _check_values(prefix: str, folder: Path) -> None:
    changes = False
    with safe_open(folder / WEIGHTS, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - no mapping
            tensor = file.get_tensor(name)
            if not tensor.isfinite().all():
                raise UserError(f"{prefix} are damaged: {name} has values that are not finite")
            changes |= not _FIRST.search(name) and bool(tensor.any())
    if not changes:
        raise UserError(f"{prefix} change nothing: they are untrained (all zeros); the run would score the base model")


def prove(card: ModelCard, engine: Engine, chat: Chat, lora: Any) -> str:
    """Load LoRA weights into the engine, verify that they change its answers, and return a note with the proof.

    The base model is asked again after the adapter to measure noise: only a larger difference is proof.

    Raises:
        UserError: vLLM rejects the weights, or they change nothing.
    """
    prefix = f"{card.name}: the LoRA weights at {card.lora}"
    try:
        engine.add_lora(lora)
    except Exception as error:  # from the engine's process
        raise UserError(f"{prefix} are rejected by vLLM: {error}") from error
    ids = chat.encode(_PROBE, 1).ids
    off, on, again = (_logprobs(engine, ids, weights) for weights in (None, lora, None))
    change, noise = _largest_difference(on, off), _largest_difference(again, off)
    if not math.isfinite(change):
        raise UserError(f"{prefix} are damaged: with them the log-probabilities of a probe are not finite")
    if change <= noise:
        raise UserError(
            f"{prefix} change nothing: log-probabilities of a probe differ from the base model's by {change:.3g}, "
            f"and the base model's own by {noise:.3g} when it is asked again. They are untrained, or vLLM does not "
            "apply them to this model; the run would score the base model"
        )
    return f"LoRA is on: the log-probabilities of a probe differ from the base model's by up to {change:.3g}"


def _logprobs(engine: Engine, ids: Sequence[int], lora: Any) -> list[float]:
    """Return the log-probabilities of a prompt's tokens; vLLM always recomputes the prompt for them."""
    sampling = SamplingParams(
        max_tokens=1,
        temperature=0.0,
        prompt_logprobs=0,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    logprobs = engine.ask_now(ids, sampling, lora).prompt_logprobs
    return [entries[token].logprob for token, entries in zip(ids[1:], logprobs[1:], strict=True)]


def _largest_difference(left: Sequence[float], right: Sequence[float]) -> float:
    differences = [abs(a - b) for a, b in zip(left, right, strict=True)]
    # Whether max() ignores a NaN depends on its position.
    return math.nan if any(map(math.isnan, differences)) else max(differences)
