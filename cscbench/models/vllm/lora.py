"""LoRA weights under vLLM: checked against the model before it starts, and proven on once it has.

vLLM passes in silence over weights that have no place in the model, and takes a file that lacks some.
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

# The first of an adapter's two matrices, which is random before any training; the second is all zeros.
_FIRST = re.compile(r"\blora_(embedding_)?A\b")
_PROBE = (Message(ChatRole.USER, "Hello, I need help. 您好。"),)


def max_lora_rank(card: ModelCard, folder: Path) -> int:
    """The smallest of vLLM's LoRA ranks that holds every rank of an adapter.

    Raises:
        UserError: the adapter's config names none, or a larger one than vLLM allows.
    """
    try:
        config = json.loads((folder / CONFIG).read_bytes())
        rank = max(config["r"], *config.get("rank_pattern", {}).values(), 1)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(f"{card.name}: {folder / CONFIG} names no LoRA rank `r`: {error!r}") from None
    allowed = sorted(get_args(MaxLoRARanks))
    fitting = [largest for largest in allowed if largest >= rank]
    if not fitting:
        raise UserError(
            f"{card.name}: the LoRA weights at {folder} have rank {rank}; vLLM takes up to {allowed[-1]}: "
            "use the hf adapter, or merge them into the model"
        )
    return int(fitting[0])


def check_fit(card: ModelCard, folder: Path, model: Path, trust: bool) -> None:
    """Make sure that LoRA weights are whole, are made for this model, and are not all zeros. No weight is loaded twice.

    The model is built without memory (torch's meta device), and peft puts the adapter on it: the tensors that it would
    save are those that must be in the file.

    Raises:
        UserError: they do not fit, are incomplete or damaged, or change nothing.
    """
    try:
        wanted = _wanted_shapes(folder, model, trust)
        found = _found_shapes(folder)
    except Exception as error:  # a damaged file can be anything: SafetensorError, KeyError, ValueError, ...
        problem = f"{type(error).__name__}: {error}"
        raise UserError(f"{card.name}: the LoRA weights at {folder} do not fit {card.weights}: {problem}") from error
    where = f"{card.name}: the LoRA weights at {folder}"
    if strange := sorted(found.keys() - wanted.keys()):
        raise UserError(
            f"{where} were made for another model than {card.weights}: {len(strange)} of them have no place in it, "
            f"the first: {strange[0]}"
        )
    if missing := sorted(wanted.keys() - found.keys()):
        raise UserError(f"{where} are incomplete: {len(missing)} are missing, the first: {missing[0]}")
    if unlike := sorted(name for name, shape in wanted.items() if found[name] != shape):
        name = unlike[0]
        raise UserError(
            f"{where} do not fit {card.weights}: size mismatch: {name} is {found[name]}, the model takes {wanted[name]}"
        )
    _check_values(where, folder)


def _wanted_shapes(folder: Path, model: Path, trust: bool) -> Mapping[str, tuple[int, ...]]:
    lora = PeftConfig.from_pretrained(str(folder))
    lora.init_lora_weights = True  # others begin from the model's weights, which are not there
    config = AutoConfig.from_pretrained(model, trust_remote_code=trust)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about weights that are not there
        tuned = get_peft_model(AutoModelForCausalLM.from_config(config, trust_remote_code=trust), lora)
        state = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _found_shapes(folder: Path) -> Mapping[str, tuple[int, ...]]:
    with safe_open(folder / WEIGHTS, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping


def _check_values(where: str, folder: Path) -> None:
    changes = False
    with safe_open(folder / WEIGHTS, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - no mapping
            tensor = file.get_tensor(name)
            if not tensor.isfinite().all():
                raise UserError(f"{where} are damaged: {name} has values that are not finite")
            changes |= not _FIRST.search(name) and bool(tensor.any())
    if not changes:
        raise UserError(f"{where} change nothing: they are untrained (all zeros); the run would score the base model")


def prove(card: ModelCard, engine: Engine, chat: Chat, lora: Any) -> str:
    """Load LoRA weights into the engine and make sure that they change its answers; the proof as a note.

    The base model is asked once more after the adapter: what differs then is noise, and less than that proves nothing.

    Raises:
        UserError: vLLM refuses them, or they change nothing.
    """
    where = f"{card.name}: the LoRA weights at {card.lora}"
    try:
        engine.add_lora(lora)
    except Exception as error:  # of the engine's process, as a message
        raise UserError(f"{where} are refused by vLLM: {error}") from error
    ids = chat.encode(_PROBE, 1).ids
    off, on, again = (_logprobs(engine, ids, which) for which in (None, lora, None))
    change, noise = _apart(on, off), _apart(again, off)
    if not math.isfinite(change):
        raise UserError(f"{where} are damaged: with them the log-probabilities of a probe are not finite")
    if change <= noise:
        raise UserError(
            f"{where} change nothing: log-probabilities of a probe differ from the base model's by {change:.3g}, "
            f"and the base model's own from one time to the next by {noise:.3g}. They are untrained, or vLLM does not "
            "apply them to this model; the run would score the base model"
        )
    return f"LoRA is on: with it the log-probabilities of a probe differ from the base model's by up to {change:.3g}"


def _logprobs(engine: Engine, ids: Sequence[int], lora: Any) -> list[float]:
    """Log-probabilities of a prompt's tokens; vLLM reads no cache for them."""
    sampling = SamplingParams(
        max_tokens=1,
        temperature=0.0,
        prompt_logprobs=0,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    told = engine.ask_now(ids, sampling, lora).prompt_logprobs
    return [known[token].logprob for token, known in zip(ids[1:], told[1:], strict=True)]


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    differences = [abs(a - b) for a, b in zip(one, other, strict=True)]
    # max() passes over a NaN, or not, by where it stands.
    return math.nan if any(map(math.isnan, differences)) else max(differences)
