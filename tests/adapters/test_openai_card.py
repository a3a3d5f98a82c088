"""Cards with the openai adapter: what they may say, what of it makes another run, and what of it is published."""

import json
from pathlib import Path

import pytest

from cscbench.content import extras
from cscbench.models.backend import LoadContext
from cscbench.models.openai import OPENAI, OpenAiOptions, options
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare, run_record
from cscbench.values import Condition, ModelCard, UserError

SECRET = "sk-proj-4711-secret"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"key_env": SECRET}, "must be the name of an environment variable"),
        ({"base_url": f"https://me:{SECRET}@host/v1"}, "must contain only an address"),
        ({"base_url": f"https://host/v1?key={SECRET}"}, "must contain only an address"),
        ({"api_key": SECRET}, "unknown field `api_key`; known: base_url,"),
        ({"base_url_env": "http://host:1/v1"}, "must be the name of an environment variable"),
        ({"base_url": "localhost:8000/v1"}, "must be an address such as"),
        ({"concurrency": 0}, "at least 1"),
        ({"retries": -1}, "at least 0"),
        ({"requests_per_minute": -1}, "at least 0"),
        ({"timeout": 0}, "above 0"),
        ({"timeout": float("inf")}, "above 0"),
        ({"max_tokens_field": "max_token"}, "max_tokens or max_completion_tokens"),
        ({"extra_body": {"temperature": 1}}, "must not set temperature"),
        ({"extra_body": "thinking: off"}, "Expected `object`"),
        ({"seeds": True}, "did you mean 'seed'?"),
    ],
)
def test_an_option_that_is_none_is_refused_and_a_key_in_it_is_not_repeated(option, message):
    with pytest.raises(UserError) as raised:
        options(ModelCard("served", "openai", options={"model": "m", **option}))
    assert message in str(raised.value)
    assert "4711" not in str(raised.value)


def test_a_card_without_a_model_is_refused_and_weights_name_it():
    with pytest.raises(UserError, match=r"options\.model"):
        OPENAI.fingerprint(ModelCard("served", "openai"))
    assert OPENAI.fingerprint(ModelCard("served", "openai", weights="Qwen/Q")) == {"model": "Qwen/Q"}


def write_card(lines: dict, weights: str = "Qwen/Q") -> None:
    Path("model_cards").mkdir(exist_ok=True)
    front = f"name: served\nadapter: openai\nweights: {weights}\noptions: {json.dumps(lines)}\n"
    Path("model_cards/served.md").write_text(f"---\n{front}---\n", encoding="utf-8")


def record(weights: str = "Qwen/Q", **lines):
    write_card(lines, weights)
    return run_record(prepare(RunOptions(model="served", limit=1)))


LOCAL = {
    "base_url": "http://gpu-7.corp.example:8000/v1",
    "base_url_env": "MY_SERVER",
    "key_env": "MY_KEY",
    "concurrency": 3,
    "requests_per_minute": 10,
    "tokens_per_minute": 10,
    "timeout": 7.5,
    "retries": 1,
}


@pytest.mark.parametrize("name", LOCAL)
def test_where_and_how_fast_a_server_is_asked_makes_no_other_run(name):
    assert record(model="m", **{name: LOCAL[name]}).hash == record(model="m").hash


def test_whatever_else_a_card_says_does():
    records = [
        record(),
        record(model="m"),
        record(model="n"),
        record(weights="Qwen/R", model="m"),
        record(model="m", seed=False),
        record(model="m", logprobs=True),
        record(model="m", max_tokens_field="max_completion_tokens"),
        record(model="m", extra_body={"chat_template_kwargs": {"enable_thinking": False}}),
    ]
    assert len({each.hash for each in records}) == len(records)
    named = set(LOCAL) | {"model", "lora_model", "seed", "logprobs", "max_tokens_field", "extra_body"}
    assert named == set(OpenAiOptions.__struct_fields__)  # a new option is one of them


def test_nothing_of_this_machine_is_in_what_is_published():
    fingerprint = json.dumps(record(weights="/home/me/qwen.gguf", model="/home/me/qwen", **LOCAL).model.fingerprint)
    whole = str(record(weights="/home/me/qwen.gguf", model="/home/me/qwen", **LOCAL))
    assert '"model": "qwen"' in fingerprint
    for private in ("corp.example", "/home/me", "MY_KEY", "MY_SERVER"):
        assert private not in whole


def test_a_server_s_model_cannot_be_ranked():
    write_card({})
    with pytest.raises(UserError, match="the openai adapter cannot rank"):
        prepare(RunOptions(model="served", condition=Condition.RANKED))


def test_a_missing_library_is_told_with_the_pip_line(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r'needs httpx2: pip install "cscbench\[openai\]"'):
        OPENAI.load(LoadContext(ModelCard("served", "openai"), {}))
