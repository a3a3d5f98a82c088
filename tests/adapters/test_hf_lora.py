"""LoRA through the real command: it changes replies, names the run, and is refused if it has no effect."""

import json
import re
import shutil

import pytest

from cscbench.content.hashes import folder_sha256
from cscbench.values import UserError

TRAIN = "Supporter: Thank you for waiting, your refund is on its way. 您的退款已经在路上了。"


@pytest.fixture(scope="session")
def make_lora(tiny_model, tmp_path_factory):
    """A peft adapter for `tiny_model` on disk, by name: trained for a few steps, or as it begins (B all zeros)."""

    def make(steps=0, **config):
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.manual_seed(3)
        ids = torch.tensor([AutoTokenizer.from_pretrained(tiny_model)(TRAIN)["input_ids"]])
        given = {"r": 4, "target_modules": ["q_proj", "v_proj", "down_proj"], "task_type": "CAUSAL_LM", **config}
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), LoraConfig(**given))
        optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=0.1)
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

    return make


@pytest.fixture(scope="session")
def trained(make_lora):
    return make_lora(steps=8)


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


def texts_of(run_folder):
    lines = (run_folder / "replies.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["id"]: row["reply"]["text"] for row in map(json.loads, lines)}


class TestOn:
    def test_the_command_applies_it_names_the_run_after_it_and_says_that_it_is_on(self, cscbench, tiny_card, trained):
        from pathlib import Path

        command = ("run", "--task", "csconv_sample", "--limit", "1", "--encoder", "none")
        named = f"tiny+lora@{folder_sha256(trained)[:8]}"
        folders = {}
        for out, spec in (
            ("base", ("--model", "tiny")),
            ("tuned", ("--model", "tiny", "--lora", trained)),
            ("tuned", ("--model", "tiny+lora", "--lora", trained)),
        ):
            done = cscbench(*command, *spec, "--out", out)
            assert done.returncode == 0, done.stderr
            (folders[out],) = Path(out).iterdir()  # the last two are one run, written in two ways
        assert folders["tuned"].name.rpartition("--")[0].endswith(f"--{named}")
        base, tuned = (texts_of(folder) for folder in folders.values())
        assert base.keys() == tuned.keys()
        assert sum(base[name] != tuned[name] for name in base) > len(base) / 2
        results = {out: json.loads((folder / "results.json").read_text("utf-8")) for out, folder in folders.items()}
        assert results["tuned"]["model"]["label"] == named
        assert any(note.startswith("LoRA is on") for note in results["tuned"]["notes"])
        assert results["base"]["model"]["label"] == "tiny"
        assert not any("LoRA" in note for note in results["base"]["notes"])

    def test_replies_are_those_of_peft_with_its_weights_merged_in(
        self, tiny_model, trained, load_hf, make_request, answers, tmp_path
    ):
        from peft import AutoPeftModelForCausalLM

        merged = tmp_path / "merged"
        shutil.copytree(tiny_model, merged)
        AutoPeftModelForCausalLM.from_pretrained(trained).merge_and_unload().save_pretrained(merged)
        # The base's own settings must not slip in through peft either.
        (merged / "generation_config.json").write_text(json.dumps({"repetition_penalty": 4.0}))
        requests = [make_request(text, f"{n}/0") for n, text in enumerate(["Hello", "退款", "Where is my parcel?"])]
        texts = [reply.text for reply in answers(load_hf(tiny_model, trained).adapter, requests)]
        assert texts == [reply.text for reply in answers(load_hf(merged).adapter, requests)]
        assert texts != [reply.text for reply in answers(load_hf(tiny_model).adapter, requests)]

    def test_a_path_under_the_home_folder_is_found(self, tiny_model, trained, load_hf, tmp_path, monkeypatch):
        shutil.copytree(trained, tmp_path / "mine")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert load_hf(tiny_model, "~/mine").notes


class TestRefused:
    def test_an_untrained_adapter_ends_the_command_with_the_reason(self, cscbench, tiny_card, make_lora):
        zeros = make_lora()
        done = cscbench("run", "--model", tiny_card, "--lora", zeros, "--limit", "1", "--encoder", "none")
        assert done.returncode == 2
        assert f"the LoRA weights at {zeros} change nothing" in done.stderr
        assert "untrained (all zeros)" in done.stderr
        assert "Traceback" not in done.stderr

    def test_the_variant_without_weights_says_what_to_add(self, cscbench, tiny_card):
        done = cscbench("run", "--model", "tiny+lora", "--limit", "1")
        assert done.returncode == 2
        assert "add `--lora PATH`" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_missing_folder_is_named_with_what_was_looked_for(self, cscbench, tiny_card, tmp_path):
        done = cscbench("run", "--model", tiny_card, "--lora", "nowhere", "--limit", "1")
        assert done.returncode == 2
        assert f"looked for {tmp_path / 'nowhere' / 'adapter_config.json'}" in done.stderr

    def test_pickled_weights_are_not_read(self, tiny_model, trained, load_hf, tmp_path):
        folder = tmp_path / "pickled"
        shutil.copytree(trained, folder)
        (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
        with pytest.raises(
            UserError, match=r"adapter_model\.bin is a pickle and is never loaded: save it as safetensors"
        ):
            load_hf(tiny_model, folder)

    @pytest.mark.parametrize(
        ("weights", "config", "reason"),
        [
            pytest.param(
                lambda w: w.update({name: tensor[:, :-2].clone() for name, tensor in w.items() if "lora_A" in name}),
                lambda c: None,
                "do not fit .*size mismatch",
                id="another width",
            ),
            pytest.param(
                lambda w: w.update({n.replace("layers.1", "layers.7"): w[n].clone() for n in [*w] if "layers.1" in n}),
                lambda c: None,
                r"made for another model than .*6 of them match no module, the first: .*layers\.7",
                id="more layers",
            ),
            pytest.param(
                lambda w: [w.pop(name) for name in [*w] if "layers.1" in name],
                lambda c: None,
                r"incomplete: Found missing adapter keys.*layers\.1",
                id="missing keys",
            ),
            pytest.param(
                lambda w: w.update({name: tensor * float("nan") for name, tensor in w.items()}),
                lambda c: None,
                "the logits are nan: the weights are damaged",
                id="not a number",
            ),
            pytest.param(
                lambda w: None,
                lambda c: c.update(target_modules=["c_attn"]),
                "do not fit .*c_attn.* not found in the base model",
                id="other modules",
            ),
            pytest.param(lambda w: None, lambda c: c.clear(), "do not fit .*peft_type", id="empty config"),
        ],
    )
    def test_weights_for_another_model_are_refused_by_name(self, tiny_model, edited, load_hf, weights, config, reason):
        folder = edited(weights, config)
        with pytest.raises(UserError, match=re.compile(f"LoRA weights at {folder} .*{reason}", re.DOTALL)):
            load_hf(tiny_model, folder)

    def test_a_truncated_file_is_refused(self, tiny_model, edited, load_hf):
        file = edited() / "adapter_model.safetensors"
        file.write_bytes(file.read_bytes()[:500])
        with pytest.raises(UserError, match=r"LoRA weights at .* do not fit"):
            load_hf(tiny_model, file.parent)

    def test_an_adapter_without_a_model_to_put_it_on_is_refused(self, cscbench, trained):
        done = cscbench("run", "--model", "gold", "--lora", trained, "--limit", "1")
        assert done.returncode == 2
        assert "the gold adapter does not accept `lora`" in done.stderr
