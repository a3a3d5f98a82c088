"""Plays: the messages of each request, for any dialogue and whatever the model writes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cscbench.asking.plays import Protocol, play, request_seed
from cscbench.content.prompts import NamedPrompt, Prompt, PromptStep
from cscbench.values import (
    CSC,
    ChatRole,
    Condition,
    Context,
    Dialogue,
    Language,
    Message,
    ParseForm,
    Reply,
    Sampling,
    Speaker,
    Step,
    Turn,
)

# Shapes that cannot be mistaken for one another: `<` asks, `>` answers.
STEPS = {
    "joint": (PromptStep(Step.JOINT, "<{{ customer }}", ">[{{ strategy.en }}] {{ reply }}"),),
    "two-step": (
        PromptStep(Step.STRATEGY, "<{{ customer }} (which?)", ">{{ strategy.en }}"),
        PromptStep(Step.REPLY, "<(now write)", ">{{ reply }}"),
    ),
    "gold-strategy": (PromptStep(Step.REPLY, "<{{ customer }} (under {{ strategy.en }})", ">{{ reply }}"),),
}
ENGLISH = {strategy.code: strategy.en for strategy in CSC.strategies}

words = st.text(min_size=1, max_size=12).map(str.strip).filter(bool)
codes = st.sampled_from([strategy.code for strategy in CSC.strategies])
# What models say: labelled, labelled in other shapes, nothing readable, nothing at all.
sayings = st.one_of(
    st.builds("[{}] {}".format, st.sampled_from(list(ENGLISH.values())), words),
    st.builds("{}".format, st.sampled_from(list(ENGLISH.values()))),
    words,
    st.just(""),
)


@st.composite
def dialogues(draw) -> Dialogue:
    first = draw(st.sampled_from([Speaker.SUPPORTER, Speaker.CUSTOMER]))
    other = Speaker.CUSTOMER if first is Speaker.SUPPORTER else Speaker.SUPPORTER
    turns = []
    for number in range(draw(st.integers(2, 9))):
        speaker = (first, other)[number % 2]
        # The number keeps every gold line unlike every other one.
        text = f"g{number} {draw(words)}"
        turns.append(Turn(speaker, text, draw(codes) if speaker is Speaker.SUPPORTER else None))
    return Dialogue("d", tuple(turns), Language.EN)


def prompt_of(condition: str) -> NamedPrompt:
    return NamedPrompt(
        f"test/{condition}", "0" * 64, Prompt("You help.", "(first)", STEPS[condition]), CSC, Condition(condition)
    )


def walk(dialogue, condition, context, answer):
    """Every request of a play, and its predictions; `answer` makes a `Reply` of a request."""
    going = play(dialogue, prompt_of(condition), Protocol(context, Sampling(seed=3)))
    asked = []
    request = next(going)
    while True:
        asked.append(request)
        try:
            request = going.send(answer(request))
        except StopIteration as done:
            return asked, done.value.turns


def gold_history(dialogue, upto, condition):
    """The messages before turn `upto` as they must stand in gold context, spelt out without the product's code."""
    user, assistant = ChatRole.USER, ChatRole.ASSISTANT
    messages = [Message(ChatRole.SYSTEM, "You help.")]
    customer_text = "(first)"
    for turn in dialogue.turns[:upto]:
        if turn.speaker is Speaker.CUSTOMER:
            customer_text = turn.text
            continue
        name = ENGLISH[turn.strategy]
        messages += {
            "joint": [Message(user, f"<{customer_text}"), Message(assistant, f">[{name}] {turn.text}")],
            "two-step": [
                Message(user, f"<{customer_text} (which?)"),
                Message(assistant, f">{name}"),
                Message(user, "<(now write)"),
                Message(assistant, f">{turn.text}"),
            ],
            "gold-strategy": [Message(user, f"<{customer_text} (under {name})"), Message(assistant, f">{turn.text}")],
        }[condition]
        customer_text = "(first)"
    return messages


def heard_before(dialogue, turn):
    return dialogue.turns[turn - 1].text if turn else "(first)"


@pytest.mark.parametrize("condition", list(STEPS))
@given(dialogue=dialogues(), data=st.data())
def test_gold_context_shows_the_gold_history_whatever_the_model_says(condition, dialogue, data):
    asked, predictions = walk(dialogue, condition, Context.GOLD, lambda _: Reply(data.draw(sayings)))
    supporters = [n for n, turn in enumerate(dialogue.turns) if turn.speaker is Speaker.SUPPORTER]
    assert [p.turn for p in predictions] == supporters
    assert [r.turn for r in asked] == [n for n in supporters for _ in STEPS[condition]]
    for request in asked:
        history = gold_history(dialogue, request.turn, condition)
        assert list(request.messages[: len(history)]) == history
        ask = request.messages[len(history)]
        assert ask.content.startswith(f"<{heard_before(dialogue, request.turn)}")
        # After the history stand only this turn's own messages: the ask, and in the second step what the model said.
        assert len(request.messages) - len(history) == (3 if request.step is Step.REPLY and "two" in condition else 1)


@given(dialogue=dialogues(), data=st.data())
def test_generated_context_shows_the_models_own_turns_and_gold_customers(dialogue, data):
    said = []

    def answer(_request):
        code, text = data.draw(codes), f"own{len(said)} {data.draw(words)}"
        said.append((ENGLISH[code], text))
        return Reply(f"[{ENGLISH[code]}] {text}")

    asked, predictions = walk(dialogue, "joint", Context.GENERATED, answer)
    expected = [Message(ChatRole.SYSTEM, "You help.")]
    for number, request in enumerate(asked):
        expected.append(Message(ChatRole.USER, f"<{heard_before(dialogue, request.turn)}"))
        assert list(request.messages) == expected
        name, text = said[number]
        expected.append(Message(ChatRole.ASSISTANT, f">[{name}] {text}"))
    assert [(ENGLISH[p.strategy], p.text) for p in predictions] == said


@pytest.mark.parametrize("context", list(Context))
@pytest.mark.parametrize("condition", list(STEPS))
@given(dialogue=dialogues(), data=st.data())
def test_each_request_extends_the_last_one(condition, context, dialogue, data):
    asked, _ = walk(dialogue, condition, context, lambda _: Reply(data.draw(sayings)))
    for before, after in pairwise(asked):
        shared = before.messages
        if context is Context.GOLD and after.turn != before.turn and condition == "two-step":
            # The model's own strategy, between the two asks of a turn, gives way to the gold one.
            shared = shared[:-2]
        assert after.messages[: len(shared)] == shared
        assert len(after.messages) > len(before.messages)


@pytest.mark.parametrize("context", list(Context))
def test_the_second_step_carries_the_models_own_strategy(context):
    dialogue = Dialogue("d", (Turn(Speaker.SUPPORTER, "gold", "GT"),), Language.EN)
    answers = iter([Reply("Problem Refinement"), Reply("Which order?")])
    asked, predictions = walk(dialogue, "two-step", context, lambda _: next(answers))
    assert [m.content for m in asked[1].messages[1:]] == ["<(first) (which?)", ">Problem Refinement", "<(now write)"]
    assert (predictions[0].strategy, predictions[0].text) == ("PR", "Which order?")


def test_an_unreadable_strategy_stays_in_the_history_in_the_models_words():
    dialogue = Dialogue("d", (Turn(Speaker.SUPPORTER, "gold", "GT"),), Language.EN)
    answers = iter([Reply("no idea, sorry"), Reply("Hello.")])
    asked, predictions = walk(dialogue, "two-step", Context.GENERATED, lambda _: next(answers))
    assert asked[1].messages[2] == Message(ChatRole.ASSISTANT, "no idea, sorry")
    assert (predictions[0].strategy, predictions[0].form, predictions[0].text) == (None, ParseForm.UNPARSED, "Hello.")


@given(dialogue=dialogues())
def test_gold_strategy_names_the_gold_strategy_in_the_ask(dialogue):
    asked, _ = walk(dialogue, "gold-strategy", Context.GENERATED, lambda _: Reply("Certainly."))
    for request in asked:
        name = ENGLISH[dialogue.turns[request.turn].strategy]
        assert request.messages[-1].content.endswith(f"(under {name})")


@given(dialogue=dialogues(), fatal=st.integers(0, 4))
def test_after_an_error_in_generated_context_later_turns_fail_unasked(dialogue, fatal):
    def answer(request):
        asked_turns.append(request.turn)
        return Reply("", error="broke") if len(asked_turns) == fatal + 1 else Reply("[Greeting] hi")

    asked_turns: list[int] = []
    asked, predictions = walk(dialogue, "joint", Context.GENERATED, answer)
    supporters = [n for n, turn in enumerate(dialogue.turns) if turn.speaker is Speaker.SUPPORTER]
    assert [p.turn for p in predictions] == supporters
    assert [r.turn for r in asked] == supporters[: fatal + 1]
    forms = [p.form for p in predictions]
    failed = max(len(supporters) - fatal, 0)
    assert forms == [ParseForm.BRACKET] * (len(supporters) - failed) + [ParseForm.FAILED] * failed
    assert all(f"turn {supporters[fatal]}" in p.error for p in predictions[fatal + 1 :])


@given(dialogue=dialogues(), fatal=st.integers(0, 4))
def test_an_error_in_gold_context_loses_its_own_turn_alone(dialogue, fatal):
    count = iter(range(100))
    _, predictions = walk(
        dialogue,
        "joint",
        Context.GOLD,
        lambda _: Reply("", error="broke") if next(count) == fatal else Reply("[Greeting] hi"),
    )
    wanted = [ParseForm.FAILED if n == fatal else ParseForm.BRACKET for n in range(len(predictions))]
    assert [p.form for p in predictions] == wanted


def test_a_failed_first_step_leaves_the_second_unasked():
    dialogue = Dialogue("d", (Turn(Speaker.SUPPORTER, "gold", "GT"),), Language.EN)
    asked, predictions = walk(dialogue, "two-step", Context.GOLD, lambda _: Reply("", error="broke"))
    assert [r.step for r in asked] == [Step.STRATEGY]
    assert (predictions[0].form, predictions[0].error) == (ParseForm.FAILED, "broke")


@given(dialogue=dialogues())
def test_every_request_has_an_id_and_a_seed_of_its_own(dialogue):
    asked, _ = walk(dialogue, "two-step", Context.GOLD, lambda _: Reply("Greeting"))
    assert len({r.id for r in asked}) == len(asked)
    assert len({r.sampling.seed for r in asked}) == len(asked)
    assert all(r.sampling.seed == request_seed(3, r.id) != request_seed(4, r.id) for r in asked)
