"""vLLM's answers against the hf adapter's and transformers' own, on the real SmolLM2, float32, on a CPU."""

import os

import msgspec
import pytest

from cscbench.asking.parse import parse
from cscbench.content.prompts import strategy_choices
from cscbench.content.tasks import find_task
from cscbench.values import ChatRole, Condition, Language, Message, ParseForm, Step, UserError

# We cannot fix warnings from vLLM and its packages.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default"), pytest.mark.timeout(900)]

SYSTEM = "You are a customer supporter. Answer in one or two sentences."
ASKED = [
    "Where is my parcel? It should have been here on Monday.",
    "I was charged twice for my subscription.",
    "How do I reset my password?",
    "您好，我想退货。",
]


@pytest.fixture(scope="module")
def requests(make_request):
    return [make_request(text, f"d{n}/0", system=SYSTEM, max_tokens=24) for n, text in enumerate(ASKED)]


@pytest.fixture(scope="module")
def base(loaded):
    """The same engine without the LoRA weights."""
    from cscbench.models.vllm.generate import VllmAdapter

    return VllmAdapter(loaded.adapter._engine, loaded.adapter._chat)


def with_chat(loaded, window):
    from cscbench.models.chat import Chat
    from cscbench.models.vllm.generate import VllmAdapter

    return VllmAdapter(loaded.adapter._engine, Chat(loaded.adapter._chat.tokenizer, window))


def shared_tokens(left, right, tokenizer):
    """The number of tokens that two texts share from the start, and the length of the shorter one."""
    pairs = list(zip(tokenizer(left.text)["input_ids"], tokenizer(right.text)["input_ids"], strict=False))
    return next((n for n, (a, b) in enumerate(pairs) if a != b), len(pairs)), len(pairs)


def assert_alike(replies, expected, tokenizer):
    """Rounding may make two greedy answers diverge if two tokens are equally likely; most must not diverge at all."""
    shared = [shared_tokens(left, right, tokenizer) for left, right in zip(replies, expected, strict=True)]
    assert sum(same == whole for same, whole in shared) >= len(shared) - 1, shared
    assert all(same >= min(whole, 8) for same, whole in shared), shared
    assert [reply.tokens_in for reply in replies] == [reply.tokens_in for reply in expected]
    assert [reply.text for reply in replies] != ["", "", "", ""]


class TestGreedy:
    def test_answers_are_the_hf_adapters_whatever_sampling_the_checkpoint_asks_for(
        self, base, smollm2, load_hf, requests, answers
    ):
        tokenizer = base._chat.tokenizer
        replies, expected = answers(base, requests), answers(load_hf(smollm2).adapter, requests)
        assert_alike(replies, expected, tokenizer)
        for left, right in zip(replies, expected, strict=True):
            if left.text == right.text:
                assert (left.tokens_out, left.finish_reason) == (right.tokens_out, right.finish_reason)

    def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(self, base, requests, answers):
        whole = answers(base, requests[:1])[0]
        word = whole.text.split()[4]
        stopped = answers(base, [msgspec.structs.replace(requests[0], sampling=sampled(requests[0], stop=(word,)))])[0]
        assert stopped.text == whole.text[: whole.text.index(word)].strip()
        assert (stopped.finish_reason, stopped.tokens_out < whole.tokens_out) == ("stop", True)

    def test_a_request_asked_again_finds_its_prompt_in_the_cache(self, base, make_request, answers):
        asked = make_request("Tell me about your opening hours. " * 12, "again/0", max_tokens=2)
        first, second = (answers(base, [asked])[0] for _ in range(2))
        assert first.tokens_reused < 32
        assert second.tokens_reused > second.tokens_in - 33
        assert second.text == first.text

    def test_the_log_probability_is_that_of_the_answers_tokens(self, base, smollm2, requests, answers):
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
        reply = answers(base, requests[2:3])[0]
        chat = base._chat
        prompt = chat.encode(requests[2].messages, 24).ids
        written = chat.tokenizer(reply.text, add_special_tokens=False)["input_ids"]
        written += [2] if reply.finish_reason == "stop" else []
        assert len(written) == reply.tokens_out
        with torch.inference_mode():
            logprobs = model(torch.tensor([[*prompt, *written]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        total = float(logprobs.gather(-1, torch.tensor(written)[:, None]).sum())
        assert reply.logprob == pytest.approx(total, abs=1e-2)


def sampled(request, **settings):
    return msgspec.structs.replace(request.sampling, **settings)


class TestSampled:
    def test_a_seed_gives_the_same_answer_whatever_else_is_asked(self, base, requests, answers):
        def drawn(seed):
            return [
                msgspec.structs.replace(
                    request, sampling=sampled(request, temperature=1.0, top_p=0.95, seed=seed, max_tokens=12)
                )
                for request in requests
            ]

        together = [reply.text for reply in answers(base, drawn(1))]
        assert together[0] == answers(base, drawn(1)[:1])[0].text
        assert together != [reply.text for reply in answers(base, drawn(2))]


class TestOneRequestFails:
    def test_a_setting_that_vllm_does_not_take_fails_alone(self, base, requests, answers):
        hot = msgspec.structs.replace(requests[0], sampling=sampled(requests[0], temperature=3.0))
        refused, good = answers(base, [hot, requests[1]])
        assert "vLLM rejects this request: temperature must be in [0, 2]" in refused.error
        assert (good.error, bool(good.text)) == ("", True)

    def test_a_prompt_beyond_the_window_fails_alone_and_old_turns_are_dropped(self, loaded, make_request, answers):
        small = with_chat(loaded, window=60)
        long = make_request("parcel " * 80, "long/0")
        turns = tuple(
            Message(ChatRole.ASSISTANT if n % 2 else ChatRole.USER, "where is my parcel now " * 2) for n in range(7)
        )
        dropping = msgspec.structs.replace(make_request("", "drop/0", max_tokens=4), messages=turns)
        failed, kept = answers(small, [long, dropping])
        assert "tokens without any history" in failed.error
        assert (kept.error, kept.dropped > 0, kept.tokens_in <= 56) == ("", True, True)


class TestLora:
    def test_it_is_proven_on_and_answers_as_peft_does(
        self, loaded, base, smollm2, smollm2_lora, load_hf, requests, answers
    ):
        (note,) = [note for note in loaded.notes if note.startswith("LoRA is on")]
        assert "log-probabilities of a probe differ from the base model's by up to" in note
        assert loaded.engine_facts["max_lora_rank"] == "8"
        tuned = answers(loaded.adapter, requests)
        assert_alike(tuned, answers(load_hf(smollm2, smollm2_lora).adapter, requests), base._chat.tokenizer)
        assert [reply.text for reply in tuned] != [reply.text for reply in answers(base, requests)]

    def test_weights_that_vllm_loads_and_that_change_nothing_are_no_proof(self, loaded, smollm2, train_lora):
        from vllm.lora.request import LoRARequest

        from cscbench.models.vllm.lora import prove
        from cscbench.values import ModelCard

        zeros = train_lora(smollm2)
        card = ModelCard("small", "vllm", weights=str(smollm2), lora=str(zeros))
        with pytest.raises(UserError, match=f"LoRA weights at {zeros} change nothing: log-probabilities of a probe"):
            prove(card, loaded.adapter._engine, loaded.adapter._chat, LoRARequest("zeros", 2, str(zeros)))


class TestFacts:
    def test_they_say_what_answered(self, loaded):
        import vllm

        assert loaded.engine_facts == {
            "engine": f"vllm {vllm.__version__}",
            "device": "cpu",
            "dtype": "float32",
            "quantization": "",
            "chat_template": loaded.adapter._chat.template_sha256,
            "context_length": "8192",
            "max_lora_rank": "8",
        }
        assert loaded.devices == ("cpu",)


@pytest.fixture(scope="module")
def prompts():
    task = find_task("csconv_sample")
    return {
        condition: task.prompt("default", Language.EN, condition) for condition in (Condition.JOINT, Condition.TWO_STEP)
    }


def steps(prompts, condition, step, count, turn=0):
    """Requests for the first `step` at or after `turn`, from `count` dialogues of the sample."""
    from cscbench.asking.plays import Protocol, play
    from cscbench.values import Context, Reply, Sampling

    task = find_task("csconv_sample")
    requests = []
    for dialogue in task.load(None).test:
        if dialogue.language is Language.EN and len(requests) < count:
            playing = play(dialogue, prompts[condition], Protocol(Context.GOLD, Sampling(max_tokens=24)))
            request = next(playing)
            while request.step is not step or request.turn < turn:
                request = playing.send(Reply("Greeting"))
            requests.append(request)
    return requests


@pytest.fixture(scope="module")
def guided(base, prompts):
    """The same engine, limited to the answers that the requests' prompts allow."""
    from cscbench.models.vllm.generate import VllmAdapter
    from cscbench.models.vllm.guide import guides

    def build(condition, requests):
        allowed = {request.thread: guides(prompts[condition]) for request in requests}
        return VllmAdapter(base._engine, base._chat, None, allowed)

    return build


class TestGuided:
    def test_a_strategy_is_one_of_the_names(self, base, guided, prompts, answers):
        asked = steps(prompts, Condition.TWO_STEP, Step.STRATEGY, 3, turn=2)
        names = strategy_choices(prompts[Condition.TWO_STEP], 0)
        held = answers(guided(Condition.TWO_STEP, asked), asked)
        assert all(reply.text in names and reply.finish_reason == "stop" for reply in held)
        assert not all(reply.text in names for reply in answers(base, asked)), "free answers prove nothing here"

    def test_an_answer_with_both_begins_with_a_strategy_and_goes_on_freely(self, base, guided, prompts, answers):
        asked = steps(prompts, Condition.JOINT, Step.JOINT, 3)
        strategies = prompts[Condition.JOINT].strategies
        held = [parse(r.text, Step.JOINT, strategies) for r in answers(guided(Condition.JOINT, asked), asked)]
        free = [parse(r.text, Step.JOINT, strategies) for r in answers(base, asked)]
        assert all(
            parsed.form is ParseForm.BRACKET and parsed.strategy and len(parsed.text.split()) > 3 for parsed in held
        )
        assert not all(parsed.form is ParseForm.BRACKET for parsed in free), "free answers prove nothing here"


class TestRanked:
    def test_scores_are_the_mean_log_probabilities_that_transformers_gives(
        self, base, smollm2, prompts, requests, answers
    ):
        import torch
        from transformers import AutoModelForCausalLM

        names = strategy_choices(prompts[Condition.TWO_STEP], 0)
        asked = [
            msgspec.structs.replace(request, choices=names)
            for request in steps(prompts, Condition.TWO_STEP, Step.STRATEGY, 2, turn=2)
        ]
        # A written answer is decoded in the same batches.
        *ranked, written = answers(base, [*asked, requests[0]])
        assert written.choice_logprobs == ()
        model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
        chat = base._chat
        for request, reply in zip(asked, ranked, strict=True):
            text = chat.tokenizer.decode(chat.encode(request.messages, 24).ids)
            before = chat.tokenizer(text, add_special_tokens=False)["input_ids"]
            expected = []
            for name in names:
                ids = chat.tokenizer(text + name, add_special_tokens=False)["input_ids"]
                assert ids[: len(before)] == before
                with torch.inference_mode():
                    logprobs = model(torch.tensor([ids])).logits[0, len(before) - 1 : -1].log_softmax(-1)
                expected.append(float(logprobs.gather(-1, torch.tensor(ids[len(before) :])[:, None]).mean()))
            assert reply.choice_logprobs == pytest.approx(expected, abs=1e-3)
            assert reply.text == names[expected.index(max(expected))]
            assert (reply.tokens_in, reply.tokens_out, reply.logprob) == (len(before), 0, None)

    def test_the_first_of_equal_choices_wins(self, base, requests, answers):
        twice = msgspec.structs.replace(requests[0], choices=("no", "no", "no"))
        reply = answers(base, [twice])[0]
        assert reply.choice_logprobs == (reply.choice_logprobs[0],) * 3
        assert reply.text == "no"


def test_load_sets_vllms_environment_but_keeps_what_the_user_set(loaded):
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"
    assert os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
