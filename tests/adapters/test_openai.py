"""The openai adapter against a real server that fails on demand in every way."""

import asyncio
import json
import time
from email.utils import formatdate

import pytest
from fault_server import Call, Does, FaultServer, completion, error
from openai_help import ask, leave, loaded, server_card

from cscbench.values import UserError

KEY = "sk-do-not-tell-4711"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def first_times(*does: Does):
    """A behavior: do these in turn for each request, then answer; answer the adapter's own request at the start."""
    seen: dict[str, int] = {}

    def decide(call: Call) -> Does:
        if not call.digest or "word OK" in call.body["messages"][-1]["content"]:
            return Does()
        number = seen[call.digest] = seen.get(call.digest, -1) + 1
        return does[number] if number < len(does) else Does()

    return decide


# --- retried


FAULTS = {
    "429": Does(429),
    "429 for so long": Does(429, {"Retry-After": "0.1"}),
    "408": Does(408),
    "409": Does(409),
    "500": Does(500),
    "502, a page": Does(502, body=b"<html>bad gateway</html>"),
    "503": Does(503),
    "reset": Does(reset=True),
    "cut": Does(cut=True),
    "no JSON": Does(body=b"oops"),
    "no choices": Does(body=b'{"choices": []}'),
    "an error with status 200": Does(body=error("upstream failed", "502")),
    "no answer in time": Does(wait=30, reset=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_failure_that_can_pass_is_tried_again_and_the_reply_is_the_right_one(make_request, fault):
    with FaultServer(first_times(fault)) as server:
        adapter = loaded(server_card(server.url, timeout=0.5 if fault.wait else 30))
        (reply,) = ask(adapter, [make_request("hello")])
        (digest,) = {call.digest for call in server.asked()}
    assert (reply.text, reply.error, len(server.asked())) == (f"[GT] {digest}", "", 2)


@pytest.mark.parametrize("fault", [Does(500), Does(cut=True), Does(reset=True)], ids=["500", "cut", "reset"])
def test_a_failure_that_persists_is_a_failed_reply_with_the_number_of_attempts_and_the_reason(make_request, fault):
    with FaultServer(first_times(*[fault] * 99)) as server:
        (reply,) = ask(loaded(server_card(server.url, retries=1)), [make_request()])
    assert len(server.asked()) == 2
    assert reply.text == ""
    assert reply.error.startswith("no reply after 2 attempts; the last: ")
    assert ("told to fail with 500" in reply.error) is (fault.status == 500)


ASKED_TO_WAIT = {
    "seconds": lambda: {"Retry-After": "1"},
    "date": lambda: {"Retry-After": formatdate(int(time.time()) + 2, usegmt=True)},  # in more than one second
    "milliseconds": lambda: {"retry-after-ms": "1000"},
}


@pytest.mark.parametrize("wait", ASKED_TO_WAIT.values(), ids=ASKED_TO_WAIT)
def test_a_pause_that_the_server_asks_for_is_kept_by_the_whole_adapter(make_request, wait):
    paused: list[float] = []

    def decide(call: Call) -> Does:
        if call.body and call.body["messages"][-1]["content"] == "first" and not paused:
            paused.append(time.monotonic())
            return Does(429, wait())
        return Does(wait=0.02)

    with FaultServer(decide) as server:
        adapter = loaded(server_card(server.url, concurrency=4))
        replies = ask(adapter, [make_request(text) for text in ("first", *"abcdefgh")])
    assert not [reply.error for reply in replies if reply.error]
    assert replies[0].seconds < 1  # its own time, without the wait
    # Three more may have been on their way when it was refused.
    later = sorted(call.at - paused[0] for call in server.asked() if call.at > paused[0])[3:]
    assert len(later) >= 3
    assert later[0] >= 1


def test_a_pause_of_an_hour_ends_the_run_instead(make_request):
    with FaultServer(first_times(Does(429, {"Retry-After": "3600"}))) as server:
        adapter = loaded(server_card(server.url))
        with pytest.raises(UserError, match=r"asks to wait 60 minutes .*repeat the command then to continue"):
            ask(adapter, [make_request()])


def test_requests_at_once_come_down_to_what_the_server_takes(make_request):
    with FaultServer(lambda _: Does(wait=0.004), slots=4) as server:
        adapter = loaded(server_card(server.url, concurrency=32))
        replies = ask(adapter, [make_request(f"question {number}") for number in range(600)])
        asked = server.asked()
    assert not [reply.error for reply in replies if reply.error]
    assert len({reply.text for reply in replies}) == 600
    refused = server.statuses["429"]
    assert 0 < refused <= 60  # of 600; half of them at the very start
    assert len(asked) == 600 + refused


def test_requests_and_tokens_keep_to_their_rates(make_request):
    with FaultServer() as server:
        began = time.monotonic()
        ask(loaded(server_card(server.url, requests_per_minute=600)), [make_request(f"q {n}") for n in range(16)])
        requests_took = server.asked()[-1].at - began
        began = time.monotonic()
        ask(loaded(server_card(server.url, tokens_per_minute=6000)), [make_request("x" * 40) for _ in range(8)])
        tokens_took = server.asked()[-1].at - began
    # 10 a second, a second's worth of them at once. A busy machine can only take longer.
    assert requests_took >= (16 - 10) / 10
    # 12 tokens to write and 10 to read each: 22 of 100 a second, the last one begun when there is room for it.
    assert tokens_took >= (8 * 22 - 100) / 100


# --- at the start


def refused(card) -> str:
    with pytest.raises(UserError) as raised:
        leave(loaded(card))
    return str(raised.value)


def test_a_wrong_or_missing_key_is_told_at_the_start_with_its_variable_and_never_shown(monkeypatch):
    with FaultServer(key=KEY) as server:
        assert "put it into the environment variable OPENAI_API_KEY" in refused(server_card(server.url))
        monkeypatch.setenv("OTHER_KEY", "sk-wrong-0815")
        message = refused(server_card(server.url, key_env="OTHER_KEY"))
        assert "The key came from the environment variable OTHER_KEY" in message
        assert "Incorrect API key provided: Bearer ***" in message
        assert "0815" not in message
        monkeypatch.setenv("OTHER_KEY", f" {KEY}\n")  # as `export OTHER_KEY=$(cat file)` may leave it
        leave(loaded(server_card(server.url, key_env="OTHER_KEY")))
        assert not server.asked()


def test_nobody_at_the_address_is_told_at_once():
    with FaultServer() as server:
        url = server.url
    began = time.monotonic()
    assert f"no server at {url}" in refused(server_card(url))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("owner", ["vllm", "llamacpp"])
def test_a_model_that_the_engine_does_not_list_is_refused_with_the_nearest_name(owner):
    with FaultServer(models=[{"id": "qwen-7b", "owned_by": owner}], does=engine_pages) as server:
        message = refused(server_card(server.url, model="qwen7b"))
    assert "has no model 'qwen7b'; did you mean 'qwen-7b'?" in message
    assert not [call for call in server.calls if call.digest]


def engine_pages(call: Call) -> Does:
    pages = {
        "/version": {"version": "0.33.0"},
        "/props": {"build_info": "b1", "chat_template": "T", "model_ftype": "Q"},
    }
    return Does(body=json.dumps(pages[call.path]).encode()) if call.path in pages else Does()


def test_a_model_that_a_hosted_server_does_not_know_is_told_with_those_it_has():
    def decide(call: Call) -> Does:
        return Does(404, body=error("The model does not exist", "model_not_found")) if call.digest else Does()

    with FaultServer(decide, models=[{"id": "small"}, {"id": "large"}]) as server:
        message = refused(server_card(server.url, model="smal"))
    assert "HTTP 404: The model does not exist (model_not_found)" in message
    assert "did you mean 'small'?" in message
    assert "It has: small, large" in message


def test_an_address_without_v1_is_told_as_such():
    with FaultServer(lambda _: Does(404)) as server:
        assert "most end in /v1" in refused(server_card(server.url.removesuffix("/v1")))


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        (
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'.",
            "max_tokens_field: max_completion_tokens",
        ),
        ("Unsupported value: 'temperature' does not support 0.0 with this model.", "set `sampling.temperature`"),
        ("unknown field seed", "options.seed: false"),
    ],
)
def test_a_field_that_the_model_rejects_is_reported_at_the_start_with_the_fix(reason, hint):
    def decide(call: Call) -> Does:
        return Does(400, body=error(reason, "unsupported")) if call.digest else Does()

    with FaultServer(decide) as server:
        message = refused(server_card(server.url))
    assert reason in message
    assert hint in message


def test_an_account_without_credit_is_told_and_not_asked_again():
    def decide(call: Call) -> Does:
        return Does(429, body=error("You exceeded your quota", "insufficient_quota")) if call.digest else Does()

    with FaultServer(decide) as server:
        assert "no credit left" in refused(server_card(server.url))
    assert len([call for call in server.calls if call.digest]) == 1


def test_a_server_that_lists_no_models_is_asked_all_the_same(make_request):
    with FaultServer(lambda call: Does() if call.digest else Does(405)) as server:
        (reply,) = ask(loaded(server_card(server.url)), [make_request()])
    assert reply.error == ""


def test_the_address_comes_from_the_named_variable(monkeypatch, make_request):
    card = server_card("", base_url_env="MY_SERVER")
    assert "the environment variable MY_SERVER is not set" in refused(card)
    monkeypatch.setenv("MY_SERVER", "localhost:8000")
    assert "MY_SERVER must be an address" in refused(card)
    with FaultServer() as server:
        for name in ("MY_SERVER", "OPENAI_BASE_URL"):
            monkeypatch.setenv(name, server.url + "/")
            (reply,) = ask(loaded(server_card("", base_url_env=name)), [make_request()])
            assert reply.error == ""


# --- while it runs


def test_a_refusal_of_one_request_is_its_failed_reply_with_the_server_s_words_and_is_not_tried_again(make_request):
    too_long = Does(400, body=error("maximum context length is 2048 tokens", "context_length_exceeded"))
    with FaultServer(first_times(too_long)) as server:
        (reply,) = ask(loaded(server_card(server.url)), [make_request()])
    assert reply.error == "HTTP 400: maximum context length is 2048 tokens (context_length_exceeded)"
    assert len(server.asked()) == 1


def test_a_key_that_is_withdrawn_ends_the_run(make_request):
    with FaultServer(first_times(Does(401))) as server:
        adapter = loaded(server_card(server.url))
        with pytest.raises(UserError, match="HTTP 401"):
            ask(adapter, [make_request()])


def test_a_server_that_goes_ends_the_run_once_the_tries_are_over(make_request):
    with FaultServer() as server:
        adapter = loaded(server_card(server.url, retries=2))

        async def main() -> None:
            first = await adapter.adapter.generate(make_request())
            assert first.error == ""
            await asyncio.to_thread(server.__exit__)
            try:
                await adapter.adapter.generate(make_request())
            finally:
                assert adapter.aclose is not None
                await adapter.aclose()

        began = time.monotonic()
        with pytest.raises(UserError, match=r"no server at .*\n.*repeat the command to continue"):
            asyncio.run(main())
    assert time.monotonic() - began < 5


def test_an_answer_of_another_model_is_a_failed_reply(make_request):
    def answer(call: Call) -> dict:
        updated = call.body["messages"][-1]["content"] == "hello"
        return completion(call) | {"model": "echo-2026-02" if updated else "echo-2026-01"}

    with FaultServer(answer=answer) as server:
        adapter = loaded(server_card(server.url))
        assert adapter.engine_facts["model"] == "echo-2026-01"
        good, bad = ask(adapter, [make_request("hi"), make_request("hello")])
    assert (good.error, bad.text) == ("", "")
    assert "'echo-2026-02', but this run started with 'echo-2026-01'" in bad.error
    assert bad.tokens_out == 8  # it is paid for


def test_the_key_is_never_in_a_reply_even_where_the_server_repeats_it(make_request, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FaultServer(first_times(Does(400, body=error(f"bad request with {KEY}", "x")))) as server:
        (reply,) = ask(loaded(server_card(server.url)), [make_request()])
    assert server.asked()[0].headers["authorization"] == f"Bearer {KEY}"
    assert reply.error == "HTTP 400: bad request with *** (x)"


# --- what is known of the server


def test_an_engine_that_says_what_it_is_gets_its_own_defaults_switched_off(make_request):
    with FaultServer(engine_pages, models=[{"id": "echo", "owned_by": "vllm", "max_model_len": 900}]) as server:
        adapter = loaded(server_card(server.url))
        ask(adapter, [make_request()])
    assert adapter.engine_facts == {
        "engine": "vllm",
        "engine_version": "0.33.0",
        "context_length": "900",
        "model": "echo",
    }
    assert adapter.notes == ()
    assert server.asked()[0].body["repetition_penalty"] == 1.0


def test_of_one_that_does_not_nothing_is_assumed_and_the_reader_is_told(make_request):
    with FaultServer() as server:
        adapter = loaded(server_card(server.url))
        ask(adapter, [make_request()])
    assert adapter.engine_facts == {"engine": "unknown", "model": "echo"}
    assert "does not report its engine" in adapter.notes[0]
    assert "repetition_penalty" not in server.asked()[0].body


def test_a_model_named_by_its_path_is_published_without_its_folders():
    with FaultServer(models=[{"id": "/home/me/qwen", "owned_by": "vllm"}], does=engine_pages) as server:
        card = server_card(server.url, model="/home/me/qwen")
        assert leave(loaded(card)).engine_facts["model"] == "qwen"
