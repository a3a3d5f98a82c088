"""LoRA weights that vLLM would silently accept, or fail on late, are refused before the engine starts."""

import json
import re
import shutil

import pytest

from cscbench.values import UserError

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def trained(small_llama, train_lora):
    return train_lora(small_llama, steps=2)


@pytest.fixture
def edited(trained, tmp_path):
    """A copy of the trained adapter, its weights (name to tensor) or its config changed in place."""

    def edit(weights=lambda _: None, config=lambda _: None):
        from safetensors.torch import load_file, save_file

        folder = tmp_path / "edited"
        shutil.copytree(trained, folder)
        tensors = load_file(folder / "adapter_model.safetensors")
        weights(tensors)
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        settings = json.loads((folder / "adapter_config.json").read_text())
        config(settings)
        (folder / "adapter_config.json").write_text(json.dumps(settings))
        return folder

    return edit


def wider(tensors):
    for name in [*tensors]:
        if "lora_A" in name:
            tensors[name] = tensors[name][:, :-2].clone()


def deeper(tensors):
    for name in [*tensors]:
        if "layers.1" in name:
            tensors[name.replace("layers.1", "layers.7")] = tensors[name].clone()


def without_a_layer(tensors):
    for name in [*tensors]:
        if "layers.1" in name:
            del tensors[name]


def not_numbers(tensors):
    for name in tensors:
        tensors[name] *= float("nan")


def zeros(tensors):
    for name in tensors:
        if "lora_B" in name:
            tensors[name] *= 0


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (wider, "do not fit .*size mismatch"),
        (deeper, r"made for another model than .*: 4 of them match no module, the first: .*layers\.7"),
        (without_a_layer, r"incomplete: 4 are missing, the first: .*layers\.1"),
        (not_numbers, "damaged: .* not finite"),
        (zeros, "change nothing: they are untrained"),
    ],
)
def test_weights_that_are_not_the_models_are_refused_by_name(small_llama, edited, load_vllm, weights, reason):
    folder = edited(weights)
    with pytest.raises(UserError, match=re.compile(f"the LoRA weights at {folder} .*{reason}", re.DOTALL)):
        load_vllm(small_llama, folder)


def test_an_adapter_for_other_modules_is_refused(small_llama, edited, load_vllm):
    folder = edited(config=lambda c: c.update(target_modules=["c_attn"]))
    with pytest.raises(UserError, match=r"LoRA weights at .* do not fit .*c_attn.* not found in the base model"):
        load_vllm(small_llama, folder)


def test_a_config_without_a_rank_is_refused(small_llama, edited, load_vllm):
    folder = edited(config=lambda c: c.clear())
    with pytest.raises(UserError, match=f"{folder}/adapter_config.json has no LoRA rank `r`"):
        load_vllm(small_llama, folder)


def test_a_truncated_file_is_refused(small_llama, edited, load_vllm):
    file = edited() / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(UserError, match=r"the LoRA weights at .* do not fit"):
        load_vllm(small_llama, file.parent)


@pytest.mark.parametrize(
    ("config", "rank"), [({"r": 1}, 1), ({"r": 9}, 16), ({"r": 4, "rank_pattern": {"q_proj": 33}}, 64)]
)
def test_vllm_is_given_the_next_rank_that_it_takes(small_llama, train_lora, config, rank):
    from cscbench.models.vllm.lora import max_lora_rank
    from cscbench.values import ModelCard

    assert max_lora_rank(ModelCard("small", "vllm"), train_lora(small_llama, **config)) == rank


def test_a_rank_beyond_vllms_is_refused_with_what_to_do(small_llama, train_lora, load_vllm):
    folder = train_lora(small_llama, steps=2, r=600)
    with pytest.raises(UserError, match=r"have rank 600; vLLM supports up to 512: use the hf adapter, or merge"):
        load_vllm(small_llama, folder)


def test_weights_of_a_kind_that_vllm_does_not_know_are_refused(small_llama, train_lora, load_vllm):
    folder = train_lora(small_llama, steps=2, use_dora=True)
    with pytest.raises(UserError, match=r"the LoRA weights at .* are rejected by vLLM: .*DoRA"):
        load_vllm(small_llama, folder)
