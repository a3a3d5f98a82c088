"""The training itself, in this process: what is trained, what is measured, what is refused."""

import pytest

from cscbench.train.options import Recipe, TrainOptions
from cscbench.values import UserError


@pytest.fixture
def model(tiny_model):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def examples(smol_tokenizer):
    from array import array

    from cscbench.train.sequences import Example

    texts = ["Here is a rather short one.", "Another one, somewhat longer than that.", "The third: neither of both."]
    ids = [smol_tokenizer(text)["input_ids"] for text in texts]
    return [Example(array("i", row), ((2, 4), (len(row) - 1, len(row)))) for row in ids]


def trained_names(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


class TestAddLora:
    def test_the_published_recipe_trains_q_and_v_of_every_layer_and_nothing_else(self, model):
        from cscbench.train.tune import add_lora

        tuned = add_lora(model, Recipe())
        names = trained_names(tuned)
        assert len(names) == 2 * 2 * 2  # two layers, q and v, A and B
        assert all(".q_proj.lora_" in name or ".v_proj.lora_" in name for name in names)
        (config,) = tuned.peft_config.values()
        assert (config.r, config.lora_alpha, config.lora_dropout) == (8, 16, 0.0)

    def test_all_linear_is_every_linear_layer_but_the_head(self, model):
        from cscbench.train.tune import add_lora

        modules = {
            name.split(".lora_")[0].rpartition(".")[2]
            for name in trained_names(add_lora(model, Recipe(targets=("all-linear",))))
        }
        assert modules == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

    def test_the_seed_makes_the_same_weights_again(self, model, tiny_model):
        import torch
        from transformers import AutoModelForCausalLM

        from cscbench.train.tune import add_lora

        def start(model, seed):
            torch.rand(3)  # whatever came before
            tuned = add_lora(model, Recipe(seed=seed))
            return next(p for name, p in tuned.named_parameters() if "lora_A" in name).detach().clone()

        again = AutoModelForCausalLM.from_pretrained(tiny_model)
        other = AutoModelForCausalLM.from_pretrained(tiny_model)
        first = start(model, 1)
        assert torch.equal(first, start(again, 1))
        assert not torch.equal(first, start(other, 2))

    def test_weights_that_are_quantised_without_gradients_are_refused(self, model):
        from transformers import GgufConfig
        from transformers.quantizers.auto import AutoHfQuantizer
        from transformers.utils.quantization_config import QuantizationMethod

        from cscbench.train.tune import add_lora

        # What loading a GGUF file leaves on a model.
        model.hf_quantizer = AutoHfQuantizer.from_config(GgufConfig())
        model.quantization_method = QuantizationMethod.GGUF
        with pytest.raises(
            UserError, match="quantized as GGUF cannot be trained: use --base with a card of the unquantized"
        ):
            add_lora(model, Recipe())

    def test_an_unknown_module_is_refused_with_the_nearest_name(self, model):
        from cscbench.train.tune import add_lora

        with pytest.raises(UserError, match=r"(?s)--target q_prj: .*did you mean 'q_proj'.*It has: .*down_proj"):
            add_lora(model, Recipe(targets=("v_proj", "q_prj")))
        with pytest.raises(UserError, match="--target lm_head"):
            add_lora(model, Recipe(targets=("lm_head",)))


def test_the_loss_is_the_mean_over_answer_tokens_of_all_examples(model, examples):
    import torch

    from cscbench.train.tune import answer_loss

    logs = []
    for example in examples:
        ids = torch.tensor([list(example.ids)])
        with torch.inference_mode():
            likely = model(input_ids=ids).logits[0].log_softmax(-1)
        logs += [-float(likely[n - 1, example.ids[n]]) for start, end in example.answers for n in range(start, end)]
    assert answer_loss(model, examples) == pytest.approx(sum(logs) / len(logs), rel=1e-5)


def test_a_short_last_step_counts_for_its_sequences():
    from cscbench.train.tune import losses

    rows = [{"held_out": 9.0, "epoch": 0.0}]
    rows += [{"loss": 4.0}, {"loss": 4.0}, {"loss": 8.0}, {"held_out": 5.0, "epoch": 1.0}]
    rows += [{"loss": 2.0}, {"loss": 2.0}, {"loss": 2.0}, {"held_out": 3.0, "epoch": 2.0}, {"train_loss": 1.0}]
    epochs = losses(rows, sequences=9, step=4)
    assert [(loss.epoch, loss.train, loss.held_out) for loss in epochs] == [
        (0, None, 9.0),
        (1, pytest.approx((4 * 4 + 4 * 4 + 8 * 1) / 9), 5.0),
        (2, pytest.approx(2.0), 3.0),
    ]


def test_batches_of_any_make_give_one_gradient(tiny_model, examples, tmp_path):
    """Three in a batch, or one at a time three times: padding and accumulation change nothing but rounding."""
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    from cscbench.models.lora import WEIGHTS
    from cscbench.train.training_folder import CHECKPOINTS
    from cscbench.train.tune import add_lora, tune

    results = []
    for name, batch, recompute in (("whole", 3, False), ("single", 1, False), ("recomputed", 3, True)):
        recipe = Recipe(batch_size=batch, accumulate=3 // batch, epochs=1, learning_rate=0.01)
        options = TrainOptions("tiny", "out", recipe=recipe, recompute=recompute)
        (tmp_path / name / CHECKPOINTS).mkdir(parents=True)
        base = AutoModelForCausalLM.from_pretrained(tiny_model)
        losses = tune(add_lora(base, recipe), examples, examples[:1], options, tmp_path / name)
        assert losses[1].held_out < losses[0].held_out
        results.append((losses, load_file(tmp_path / name / CHECKPOINTS / "checkpoint-1" / WEIGHTS)))
    (losses, weights), *others = results
    assert losses[1].train == pytest.approx(others[0][0][1].train, rel=1e-4)
    # One step of Adam only uses the gradient's sign: it differs where a gradient is zero up to rounding.
    for _, other_weights in others:
        assert weights.keys() == other_weights.keys()
        for name, tensor in weights.items():
            close = (tensor - other_weights[name]).abs() < 1e-4
            assert close.float().mean() > 0.98, name


def test_a_rate_that_breaks_the_weights_ends_with_the_fix(model, examples, tmp_path):
    from cscbench.train.training_folder import CHECKPOINTS
    from cscbench.train.tune import add_lora, tune

    recipe = Recipe(targets=("all-linear",), learning_rate=1e35, epochs=3, batch_size=1)
    (tmp_path / CHECKPOINTS).mkdir()
    with pytest.raises(UserError, match="lower --lr"):
        tune(add_lora(model, recipe), examples, examples, TrainOptions("tiny", "out", recipe=recipe), tmp_path)


def test_a_model_that_is_broken_before_training_is_not_blamed_on_the_rate(model, examples, tmp_path):
    import torch

    from cscbench.train.tune import add_lora, tune

    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="before training is nan: its weights are damaged, or overflow in float32"):
        tune(add_lora(model, Recipe()), examples, examples, TrainOptions("tiny", "out"), tmp_path)


def test_one_of_several_gpus_is_refused_and_layers_shared_out_are_not():
    from cscbench.train.tune import check_gpus

    check_gpus(0, {})
    check_gpus(1, {"": "cuda:0"})
    check_gpus(4, {"model.layers.0": 0, "model.layers.1": 1})
    for alone in ({}, {"": "cuda:1"}):
        with pytest.raises(UserError, match="CUDA_VISIBLE_DEVICES=0"):
            check_gpus(2, alone)
