"""Decoding: batches answer as single requests do, sampling follows the model's distribution, counts are exact."""

import asyncio
import json
import math
import shutil
import threading
from collections import Counter

import pytest

from cscbench.models.chat import Chat
from cscbench.models.hf.batch import Memory
from cscbench.models.hf.cache import PrefixCache
from cscbench.models.hf.decode import Model
from cscbench.models.hf.generate import HfAdapter

WORDS = ["a", "b", "c", "d", "e", "user", "assistant", "system", "go", "<end>", "<eos>", "<pad>"]
WORDS += ["abcdef"]  # transformers' stop strings try every tokenizer on it
TEXTS = [
    "Hi",
    "My parcel with order 1024 has not come, and nobody answers the phone. Where is it?",
    "您好，我的退款三天了还没有到账。",
    "ok",
    "I want my money back, now, all of it, and an apology in writing from whoever packed this box.",
    "Thanks 🙂",
    "查一下",
]
# Chi-square: the 0.1 % point by degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.4).
CRITICAL = {1: 10.828, 2: 13.816, 3: 16.266, 4: 18.467}


@pytest.fixture
def chain(word_tokenizer, chain_model):
    """An adapter on a chain, by the chain's logits; the tokenizer's own end is not the one the template writes."""

    def build(logits, batch_size=4, pad="<pad>", **template):
        tokenizer = word_tokenizer(WORDS, **{"eos_token": "<eos>"} | ({"pad_token": pad} if pad else {}), **template)
        return HfAdapter(
            Model(chain_model(tokenizer, logits), Chat(tokenizer, 512), PrefixCache(1 << 30), Memory()), batch_size
        )

    return build


def follow(*words):
    """Logits of a chain that says these words one after the other, after the prompt's `assistant`."""
    steps = zip(("assistant", *words), words, strict=False)
    return {word: {after: 10.0} for word, after in steps}


def argmax_loop(folder, request, count):
    """Greedy decoding as a textbook writes it: no cache, no padding, one argmax a step."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    rows = [{"role": message.role.value, "content": message.content} for message in request.messages]
    text = tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    new = []
    with torch.inference_mode():
        while len(new) < count:
            new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
            if new[-1] == tokenizer.eos_token_id:
                break
    return new


def record_rows(adapter):
    """What the adapter's model generates, as token ids by unpadded prompt ids."""
    rows, generate = {}, adapter._model.network.generate

    def recording(**inputs):
        output = generate(**inputs)
        width = inputs["input_ids"].shape[1]
        for ids, mask, row in zip(inputs["input_ids"], inputs["attention_mask"], output, strict=True):
            rows[tuple(ids[mask == 1].tolist())] = row[width:].tolist()
        return output

    adapter._model.network.generate = recording
    return rows


class TestGreedy:
    @pytest.mark.parametrize("kind", [pytest.param("llama", marks=pytest.mark.slow), "gpt2"])
    def test_batched_single_and_hand_written_decoding_give_the_same_tokens(
        self, kind, lively_model, load_hf, make_request, answers
    ):
        folder = lively_model(kind)
        requests = [make_request(text, f"d{n}/0", system="Be kind.") for n, text in enumerate(TEXTS)]
        expected = [argmax_loop(folder, request, 12) for request in requests]
        assert len({tuple(row) for row in expected}) == len(TEXTS), "a dull model proves nothing"
        assert min(len(set(row)) for row in expected) > 3, "a dull model proves nothing"
        for batch_size in (1, 3, len(TEXTS)):
            adapter = load_hf(folder, device="cpu", batch_size=batch_size).adapter
            rows = record_rows(adapter)
            replies = answers(adapter, requests)
            assert sorted(rows.values()) == sorted(expected)
            texts = [adapter._model.chat.tokenizer.decode(row, skip_special_tokens=True).strip() for row in expected]
            assert [reply.text for reply in replies] == texts
            assert [reply.tokens_in for reply in replies] == [
                len(adapter._model.chat.encode(request.messages, 0).ids) for request in requests
            ]

    @pytest.mark.parametrize("temperature", [0.0, 1.0])
    def test_a_checkpoints_own_generation_settings_do_not_slip_in(
        self, temperature, lively_model, load_hf, make_request, answers, tmp_path
    ):
        plain, hostile = lively_model("llama"), tmp_path / "hostile"
        shutil.copytree(plain, hostile)
        settings = {"repetition_penalty": 5.0, "top_k": 1, "temperature": 0.01, "do_sample": True, "min_new_tokens": 12}
        settings |= {"no_repeat_ngram_size": 1, "suppress_tokens": list(range(0, 49152, 2)), "num_beams": 3}
        (hostile / "generation_config.json").write_text(json.dumps(settings))
        requests = [make_request(t, f"d{n}/0", temperature=temperature, seed=n) for n, t in enumerate(TEXTS)]
        texts = [[r.text for r in answers(load_hf(f, batch_size=4).adapter, requests)] for f in (plain, hostile)]
        assert texts[0] == texts[1]


class TestSampling:
    def test_a_sample_follows_its_seed_and_not_its_batch_mates(self, lively_model, load_hf, make_request, answers):
        adapter = load_hf(lively_model("llama"), batch_size=5).adapter
        settings = {"temperature": 0.9, "top_p": 0.95}
        mine = make_request(TEXTS[1], "m/0", seed=11, **settings)
        alone = answers(adapter, [mine])[0].text
        for others in (1, 4):
            mates = [make_request(TEXTS[n], f"d{n}/0", seed=100 + n, **settings) for n in range(others)]
            assert answers(adapter, [*mates, mine])[-1].text == alone
        other_seeds = [make_request(TEXTS[1], f"s{n}/0", seed=n, **settings) for n in range(4)]
        assert len({reply.text for reply in answers(adapter, other_seeds)} | {alone}) == 5

    @pytest.mark.parametrize(
        ("temperature", "top_p", "expected"),
        [
            (1.0, 1.0, {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}),
            (0.5, 1.0, {"a": 16 / 30, "b": 9 / 30, "c": 4 / 30, "d": 1 / 30}),  # squares, renormalised
            (1.0, 0.85, {"a": 4 / 9, "b": 3 / 9, "c": 2 / 9}),  # the smallest set of at least 0.85
            (0.5, 0.5, {"a": 1.0}),  # temperature first, then the nucleus: 16/30 alone is enough
            (1.0, 0.45, {"a": 4 / 7, "b": 3 / 7}),
        ],
    )
    def test_samples_have_the_models_distribution(self, chain, make_request, answers, temperature, top_p, expected):
        odds = {word: math.log(p) for word, p in zip("abcd", (0.4, 0.3, 0.2, 0.1), strict=True)}
        adapter = chain({"assistant": odds}, batch_size=200)
        settings = {"max_tokens": 1, "temperature": temperature, "top_p": top_p}
        count = 400
        replies = answers(adapter, [make_request("go", f"d{n}/0", seed=n, **settings) for n in range(count)])
        counts = Counter(reply.text for reply in replies)
        assert set(counts) == set(expected)
        if len(expected) > 1:
            statistic = sum((counts[word] - count * p) ** 2 / (count * p) for word, p in expected.items())
            assert statistic < CRITICAL[len(expected) - 1]

    def test_one_draw_says_nothing_about_the_next(self, chain, make_request, answers):
        # Noise that restarted at each step would produce the same word twice.
        even = {"a": 0.0, "b": 0.0}
        adapter = chain({"assistant": even, "a": even, "b": even}, batch_size=500)
        requests = [make_request("go", f"d{n}/0", seed=n, max_tokens=2, temperature=1.0) for n in range(1000)]
        counts = Counter(reply.text for reply in answers(adapter, requests))
        assert set(counts) == {"a a", "a b", "b a", "b b"}
        assert sum((count - 250) ** 2 / 250 for count in counts.values()) < CRITICAL[3]


class TestEnds:
    def test_the_chats_end_stops_a_reply_and_is_counted(self, chain, make_request, answers):
        adapter = chain(follow("a", "b", "<end>", "c", "d"))
        reply = answers(adapter, [make_request("go", max_tokens=9)])[0]
        assert (reply.text, reply.finish_reason, reply.tokens_out) == ("a b", "stop", 3)

    def test_the_tokenizers_end_stops_a_reply_too(self, chain, make_request, answers):
        reply = answers(chain(follow("a", "<eos>", "c")), [make_request("go", max_tokens=9)])[0]
        assert (reply.text, reply.finish_reason, reply.tokens_out) == ("a", "stop", 2)

    @pytest.mark.parametrize(("room", "finish", "text"), [(2, "length", "a b"), (3, "stop", "a b")])
    def test_a_reply_cut_at_max_tokens_says_so(self, chain, make_request, answers, room, finish, text):
        reply = answers(chain(follow("a", "b", "<end>")), [make_request("go", max_tokens=room)])[0]
        assert (reply.text, reply.finish_reason, reply.tokens_out) == (text, finish, room)

    @pytest.mark.parametrize(("stop", "text", "tokens"), [("c", "a b", 3), ("b c", "a", 3), ("a", "", 1)])
    def test_a_stop_string_cuts_the_text_and_ends_the_count(self, chain, make_request, answers, stop, text, tokens):
        # Beside a mate that goes on to max_tokens: the padding that follows is not this reply's.
        adapter = chain({**follow("a", "b", "c", "d", "e"), "e": {"e": 10.0}, "go": {"d": 10.0}})
        mine = make_request("go", "m/0", max_tokens=9, stop=(stop,))
        alone = answers(adapter, [mine])[0]
        assert (alone.text, alone.finish_reason, alone.tokens_out) == (text, "stop", tokens)

    @pytest.mark.parametrize("pad", ["<pad>", "<end>", ""])
    def test_padding_after_a_stop_string_counts_for_nobody(self, chain, make_request, answers, pad):
        # The last word of the prompt decides: one request says the stop string, its mate never does.
        logits = {**follow("a", "b", "c"), "c": {"c": 10.0}, "<s>": {"d": 10.0}, "d": {"d": 10.0}}
        adapter = chain(logits, pad=pad, template="{{ messages[-1]['content'] + ' ' }}")
        requests = [make_request(text, f"{text}/0", max_tokens=9, stop=("b",)) for text in ("assistant", "<s>")]
        replies = answers(adapter, requests)
        assert [(r.text, r.tokens_out, r.finish_reason) for r in replies] == [
            ("a", 2, "stop"),
            ("d d d d d d d d d", 9, "length"),
        ]

    def test_a_model_without_any_special_token_still_answers(self, word_tokenizer, chain_model, make_request, answers):
        tokenizer = word_tokenizer(["a", "b", "assistant", "user"], "{{ 'user assistant' }}")
        tokenizer.bos_token = None
        adapter = HfAdapter(
            Model(chain_model(tokenizer, follow("a", "b", "a")), Chat(tokenizer, 64), None, Memory()), 2
        )
        replies = answers(adapter, [make_request("x", f"d{n}/0", max_tokens=3) for n in range(2)])
        assert [(reply.text, reply.error) for reply in replies] == [("a b a", "")] * 2


class TestBatches:
    def test_requests_that_decode_differently_never_share_their_settings(self, chain, make_request, answers):
        adapter = chain({**follow("a", "b"), "b": {"c": 0.0, "d": 0.0}, "c": {"a": 9.0}, "d": {"a": 9.0}})
        requests = [
            make_request("go", "a/0", max_tokens=2),
            make_request("go", "b/0", max_tokens=1),
            make_request("go", "c/0", max_tokens=8, stop=("b",)),
            *(make_request("go", f"s{n:02d}/0", max_tokens=3, temperature=1.0, seed=n) for n in range(16)),
        ]
        texts = [reply.text for reply in answers(adapter, requests)]
        assert texts[:3] == ["a b", "a", "a"]
        assert set(texts[3:]) == {"a b c", "a b d"}

    def test_an_impossible_prompt_fails_alone(self, chain, make_request, answers):
        adapter = chain(follow("a", "<end>"))
        texts = ["go", "go " * 600, "go"]
        replies = answers(adapter, [make_request(text, f"d{n}/0") for n, text in enumerate(texts)])
        assert [reply.text for reply in replies] == ["a", "", "a"]
        assert [bool(reply.error) for reply in replies] == [False, True, False]
        assert "window of 512" in replies[1].error

    def test_a_prompt_that_the_template_refuses_fails_alone(self, chain, make_request, answers):
        adapter = chain(follow("a", "<end>"))
        refuse = "{% if 'bad' in messages[-1]['content'] %}{{ raise_exception('no bad words') }}{% endif %}"
        adapter._model.chat.tokenizer.chat_template = refuse + adapter._model.chat.tokenizer.chat_template
        replies = answers(adapter, [make_request(text, f"{text}/0") for text in ("go", "bad", "hm")])
        assert [reply.text for reply in replies] == ["a", "", "a"]
        assert "no bad words" in replies[1].error

    def test_a_request_given_up_sinks_none_of_its_mates(self, chain, make_request, monkeypatch):
        adapter = chain(follow("a", "<end>"), batch_size=2)
        busy, go_on, generate = threading.Event(), threading.Event(), adapter._model.network.generate

        def slow(**given):
            busy.set()
            go_on.wait(20)
            return generate(**given)

        monkeypatch.setattr(adapter._model.network, "generate", slow)

        async def main():
            async with asyncio.timeout(20):
                tasks = [asyncio.create_task(adapter.generate(make_request("go", f"d{n}/0"))) for n in range(5)]
                await asyncio.to_thread(busy.wait, 20)
                tasks[0].cancel()  # in the batch at work
                tasks[3].cancel()  # not yet in one
                await asyncio.sleep(0)
                go_on.set()
                return await asyncio.gather(*tasks, return_exceptions=True)

        outcomes = asyncio.run(main())
        assert [isinstance(each, asyncio.CancelledError) for each in outcomes] == [True, False, False, True, False]
        assert [outcomes[n].text for n in (1, 2, 4)] == ["a"] * 3


class TestMemory:
    def test_a_batch_too_large_for_memory_is_halved_and_answered_in_order(
        self, lively_model, load_hf, make_request, answers, monkeypatch
    ):
        import torch

        adapter = load_hf(lively_model("llama"), batch_size=8, reuse=False).adapter
        requests = [make_request(text, f"d{n}/0") for n, text in enumerate(TEXTS)]
        expected = [reply.text for reply in answers(adapter, requests)]
        sizes, generate = [], adapter._model.network.generate

        def short_of_memory(**given):
            sizes.append(len(given["input_ids"]))
            if sizes[-1] > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return generate(**given)

        monkeypatch.setattr(adapter._model.network, "generate", short_of_memory)
        assert [reply.text for reply in answers(adapter, requests)] == expected
        assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1], "the smaller batch is kept: no later one fails again"

    def test_one_request_too_large_for_memory_fails_alone(self, chain, make_request, answers, monkeypatch):
        import torch

        adapter = chain(follow("a", "<end>"))
        generate = adapter._model.network.generate

        def short_of_memory(**given):
            if given["input_ids"].shape[1] > 20:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return generate(**given)

        monkeypatch.setattr(adapter._model.network, "generate", short_of_memory)
        texts = ["go", "go " * 40, "go go"]
        replies = answers(adapter, [make_request(text, f"d{n}/0") for n, text in enumerate(texts)])
        assert [reply.text for reply in replies] == ["a", "", "a"]
        assert replies[1].error.startswith("out of memory on one request")

    def test_another_failure_of_the_model_reaches_each_asker(self, chain, make_request, monkeypatch):
        adapter = chain(follow("a"))
        monkeypatch.setattr(adapter._model.network, "generate", None)

        async def main():
            asked = (adapter.generate(make_request("go", f"d{n}/0")) for n in range(3))
            return await asyncio.gather(*asked, return_exceptions=True)

        assert [type(error) for error in asyncio.run(main())] == [TypeError] * 3
