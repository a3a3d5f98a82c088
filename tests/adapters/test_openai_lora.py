"""LoRA behind a server: verified, or refused."""

import random
import re

import pytest
from fault_server import Call, Does, FaultServer, completion, error
from openai_help import ask, leave, loaded, server_card

from cscbench.values import UserError

MODELS = ({"id": "echo"}, {"id": "tuned"})


@pytest.fixture
def lora(tmp_path):
    """A folder as peft writes it; the server is started with it, so that only its hash matters here."""
    folder = tmp_path / "lora"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def answers(change: float = 0.0, noise: float = 0.0, words: bool = False, logprobs: bool = True):
    """A server whose tuned model differs by so much in log-probability, or in words, and each answer by noise."""
    dice = random.Random(3)  # noqa: S311 - the same noise in every run

    def answer(call: Call) -> dict:
        tuned = call.body["model"] == "tuned"
        body = completion(call)
        body["choices"][0]["message"]["content"] = "other words" if tuned and words else "words"
        if logprobs and call.body.get("logprobs"):
            value = -0.5 - change * tuned + dice.uniform(-noise, noise)
            body["choices"][0]["logprobs"] = {"content": [{"token": "w", "logprob": value}]}
        return body

    return FaultServer(models=MODELS, answer=answer)


@pytest.mark.parametrize(
    "server", [answers(change=0.01), answers(change=0.5, noise=0.005), answers(words=True, logprobs=False)]
)
def test_weights_that_are_on_are_proven_and_their_model_is_asked(server, lora, make_request):
    with server:
        adapter = loaded(server_card(server.url, lora=str(lora), lora_model="tuned"))
        ask(adapter, [make_request("the question")])
    assert adapter.notes[-1].startswith("LoRA is on: ")
    assert [c.body["model"] for c in server.asked() if c.body["messages"][-1]["content"] == "the question"] == ["tuned"]


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (answers(), "log-probabilities differ by 0"),
        (answers(noise=0.01), "by 0.0\\d+ between two answers of the base model"),
        (answers(logprobs=False), "the server reports no log-probabilities"),
    ],
)
def test_weights_that_change_nothing_beyond_noise_are_refused(server, why, lora):
    with server, pytest.raises(UserError) as raised:
        leave(loaded(server_card(server.url, lora=str(lora), lora_model="tuned")))
    assert "cannot verify that the server applies LoRA weights to 'tuned'" in str(raised.value)
    assert re.search(why, str(raised.value))


def test_a_server_that_refuses_to_give_log_probabilities_is_compared_by_words(lora):
    def decide(call: Call) -> Does:
        return Does(400, body=error("logprobs are not supported", "x")) if call.body.get("logprobs") else Does()

    def answer(call: Call) -> dict:
        body = completion(call)
        body["choices"][0]["message"]["content"] = f"I am {call.body['model']}"
        return body

    with FaultServer(decide, models=MODELS, answer=answer) as server:
        adapter = leave(loaded(server_card(server.url, lora=str(lora), lora_model="tuned")))
    assert "answer a probe differently" in adapter.notes[-1]


def test_lora_without_the_server_s_name_for_it_is_refused_with_the_fix(lora):
    with pytest.raises(UserError, match=r"--lora-modules NAME=PATH.*options\.lora_model: NAME"):
        loaded(server_card("http://localhost:1/v1", lora=str(lora)))


def test_a_tuned_model_that_the_engine_does_not_list_is_refused(lora):
    def pages(call: Call) -> Does:
        return Does(body=b'{"version": "1"}') if call.path == "/version" else Does()

    with FaultServer(pages, models=[{"id": "echo", "owned_by": "vllm"}]) as server, pytest.raises(UserError) as raised:
        leave(loaded(server_card(server.url, lora=str(lora), lora_model="tuned")))
    assert "has no model 'tuned'" in str(raised.value)
    assert "--lora-modules" in str(raised.value)
