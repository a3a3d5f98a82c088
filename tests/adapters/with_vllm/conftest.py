"""One real engine for the session: SmolLM2 with LoRA weights trained here, float32, on a CPU."""

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cscbench.models.backend import LoadContext, LoadedAdapter
from cscbench.models.vllm import VLLM
from cscbench.values import ModelCard

# Otherwise vLLM binds itself to one core, which may be in use.
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")


_UNCLOSED = "Unclosed context <zmq"


def pytest_configure(config: pytest.Config) -> None:
    """vLLM leaves one of these to the garbage collector, which runs during some test, or after the last."""
    config.addinivalue_line("filterwarnings", f"ignore:{_UNCLOSED}:ResourceWarning")
    warnings.filterwarnings("ignore", _UNCLOSED, ResourceWarning)


TRAIN = "Supporter: Thank you for waiting, your refund is on its way and will be there on Friday."
OPTIONS = {"dtype": "float32", "kv_cache_gib": 0.5, "enforce_eager": True}


@pytest.fixture(scope="session")
def train_lora(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A peft adapter for a model on disk: trained for a few steps, or as it begins (B all zeros)."""

    def train(model_folder: Path, steps: int = 0, **config: Any) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.manual_seed(3)
        ids = torch.tensor([AutoTokenizer.from_pretrained(model_folder)(TRAIN)["input_ids"]])
        given = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **config}
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(model_folder), LoraConfig(**given))
        optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=5e-3)
        losses = []
        for _ in range(steps):
            loss = model(input_ids=ids, labels=ids).loss
            losses.append(float(loss.detach()))
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
        assert not losses or losses[-1] < losses[0]
        folder = tmp_path_factory.mktemp("lora") / "adapter"
        model.save_pretrained(folder)
        return folder

    return train


@pytest.fixture(scope="session")
def small_llama(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with SmolLM2's tokenizer, in sizes that vLLM's CPU attention supports."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.2,
    )
    folder = tmp_path_factory.mktemp("models") / "small-llama"
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def load_vllm() -> Callable[..., LoadedAdapter]:
    """The vllm adapter for a model on disk, through the same two calls that a run makes."""

    def load(weights: Path | str, lora: Path | str = "", **options: Any) -> LoadedAdapter:
        card = ModelCard("small", "vllm", weights=str(weights), lora=str(lora), options={**OPTIONS, **options})
        VLLM.fingerprint(card)
        return VLLM.load(LoadContext(card, {}))

    return load


@pytest.fixture(scope="session")
def smollm2_lora(smollm2: Path, train_lora: Callable[..., Path]) -> Path:
    return train_lora(smollm2, steps=6)


@pytest.fixture(scope="session")
def loaded(
    smollm2: Path, smollm2_lora: Path, load_vllm: Callable[..., LoadedAdapter], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LoadedAdapter]:
    """SmolLM2 with LoRA weights; its checkpoint has its own sampling settings, which must not apply."""
    import shutil

    folder = tmp_path_factory.mktemp("models") / "smollm2"
    shutil.copytree(smollm2, folder, copy_function=os.link)
    settings = folder / "generation_config.json"
    settings.unlink(missing_ok=True)
    settings.write_text('{"repetition_penalty": 4.0, "top_k": 1, "temperature": 0.1, "eos_token_id": [2]}')
    made = load_vllm(folder, smollm2_lora)
    yield made
    made.adapter.close()
