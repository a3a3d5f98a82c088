"""Baselines: the ceiling, the best constant, and the nearest neighbour, which never sees the dialogue under test."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscbench.asking.plays import Protocol, play
from cscbench.content.tasks import find_task
from cscbench.models.backend import LoadContext, find_backend
from cscbench.values import Condition, Context, Dialogue, Language, ModelCard, Sampling, Speaker, Turn, UserError

ZH, EN = Language.ZH, Language.EN


def dialogue(name, *lines, language=EN, strategy="GT"):
    """A dialogue that the customer opens; a supporter's line may start with its strategy: `IV: which order?`."""
    turns = []
    for number, line in enumerate(lines):
        code, _, text = line.rpartition(": ")
        supporter = number % 2
        turns.append(Turn(Speaker.SUPPORTER, text, code or strategy) if supporter else Turn(Speaker.CUSTOMER, line))
    return Dialogue(name, tuple(turns), language)


def opened(name, first, *lines, **options):
    """A dialogue that the supporter opens."""
    rest = dialogue(name, *lines, **options)
    return Dialogue(name, (Turn(Speaker.SUPPORTER, first, "GT"), *rest.turns), rest.language)


class Prediction(NamedTuple):
    """A baseline's parsed answer to a turn."""

    dialogue: str
    strategy: str | None
    text: str


def predictions(kind, test, train=(), condition=Condition.JOINT, context=Context.GOLD):
    """A baseline's predictions for all supporter turns, through the plays and the parser of a run."""
    task = find_task("csconv_sample")
    prompts = {language: task.prompt("default", language, condition) for language in Language}
    loaded = find_backend(kind).load(LoadContext(ModelCard(kind, kind), prompts, tuple(test), tuple(train)))

    async def answer_all():
        predicted = []
        for each in test:
            playing = play(each, prompts[each.language], Protocol(context, Sampling()))
            request = next(playing)
            try:
                while True:
                    request = playing.send(await loaded.adapter.generate(request))
            except StopIteration as done:
                predicted += [Prediction(each.id, turn.strategy, turn.text) for turn in done.value.turns]
        return predicted

    return asyncio.run(answer_all())


def texts(kind, test, train=(), **options):
    return [prediction.text for prediction in predictions(kind, test, train, **options)]


def gold_turns(dialogues):
    return [turn for each in dialogues for turn in each.turns if turn.speaker is Speaker.SUPPORTER]


class TestGold:
    @pytest.mark.parametrize("context", Context)
    @pytest.mark.parametrize("condition", Condition)
    def test_it_answers_every_turn_with_the_reference(self, condition, context):
        test = find_task("csconv_sample").load(None).test
        predicted = predictions("gold", test, condition=condition, context=context)
        reference = gold_turns(test)
        assert [prediction.text for prediction in predicted] == [turn.text for turn in reference]
        if condition.predicts_strategy:
            assert [prediction.strategy for prediction in predicted] == [turn.strategy for turn in reference]


class TestMajority:
    @pytest.mark.parametrize("condition", [Condition.JOINT, Condition.TWO_STEP])
    def test_its_accuracy_is_the_largest_classs_share(self, condition):
        data = find_task("csconv_sample").load(None)
        predicted = predictions("majority", data.test, data.train, condition=condition)
        reference = [turn.strategy for turn in gold_turns(data.test)]
        hits = sum(prediction.strategy == gold for prediction, gold in zip(predicted, reference, strict=True))
        assert hits == max(Counter(reference).values())
        assert len({prediction.strategy for prediction in predicted}) == 1

    def test_the_commands_accuracy_is_that_share_too(self, cscbench):
        done = cscbench("run", "--model", "majority", "--language", "en", "--encoder", "none", "--limit", "6")
        assert done.returncode == 0, done.stderr
        results = json.loads(next(Path("reports").glob("*/results.json")).read_text(encoding="utf-8"))
        english = [each for each in find_task("csconv_sample").load(None).test if each.language is EN][:6]
        classes = Counter(turn.strategy for turn in gold_turns(english))
        (accuracy,) = (m["value"] for m in results["metrics"] if m["name"] == "strategy_accuracy")
        assert accuracy == pytest.approx(100 * max(classes.values()) / classes.total(), abs=1e-9)
        assert any("read from their labels" in note for note in results["notes"])

    def test_with_a_given_strategy_it_still_answers_every_turn(self):
        data = find_task("csconv_sample").load(None)
        predicted = predictions("majority", data.test, data.train, condition=Condition.GOLD_STRATEGY)
        assert len(predicted) == len(gold_turns(data.test))
        assert all(prediction.text for prediction in predicted)

    def test_its_text_is_the_most_common_training_reply_in_the_dialogues_language(self):
        test = [dialogue("t", "hi", "GT: x", "so", "GT: y"), dialogue("u", "喂", "GT: z", language=ZH)]
        train = [
            dialogue("a", "hi", "GT: one", "hm", "GT: two", "ok", "GT: two"),
            dialogue("b", "喂", "GT: 您好", "嗯", "IV: 订单号", "好", "IV: 订单号", language=ZH),
        ]
        assert texts("majority", test, train) == ["two", "two", "您好"]
        assert texts("majority", test) == ["x", "x", "z"]


class TestRetrieval:
    def test_a_question_heard_before_gets_the_answer_given_then(self):
        test = [dialogue("t", "where is my parcel?", "GT: gold")]
        train = [
            dialogue("a", "I want a refund", "RP: no"),
            dialogue("b", "where is my parcel?", "IV: your order number?"),
        ]
        (prediction,) = predictions("retrieval", test, train)
        assert (prediction.strategy, prediction.text) == ("IV", "your order number?")

    @pytest.mark.parametrize("condition", Condition)
    def test_every_condition_gets_the_same_words(self, condition):
        test = [dialogue("t", "where is my parcel?", "GT: gold")]
        train = [dialogue("b", "where is my parcel?", "IV: your order number?")]
        assert texts("retrieval", test, train, condition=condition) == ["your order number?"]

    def test_without_training_dialogues_the_other_tested_ones_answer(self):
        test = [dialogue("a", "refund please", "GT: from a"), dialogue("b", "refund, please!", "GT: from b")]
        assert texts("retrieval", test) == ["from b", "from a"]

    def test_a_copy_of_the_tested_dialogue_under_another_id_never_answers(self):
        lines = ("refund please", "GT: the very reply")
        elsewhere = dialogue("c", "something else", "GT: from elsewhere")
        assert texts("retrieval", [dialogue("a", *lines)], [dialogue("b", *lines), elsewhere]) == ["from elsewhere"]
        assert (
            texts("retrieval", [dialogue("a", *lines), dialogue("b", *lines), elsewhere])[:2] == ["from elsewhere"] * 2
        )

    def test_another_dialogue_of_the_same_id_does_answer(self):
        # Files without ids number their records: 00000 of the training part is not 00000 of the test part.
        test, train = (
            dialogue("00000", "refund please", "GT: gold"),
            dialogue("00000", "refund please", "GT: from training"),
        )
        assert texts("retrieval", [test], [train, dialogue("00001", "hm", "GT: far")]) == ["from training"]

    def test_its_own_language_beats_a_perfect_match_in_another(self):
        test = [dialogue("t", "OK", "GT: gold", language=ZH)]
        train = [dialogue("a", "OK", "GT: great"), dialogue("b", "我要退款", "GT: 好的", language=ZH)]
        assert texts("retrieval", test, train) == ["好的"]
        assert texts("retrieval", test, train[:1]) == ["great"]

    def test_the_first_of_equals_answers(self):
        test = [dialogue("t", "refund please", "GT: gold")]
        equals = [dialogue(name, "refund please", f"GT: {name}") for name in "abc"]
        assert texts("retrieval", test, equals) == ["a"]
        assert texts("retrieval", test, equals[::-1]) == ["c"]

    def test_an_opening_is_answered_from_an_opening(self):
        test = [opened("t", "gold", "hi", "GT: gold")]
        train = [dialogue("a", "hello", "GT: not an opening"), opened("b", "Welcome!", "hm", "GT: later")]
        assert texts("retrieval", test, train)[0] == "Welcome!"
        assert len(texts("retrieval", test, train[:1])) == 2, "without an opening, some other line answers"

    def test_alone_it_says_what_is_missing(self):
        with pytest.raises(UserError, match="no other dialogue to answer from: raise --limit, or use more dialogues"):
            texts("retrieval", [dialogue("a", "hi", "GT: hello")])

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(Language), st.lists(st.sampled_from(["hi", "退款", "ok"]), min_size=1, max_size=3)
            ),
            min_size=2,
            max_size=6,
        )
    )
    def test_it_answers_from_another_dialogue_and_from_its_language_where_there_is_one(self, drawn):
        pool = [
            dialogue(
                str(n),
                *(line for question in questions for line in (question, f"GT: {n}-{language}")),
                language=language,
            )
            for n, (language, questions) in enumerate(drawn)
        ]
        for prediction in predictions("retrieval", pool):
            source, _, language = prediction.text.partition("-")
            tested = pool[int(prediction.dialogue)]
            assert source != prediction.dialogue
            assert language == tested.language or [each.language for each in pool].count(tested.language) == 1


@pytest.mark.parametrize("field", ["weights", "lora"])
@pytest.mark.parametrize("kind", ["gold", "majority", "retrieval"])
def test_a_baseline_with_weights_is_a_mistake(kind, field):
    with pytest.raises(UserError, match=f"the {kind} adapter does not accept `{field}`: remove it"):
        find_backend(kind).fingerprint(ModelCard("mine", kind, **{field: "/somewhere"}))
