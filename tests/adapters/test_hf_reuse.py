"""Cached states of earlier requests are reused and change no answer."""

import asyncio
import math
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cscbench.asking.plays import Protocol, play, play_turns
from cscbench.content.tasks import find_task
from cscbench.models.backend import LoadContext
from cscbench.models.chat import Chat
from cscbench.models.hf import HF
from cscbench.models.hf.cache import PrefixCache, Snapshot, shared_prefixes
from cscbench.models.hf.size import fit_batch, state_bytes
from cscbench.values import Condition, Context, ModelCard, Sampling

LIMIT = 1 << 30


def played(adapter, dialogues, prompts, context, sampling):
    """Every (request, reply) of some dialogues, all in flight at once, as a run plays them."""
    log = []
    plays = [
        playing
        for each in dialogues
        for playing in (
            play_turns(each, prompts[each.language], sampling)
            if context is Context.GOLD
            else [play(each, prompts[each.language], Protocol(context, sampling))]
        )
    ]

    async def drive(playing):
        request = next(playing)
        while True:
            reply = await adapter.generate(request)
            log.append((request, reply))
            try:
                request = playing.send(reply)
            except StopIteration:
                return

    async def main():
        await asyncio.gather(*map(drive, plays))

    asyncio.run(main())
    return sorted(log, key=lambda pair: pair[0].id)


@pytest.fixture(scope="module")
def dialogues():
    """Two short ones in each language, cut to four supporter turns."""
    import msgspec

    test = find_task("csconv_sample").load(None).test
    chosen = [d for d in test if d.language == "zh"][:2] + [d for d in test if d.language == "en"][:2]
    return [msgspec.structs.replace(d, turns=d.turns[: 8 - n]) for n, d in enumerate(chosen)]


@pytest.fixture(scope="module")
def prompts():
    """The sample task's prompts by condition and language."""
    task = find_task("csconv_sample")
    return {
        condition: {language: task.prompt("default", language, condition) for language in ("zh", "en")}
        for condition in Condition
    }


def unique_tokens(rows):
    """The number of nodes in the trie of all prompts: what a perfect cache would compute."""
    return len({row[: n + 1] for row in rows for n in range(len(row))})


class TestSameAnswers:
    @pytest.mark.parametrize(
        ("kind", "context", "condition", "sampling"),
        [
            ("llama", Context.GOLD, Condition.JOINT, Sampling(max_tokens=6)),
            pytest.param(
                "llama", Context.GENERATED, Condition.TWO_STEP, Sampling(max_tokens=6), marks=pytest.mark.slow
            ),
            pytest.param("gpt2", Context.GENERATED, Condition.JOINT, Sampling(max_tokens=6), marks=pytest.mark.slow),
            ("gpt2", Context.GENERATED, Condition.JOINT, Sampling(max_tokens=6, temperature=1.0, top_p=0.9)),
            ("llama", Context.GENERATED, Condition.RANKED, Sampling(max_tokens=6)),
        ],
    )
    def test_with_and_without_reuse(
        self, kind, context, condition, sampling, lively_model, load_hf, dialogues, prompts
    ):
        # Without reuse each of the twelve choices reads its whole prompt.
        dialogues = dialogues[3:] if condition is Condition.RANKED else dialogues
        logs = {}
        for reuse in (True, False):
            adapter = load_hf(lively_model(kind), batch_size=3, reuse=reuse, context_length=4096).adapter
            logs[reuse] = played(adapter, dialogues, prompts[condition], context, sampling)
        assert [(asked.id, reply.text) for asked, reply in logs[True]] == [
            (asked.id, reply.text) for asked, reply in logs[False]
        ]
        assert len({reply.text for _, reply in logs[True]}) > 3, "a dull model proves nothing"
        for (_, with_reuse), (_, without) in zip(logs[True], logs[False], strict=True):
            assert with_reuse.choice_logprobs == pytest.approx(without.choice_logprobs, abs=1e-4)
            assert with_reuse.tokens_in == without.tokens_in
            assert without.tokens_reused == 0

    @pytest.mark.parametrize("condition", [Condition.JOINT, Condition.TWO_STEP, Condition.RANKED])
    def test_each_token_is_computed_once(self, condition, lively_model, load_hf, dialogues, prompts):
        adapter = load_hf(lively_model("llama"), batch_size=3, context_length=4096).adapter
        log = played(adapter, dialogues, prompts[condition], Context.GOLD, Sampling(max_tokens=6))
        chat = adapter._model.chat
        asked = [chat.encode(request.messages, 6).ids for request, _ in log]
        computed = sum(reply.tokens_in - reply.tokens_reused for _, reply in log)
        # A prompt's last token is always computed, for the next one's logits; and a few shared ones are worth no pass.
        assert unique_tokens(asked) <= computed <= 1.05 * unique_tokens(asked)
        assert sum(reply.tokens_in for _, reply in log) > 3 * computed

    def test_a_cache_too_small_for_anything_changes_no_answer(self, lively_model, load_hf, dialogues, prompts):
        folder, sampling = lively_model("gpt2"), Sampling(max_tokens=6)
        roomy, tight = (load_hf(folder, batch_size=2, context_length=4096).adapter for _ in range(2))
        tight._model.prefixes._limit = 1
        logs = [
            played(adapter, dialogues, prompts[Condition.JOINT], Context.GENERATED, sampling)
            for adapter in (roomy, tight)
        ]
        assert [reply.text for _, reply in logs[0]] == [reply.text for _, reply in logs[1]]
        assert len(tight._model.prefixes._snapshots) == 1


class TestRanking:
    @pytest.mark.slow
    def test_scores_are_mean_log_probabilities_of_the_choices_tokens(self, lively_model, load_hf, dialogues, prompts):
        import torch
        from transformers import AutoModelForCausalLM

        folder = lively_model("llama")
        adapter = load_hf(folder, batch_size=3, context_length=4096).adapter
        model = AutoModelForCausalLM.from_pretrained(folder)
        log = played(adapter, dialogues[:1], prompts[Condition.RANKED], Context.GOLD, Sampling(max_tokens=4))
        ranked = [(asked, reply) for asked, reply in log if asked.choices]
        assert len(ranked) >= 3
        for asked, reply in ranked[1:2]:  # its prompt is known but for a turn
            encoded = adapter._model.chat.choice_ids(asked.messages, asked.choices, 4)
            for choice, score in zip(encoded.choices, reply.choice_logprobs, strict=True):
                ids = [*encoded.ids, *choice]
                with torch.inference_mode():
                    logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
                each = [float(logprobs[n - 1, ids[n]]) for n in range(len(encoded.ids), len(ids))]
                assert score == pytest.approx(math.fsum(each) / len(each), abs=1e-4)
            assert asked.choices[int(np.argmax(reply.choice_logprobs))] == reply.text

    def test_the_run_records_a_strategy_for_every_turn(self, cscbench, tiny_card, tmp_path):
        done = cscbench("run", "--model", tiny_card, "--condition", "ranked", "--limit", "2", "--encoder", "none")
        assert done.returncode == 0, done.stderr
        assert "parse_rate" in done.stdout
        again = cscbench("run", "--model", tiny_card, "--condition", "ranked", "--limit", "2", "--encoder", "none")
        assert again.stdout == done.stdout


class TestOtherModels:
    def test_a_model_with_sliding_windows_reuses_nothing_and_says_so(
        self, lively_model, load_hf, dialogues, prompts, tmp_path
    ):
        import json

        folder = tmp_path / "sliding"
        shutil.copytree(lively_model("llama"), folder)
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 64}
        (folder / "config.json").write_text(json.dumps(config))
        loaded = load_hf(folder, batch_size=2, context_length=4096)
        assert loaded.engine_facts["reuse"] == "off"
        assert any("no states are reused" in note for note in loaded.notes)
        log = played(loaded.adapter, dialogues[:2], prompts[Condition.JOINT], Context.GOLD, Sampling(max_tokens=4))
        assert {reply.error for _, reply in log} == {""}
        assert {reply.tokens_reused for _, reply in log} == {0}


def snapshot(ids):
    import torch

    return Snapshot(np.array(ids), ((torch.zeros(1, len(ids), 4), torch.zeros(1, len(ids), 4)),))


ids = st.lists(st.integers(0, 2), min_size=1, max_size=12)


class TestPrefixCache:
    @given(kept=st.lists(st.tuples(st.sampled_from("abc"), ids), max_size=8), asked=ids)
    def test_the_longest_known_prefix_is_found_with_one_token_left(self, kept, asked):
        cache, last = PrefixCache(LIMIT), {}
        for key, stored in kept:
            cache.put(key, snapshot(stored))
            last[key] = stored
        match, held = cache.find(np.array(asked))
        lengths = [
            next((n for n, (a, b) in enumerate(zip(row, asked, strict=False)) if a != b), min(len(row), len(asked)))
            for row in last.values()
        ]
        assert held == min(max(lengths, default=0), len(asked) - 1)
        assert (match is None) == (held == 0)
        if match is not None:
            assert match.ids[:held].tolist() == asked[:held]

    @given(kept=st.lists(st.tuples(st.sampled_from("abcdef"), ids), min_size=1, max_size=12), limit=st.integers(1, 800))
    def test_memory_is_bounded_and_the_newest_stays(self, kept, limit):
        cache = PrefixCache(limit)
        for key, stored in kept:
            cache.put(key, snapshot(stored))
            assert cache._held_bytes == sum(each.nbytes for each in cache._snapshots.values())
            assert cache._held_bytes <= max(limit, snapshot(stored).nbytes)
            assert key in cache._snapshots

    def test_what_was_used_last_outlives_what_was_kept_last(self):
        cache = PrefixCache(2 * snapshot([0] * 8).nbytes)
        cache.put("a", snapshot([0] * 8))
        cache.put("b", snapshot([1] * 8))
        cache.find(np.array([0, 0, 0]))
        cache.put("c", snapshot([2] * 8))
        assert list(cache._snapshots) == ["a", "c"]


def test_of_prompts_that_begin_alike_the_longest_is_read_first():
    head, zh, en = [7] * 20, [1] * 20, [2] * 20
    whole = ([*head, *zh, 3], [*head, *zh, 4, 4, 4], [*head, *en, 3, 3], [*head, *en, 4], [9])
    prompts = [np.array(row) for row in whole]
    prefixes = [prefix.tolist() for prefix in shared_prefixes(prompts, [0] * 5)]
    assert prefixes == [[*head, *zh, 4, 4], [*head, *en, 3]], "the head is computed with the first"
    assert shared_prefixes(prompts, [40] * 5) == [], "what a cache has is not computed again"
    assert shared_prefixes([np.array([1, 2, 3]), np.array([1, 2, 4])], [0, 0]) == [], (
        "a few tokens are not worth a pass"
    )


class TestBatchSize:
    @pytest.mark.parametrize(("free", "expected"), [(1 << 40, 16), (0, 1)])
    def test_it_is_found_from_free_memory(self, free, expected, lively_model, load_hf, dialogues, prompts, monkeypatch):
        model = load_hf(lively_model("llama"), batch_size=1).adapter._model
        monkeypatch.setattr("cscbench.models.hf.size.free_bytes", lambda _device: free)
        sizes = fit_batch(model.network, model.chat, dialogues, prompts[Condition.JOINT], 6)
        assert sizes.batch_size == expected

    def test_longer_dialogues_and_less_memory_make_it_smaller(
        self, lively_model, load_hf, dialogues, prompts, monkeypatch
    ):
        model = load_hf(lively_model("llama"), batch_size=1).adapter._model
        chat = Chat(model.chat.tokenizer, 1 << 20)
        # Two layers of two states, 2 heads of size 12 in float32.
        assert state_bytes(model.network) == 2 * model.network.config.num_hidden_layers * (
            model.network.config.num_key_value_heads * model.network.config.head_dim * 4
        )
        sizes = []
        for free, new in ((1 << 30, 6), (1 << 29, 6), (1 << 29, 100_000)):
            monkeypatch.setattr("cscbench.models.hf.size.free_bytes", lambda _device, free=free: free)
            sizes.append(fit_batch(model.network, chat, dialogues, prompts[Condition.JOINT], new))
        assert sizes[0].kept_bytes == pytest.approx(2 * sizes[1].kept_bytes, abs=1)
        assert sizes[0].batch_size >= sizes[1].batch_size > sizes[2].batch_size

    def test_a_resumed_run_keeps_the_batches_it_began_with(self, lively_model):
        card = ModelCard("small", "hf", weights=str(lively_model("llama")), options={"dtype": "float32"})
        fresh = HF.load(LoadContext(card, {})).engine_facts["batch_size"]
        again = HF.load(LoadContext(card, {}, recorded_facts={"batch_size": "3"})).engine_facts["batch_size"]
        assert (int(fresh) & (int(fresh) - 1), again) == (0, "3")
