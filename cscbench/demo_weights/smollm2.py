"""Convert SmolLM2-135M-Instruct from a 4-bit GGUF file to a float32 Hugging Face folder with transformers' reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

END_OF_TURN = "<|im_end|>"

# Digits next to spaces and line breaks: their tokens change if the pre-tokenizer is lost on reload.
_PROBE = "Order  1024:\n\n37 items, 5 refunds."


def convert(source: Path, folder: Path) -> None:
    """Write model, tokenizer, chat template and generation config into `folder`, then reload and compare.

    Takes about 20 s and 1.7 GB of memory.

    Raises:
        ImportError: torch, transformers or gguf is missing.
        RuntimeError: the written folder does not behave like the model in memory.
    """
    with _quiet():
        tokenizer = _read_tokenizer(source)
        model = _read_model(source)
        tokenizer.model_max_length = model.config.max_position_embeddings
        model.generation_config = _generation_config(tokenizer)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        _check_reload(folder, model, tokenizer)


def _read_tokenizer(source: Path) -> PreTrainedTokenizerFast:
    """Read the tokenizer, with the pre-tokenizer that the GGUF file names ("smollm").

    transformers 5 ignores that name and splits like GPT-2: spaces or line breaks before a digit then become different
    tokens than in training ("a  5" as "a", " ", " ", "5" instead of "a", "  ", "5"). llama.cpp's "smollm" splits off
    each digit, then applies GPT-2's pattern.
    """
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, local_files_only=True)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return tokenizer


def _read_model(source: Path) -> PreTrainedModel:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    return AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        # Without this, transformers marks the model as quantized and refuses to save it.
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
        local_files_only=True,
    )


def _generation_config(tokenizer: PreTrainedTokenizerFast) -> GenerationConfig:
    """Return the defaults that the model's authors publish: stop at the end of the turn, pad with the same token."""
    from transformers import GenerationConfig

    end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
    return GenerationConfig(bos_token_id=tokenizer.bos_token_id, eos_token_id=end, pad_token_id=end)


def _check_reload(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Load the folder as a user would, and check for the same tokens and logits (1, tokens, vocabulary) in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    reloaded_tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    reloaded = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    tokens = tokenizer(_PROBE, return_tensors="pt")
    with torch.inference_mode():
        expected, logits = model(**tokens).logits, reloaded(**tokens).logits
    checks = {
        "tokens differ": reloaded_tokenizer(_PROBE)["input_ids"] != tokens["input_ids"][0].tolist(),
        "the chat template differs": reloaded_tokenizer.chat_template != tokenizer.chat_template,
        "logits differ": not torch.equal(expected, logits),
        f"dtype {logits.dtype}": logits.dtype != torch.float32,
        "the end of turn is not an eos id": reloaded.generation_config.eos_token_id
        != tokenizer.convert_tokens_to_ids(END_OF_TURN),
    }
    problems = [problem for problem, occurs in checks.items() if occurs]
    if problems:
        raise RuntimeError(f"SmolLM2 reloaded from {folder} differs from the saved model: {', '.join(problems)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Turn off transformers' progress bars and advice inside the block, and restore its settings afterwards."""
    from transformers import modeling_gguf_pytorch_utils as gguf_reader
    from transformers.utils import logging

    verbosity, bars, gguf_bar = logging.get_verbosity(), logging.is_progress_bar_enabled(), gguf_reader.tqdm
    logging.set_verbosity_error()
    if bars:
        logging.disable_progress_bar()
    # transformers' own switch does not affect this bar: the GGUF reader imports tqdm directly.
    gguf_reader.tqdm = partial(gguf_bar, disable=True)
    try:
        yield
    finally:
        gguf_reader.tqdm = gguf_bar
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
