"""A play's requests: seeds that stay the same, choices where strategies are ranked, and gold answers to each."""

import hashlib

import pytest

from cscbench.asking.plays import Protocol, play, play_gold, request_seed
from cscbench.content.prompts import NamedPrompt, Prompt, PromptStep
from cscbench.values import CSC, Condition, Context, Dialogue, Language, Reply, Sampling, Speaker, Step, Turn

LABELLED = PromptStep(Step.JOINT, "<{{ customer }}", ">[{{ strategy.en }}] {{ reply }}")
TWO = (PromptStep(Step.STRATEGY, "<which?", ">{{ strategy.en }}"), PromptStep(Step.REPLY, "<write", ">{{ reply }}"))
STEPS = {
    Condition.JOINT: (LABELLED,),
    Condition.TWO_STEP: TWO,
    Condition.RANKED: TWO,
    Condition.REPLY_ONLY: (PromptStep(Step.REPLY, "<{{ customer }}", ">{{ reply }}"),),
}
DIALOGUE = Dialogue(
    "d",
    (
        Turn(Speaker.SUPPORTER, "Hello.", "GT"),
        Turn(Speaker.CUSTOMER, "Where is it?"),
        Turn(Speaker.SUPPORTER, "On its way.", "ID"),
    ),
    Language.EN,
)


def prompt(condition: Condition) -> NamedPrompt:
    return NamedPrompt("p", "0" * 64, Prompt("You help.", "(first)", STEPS[condition]), CSC, condition)


def requests(condition, answers, context=Context.GENERATED):
    """The requests of a play whose replies are these texts."""
    made = play(DIALOGUE, prompt(condition), Protocol(context, Sampling(seed=3)))
    asked = [next(made)]
    for text in answers:
        try:
            asked.append(made.send(Reply(text)))
        except StopIteration:
            break
    return asked


@pytest.mark.parametrize("seed", [0, 7, -1])
def test_a_seed_is_thirty_one_bits_of_the_hash_of_seed_and_request(seed):
    for name in ("d/0/joint", "对话/12/reply"):
        head = hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()[:8]
        assert request_seed(seed, name) == int(head, 16) // 2 < 2**31


@pytest.mark.parametrize(
    ("condition", "ranked"), [(Condition.RANKED, [True, False]), (Condition.TWO_STEP, [False, False])]
)
def test_only_the_strategy_of_a_ranked_run_has_choices(condition, ranked):
    asked = requests(condition, ["Greeting", "Hi"])[:2]
    assert [request.step for request in asked] == [Step.STRATEGY, Step.REPLY]
    assert [bool(request.choices) for request in asked] == ranked
    if ranked[0]:
        assert len(asked[0].choices) == len(CSC.strategies)


def test_gold_answers_come_with_their_requests_in_the_shape_of_the_history():
    assert [(request.id, answer) for request, answer in play_gold(DIALOGUE, prompt(Condition.TWO_STEP))] == [
        ("d/0/strategy", ">Greeting"),
        ("d/0/reply", ">Hello."),
        ("d/2/strategy", ">Information Delivery"),
        ("d/2/reply", ">On its way."),
    ]


def test_gold_answers_need_no_label_where_none_is_shown():
    bare = Dialogue("d", tuple(Turn(turn.speaker, turn.text) for turn in DIALOGUE.turns), Language.EN)
    answers = [answer for _, answer in play_gold(bare, prompt(Condition.REPLY_ONLY))]
    assert answers == [">Hello.", ">On its way."]


@pytest.mark.parametrize(
    ("reply", "history"),
    [
        ("[Greeting] Hi", ">[Greeting] Hi"),
        ("<think>what now?</think> good words ", "good words"),
        ("<think>nothing but thought</think>", "<think>nothing but thought</think>"),
        ('{"strategy": "Chat", "reply": "Hi"}', "Hi"),
    ],
)
def test_the_history_has_what_the_model_said_without_its_reasoning(reply, history):
    _, second = requests(Condition.JOINT, [reply])
    assert [message.content for message in second.messages][2] == history


def test_gold_history_shows_the_reference_whatever_the_model_says():
    _, second = requests(Condition.JOINT, ["[Others] no"], Context.GOLD)
    assert [message.content for message in second.messages][2] == ">[Greeting] Hello."
