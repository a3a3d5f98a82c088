"""What is sent to a server, and how its answers are read."""

import json

import msgspec
import pytest

from cscbench.models.openai import OpenAiOptions
from cscbench.models.openai.wire import Completion, RequestTemplate, body, reply_of, split_reasoning
from cscbench.values import ChatRole, Message, Sampling

MESSAGES = (Message(ChatRole.SYSTEM, "Be kind."), Message(ChatRole.USER, "您好"))


def sent(sampling: Sampling = Sampling(), fields: dict | None = None, **options) -> dict:  # noqa: B008 - frozen
    return body(MESSAGES, sampling, RequestTemplate("m", OpenAiOptions(**options), fields or {}))


def test_a_greedy_request_holds_messages_and_settings_and_nothing_that_a_model_may_not_take():
    assert sent(Sampling(max_tokens=7, seed=5)) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "您好"}],
        "max_tokens": 7,
        "temperature": 0.0,
        "stream": False,
        "seed": 5,
    }


def test_every_other_setting_is_sent_when_it_is_set():
    sampling = Sampling(max_tokens=7, temperature=0.5, top_p=0.9, stop=("END",), seed=5)
    fields = sent(
        sampling,
        {"top_k": 0},
        seed=False,
        logprobs=True,
        max_tokens_field="max_completion_tokens",
        extra_body={"chat_template_kwargs": {"enable_thinking": False}},
    )
    assert {name: fields[name] for name in fields if name not in ("model", "messages", "stream")} == {
        "max_completion_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "logprobs": True,
        "top_logprobs": 1,
        "top_k": 0,
        "chat_template_kwargs": {"enable_thinking": False},
    }


def read(message: dict, finish: str | None = "stop", **rest):
    answer = {"choices": [{"message": message, "finish_reason": finish, **rest.pop("choice", {})}], **rest}
    return reply_of(msgspec.json.decode(json.dumps(answer), type=Completion), 1.5)


def test_a_plain_answer_becomes_a_reply():
    usage = {"prompt_tokens": 30, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 20}}
    logprobs = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -0.25}]}
    reply = read({"content": " [GT] Hi. \n"}, usage=usage, choice={"logprobs": logprobs})
    assert (reply.text, reply.tokens_in, reply.tokens_out, reply.tokens_reused) == ("[GT] Hi.", 30, 4, 20)
    assert (reply.logprob, reply.finish_reason, reply.seconds, reply.error) == (-0.75, "stop", 1.5, "")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"usage": None},
        {"usage": {"prompt_tokens": None, "prompt_tokens_details": None}},
        {"choice": {"logprobs": None}},
        {"choice": {"logprobs": {"content": None}}},
        {"choice": {"logprobs": {"content": [{"token": "a", "logprob": None}]}}},
    ],
)
def test_what_a_server_leaves_out_is_not_known(more):
    reply = read({"content": "Hi."}, **more)
    assert (reply.text, reply.tokens_in, reply.tokens_reused, reply.logprob) == ("Hi.", 0, None, None)


@pytest.mark.parametrize(
    ("message", "reasoning", "text"),
    [
        ({"content": "Hi.", "reasoning_content": "A greeting."}, "A greeting.", "Hi."),
        ({"content": "Hi.", "reasoning": "A greeting."}, "A greeting.", "Hi."),
        ({"content": "<think>\nA greeting.\n</think>\n\nHi."}, "A greeting.", "Hi."),
        ({"content": "A greeting.</think>Hi."}, "A greeting.", "Hi."),  # the template wrote the opening tag
        ({"content": "<think></think>Hi."}, "", "Hi."),
        ({"content": "Hi. I <think> so."}, "", "Hi. I <think> so."),
    ],
)
def test_reasoning_is_kept_apart_from_the_reply(message, reasoning, text):
    reply = read(message)
    assert (reply.reasoning, reply.text, reply.error) == (reasoning, text, "")


def test_reasoning_that_loops_on_its_tag_is_split_at_once():
    assert split_reasoning("<think>" * 20_000) == (("<think>" * 20_000).removeprefix("<think>"), "")


@pytest.mark.parametrize(
    ("message", "finish", "error"),
    [
        ({"content": None}, "content_filter", "no content (finish reason: content_filter)"),
        ({"content": ""}, "content_filter", "no content (finish reason: content_filter)"),
        ({"content": None, "refusal": "I will not."}, "stop", "no content (finish reason: stop): I will not."),
        ({"content": None}, None, "no content (finish reason: none given)"),
        ({"content": None, "reasoning": "Hm"}, "length", "`sampling.max_tokens` of the card ended it during"),
        ({"content": "<think>Hm"}, "length", "`sampling.max_tokens` of the card ended it during"),
        ({"content": "", "reasoning_content": "Hm"}, "stop", "no content"),
    ],
)
def test_an_answer_without_words_is_a_failed_reply_that_says_why_and_what_it_took(message, finish, error):
    reply = read(message, finish, usage={"prompt_tokens": 9, "completion_tokens": 3})
    assert error in reply.error
    assert (reply.text, reply.tokens_in, reply.tokens_out, reply.finish_reason) == ("", 9, 3, finish or "")


def test_a_model_that_ends_at_once_has_said_nothing_and_has_not_failed():
    reply = read({"content": ""})
    assert (reply.text, reply.error) == ("", "")


def test_an_answer_without_a_choice_is_none():
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"choices": []}', type=Completion)
