"""What models write, and what is read out of it."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cscbench.asking.parse import Parsed, parse
from cscbench.content.prompts import answer_message
from cscbench.content.shipped import content_root
from cscbench.content.tasks import find_task
from cscbench.values import CSC, Condition, Language, ParseForm, Step

PROMPT_FILES = sorted(content_root().glob("tasks/*/prompts/*/*/*.yaml"))
CODES = [s.code for s in CSC.strategies]
TRICKY = [
    "- 一",
    "：好",
    "—— 您好",
    "* a\n* b",
    "[用户姓名]您好",
    "(1) open the app",
    "```\nls\n``` done",
    '{"strategy": "PS", "reply": "x"}',
    "Greeting: hi",
    "策略7 信息传达：好",
    "1",
    "+",
    "\\n",
    "{{ reply }}",
    "{% if %}",
    "<b>&amp;</b>",
    "a\r\nb",
    "#",
    "“好”",
    "x```y```",
]
_THINKING = ("<think", "</think", "<reasoning", "</reasoning")


def _said(text: str) -> str:
    return text.strip()


# Reasoning tags are a model's, never a supporter's: a reply that quotes one is outside the promise.
replies = (
    (st.text(min_size=1, max_size=120) | st.sampled_from(TRICKY))
    .map(_said)
    .filter(lambda text: text and not any(tag in text.casefold() for tag in _THINKING))
)


def _prompts():
    prompts = []
    for path in PROMPT_FILES:
        task, _, prompt_set, language, condition = path.relative_to(content_root() / "tasks").with_suffix("").parts
        prompts.append(find_task(task).prompt(prompt_set, Language(language), Condition(condition)))
    return prompts


def test_the_shipped_prompts_cover_both_languages_and_all_conditions():
    files = set(Condition) - {Condition.RANKED}  # which asks in the words of two-step
    wanted = {f"csconv/default/{language}/{condition}" for language in Language for condition in files}
    assert wanted <= {prompt.name for prompt in _prompts()}


@pytest.mark.parametrize("prompt", _prompts(), ids=lambda prompt: prompt.name)
@settings(deadline=None)
@given(code=st.sampled_from(CODES), reply=replies)
@example(code="GT", reply="[Greeting] hi")
@example(code="OT", reply="其它：好")
def test_the_answer_a_prompt_asks_for_reads_back_as_it_was(prompt, code, reply):
    for number, step in enumerate(prompt.prompt.steps):
        read = parse(answer_message(prompt, number, code, reply).content, step.step, CSC)
        if step.step is Step.JOINT:
            assert (read.strategy, read.text) == (code, reply)
        elif step.step is Step.STRATEGY:
            assert (read.strategy, read.form) == (code, ParseForm.LABEL)
        elif parse(reply, Step.JOINT, CSC).form is ParseForm.UNPARSED and "{" not in reply:
            # Asked for a reply alone, a model that writes a label in front has it cut off: only such words change.
            assert (read.strategy, read.text, read.form) == (None, reply, ParseForm.GIVEN)


JOINT = [
    # JSON, plain and fenced
    ('{"strategy": "Greeting", "reply": "Hi"}', "GT", "Hi", ParseForm.JSON),
    ('{"strategy": "策略7 信息传达", "response": "三天。"}', "ID", "三天。", ParseForm.JSON),
    ('{"策略": "情感管理", "回复": "理解您。"}', "EM", "理解您。", ParseForm.JSON),
    ('{"Support_Strategy": 4, "Utterance": "Which?"}', "PR", "Which?", ParseForm.JSON),
    ('```json\n{"strategy": "AC",\n "reply": "Bye\\n{now}"}\n```', "AC", "Bye\n{now}", ParseForm.JSON),
    ('Sure! Here it is:\n```\n{"strategy": "AC", "reply": "Bye"}\n```\nHope it helps.', "AC", "Bye", ParseForm.JSON),
    ('{"reason": "x", "strategy": "EM", "reply": "I see", "score": 3}', "EM", "I see", ParseForm.JSON),
    ('{"strategy": "GT", "reply": "line\nbreak"}', "GT", "line\nbreak", ParseForm.JSON),
    ("{'strategy': 'GT', 'reply': 'Hi'}", "GT", "Hi", ParseForm.JSON),
    ("｛“策略”：“礼貌问候”，“回复”：“您好”｝", "GT", "您好", ParseForm.JSON),
    # cut off by the token limit
    ('{"strategy": "GT", "reply": "Hello, this is', "GT", "Hello, this is", ParseForm.JSON),
    # brackets
    ("[Greeting] Hi", "GT", "Hi", ParseForm.BRACKET),
    ("[礼貌问候]您好", "GT", "您好", ParseForm.BRACKET),
    ("【策略7 信息传达】：三天。", "ID", "三天。", ParseForm.BRACKET),
    ("（情感管理）理解您。", "EM", "理解您。", ParseForm.BRACKET),
    ("［Ｇreeting］ Hi", "GT", "Hi", ParseForm.BRACKET),
    ("**[Greeting]** Hi", "GT", "Hi", ParseForm.BRACKET),
    ("[Strategy: Greeting] Hi", "GT", "Hi", ParseForm.BRACKET),
    ("[策略7] 信息传达：三天。", "ID", "三天。", ParseForm.BRACKET),
    ("[Greeting (GT)] Hi", "GT", "Hi", ParseForm.BRACKET),
    ("[Greeting] [UserName], hi", "GT", "[UserName], hi", ParseForm.BRACKET),
    ("[信息传达] 密码: 六位", "ID", "密码: 六位", ParseForm.BRACKET),
    ("[Providing Suggestions]\n\n1. Open\n2. Tap", "PS", "1. Open\n2. Tap", ParseForm.BRACKET),
    ("```\n[Greeting] Hi\n```", "GT", "Hi", ParseForm.BRACKET),
    ("[礼貌问候+确认身份] 您好", "GT", "您好", ParseForm.BRACKET),  # a joined label counts as its first
    ('[Greeting] Say {"strategy": "PS", "reply": ""}', "GT", 'Say {"strategy": "PS", "reply": ""}', ParseForm.BRACKET),
    # a label and a colon, or a line of its own
    ("策略7 信息传达：三天。", "ID", "三天。", ParseForm.PREFIX),
    ("策略7信息传达: 三天。", "ID", "三天。", ParseForm.PREFIX),
    ("策略7：信息传达：三天。", "ID", "三天。", ParseForm.PREFIX),
    ("策略7：信息传达\n三天。", "ID", "三天。", ParseForm.PREFIX),
    ("策略7 信息传达 三天。", "ID", "三天。", ParseForm.PREFIX),
    ("信息传达：三天。", "ID", "三天。", ParseForm.PREFIX),
    ("Strategy 7: Information Delivery: three days.", "ID", "three days.", ParseForm.PREFIX),
    ("7. Information Delivery: three days.", "ID", "three days.", ParseForm.PREFIX),
    ("**Greeting**: Hi", "GT", "Hi", ParseForm.PREFIX),
    ("**Greeting:** *Hi*", "GT", "*Hi*", ParseForm.PREFIX),
    ("GT: Hi: there", "GT", "Hi: there", ParseForm.PREFIX),
    ("# Greeting\nHi", "GT", "Hi", ParseForm.PREFIX),
    ("Strategy: Greeting\n\nHi", "GT", "Hi", ParseForm.PREFIX),
    # named fields
    ("Strategy: Greeting\nReply: Hi", "GT", "Hi", ParseForm.FIELDS),
    ("**Strategy:** Greeting\n**Reply:** Hi", "GT", "Hi", ParseForm.FIELDS),
    ("Strategy: Greeting | Response: Hi", "GT", "Hi", ParseForm.FIELDS),
    ("策略：礼貌问候，回复：您好", "GT", "您好", ParseForm.FIELDS),
    ("支持策略：策略1：礼貌问候\n客服回复：您好\n请讲", "GT", "您好\n请讲", ParseForm.FIELDS),
    # reasoning
    ("<think>PS? No.\n[Others] no</think>\n[Greeting] Hi", "GT", "Hi", ParseForm.BRACKET),
    ("the template opened it</think>[Greeting] Hi", "GT", "Hi", ParseForm.BRACKET),
    ("<THINKING>a</THINKING>{\"strategy\": \"GT\", \"reply\": \"Hi\"}", "GT", "Hi", ParseForm.JSON),
    # a label and nothing else
    ("礼貌问候", "GT", "", ParseForm.LABEL),
    ("[Greeting]", "GT", "", ParseForm.LABEL),
    ("策略1：礼貌问候", "GT", "", ParseForm.LABEL),
    ("Strategy: Greeting.", "GT", "", ParseForm.LABEL),
    ("12", "OT", "", ParseForm.LABEL),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "reply", "form"), JOINT, ids=[row[0][:40] for row in JOINT])
def test_a_joint_answer_is_read_in_the_shapes_models_use(text, code, reply, form):
    assert parse(text, Step.JOINT, CSC) == Parsed(code, reply, form)


NO_LABEL = [
    "(1) Open the app. (2) Tap Settings.",
    "（1）打开应用",
    "1. Open the app: tap it",
    "1: Open",
    "1.\nOpen",
    "①：打开",
    "[2] Tap it",
    "# 1\nOpen",
    "[UserName], hello",
    "[用户姓名]您好：请讲",
    "[手机号码] 已登记",
    "Hello there",
    "Dear customer: hello",
    "您好：请讲",
    "[Chitchat] Nice day",
    "策略13 闲聊：您好",
    "策略7 礼貌问候：您好",
    "闲聊：您好",
    "The strategy is unclear",
    "{not json",
    "{}",
    "[]",
    "Use {braces} freely",
    "The word greeting is here",
    "Greeting cards: two",
    "感谢与告别晚会：八点",
]


@pytest.mark.parametrize("text", NO_LABEL)
def test_a_text_without_a_label_has_no_strategy_and_keeps_its_words(text):
    assert parse(text, Step.JOINT, CSC) == Parsed(None, text, ParseForm.UNPARSED)
    assert parse(text, Step.REPLY, CSC) == Parsed(None, text, ParseForm.GIVEN)


@pytest.mark.parametrize(
    "text",
    ['{"strategy": "Chitchat", "reply": "Hi"}', '```json\n{"reply": "Hi"}\n```', "Strategy: Chitchat\nReply: Hi"],
)
def test_where_only_the_label_is_unknown_the_reply_alone_is_kept(text):
    assert parse(text, Step.JOINT, CSC) == Parsed(None, "Hi", ParseForm.UNPARSED)


@pytest.mark.parametrize("text", ["", "  \n", "<think>only thoughts", "<think>a</think>"])
def test_no_words_are_no_answer(text):
    assert parse(text, Step.JOINT, CSC) == Parsed(None, "", ParseForm.UNPARSED)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("[Greeting] Hi", "Hi"), ("策略1 礼貌问候：您好", "您好"), ("<think>a</think>Hi", "Hi"), ("Hi", "Hi"),
        ('{"strategy": "GT", "reply": "Hi"}', "Hi"), ("Greeting", "Greeting"), ("Hi <think>and then", "Hi"),
    ],
)  # fmt: skip
def test_asked_for_a_reply_a_label_in_front_is_cut_off(text, reply):
    assert parse(text, Step.REPLY, CSC) == Parsed(None, reply, ParseForm.GIVEN)


@pytest.mark.parametrize(
    "text", ["Greeting", " 策略1 礼貌问候。", "1", "[GT] because they just came", '{"strategy": "GT"}']
)
def test_asked_for_a_strategy_the_label_may_stand_in_any_shape(text):
    assert parse(text, Step.STRATEGY, CSC).strategy == "GT"


PIECES = st.sampled_from(
    [
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        ":",
        "：",
        "\n",
        "```",
        "<think>",
        "</think>",
        "strategy",
        "策略",
        "7",
        "+",
        "(",
        ")",
        "，",
        "信息传达",
        "Greeting",
        "reply",
        "回复",
        "*",
        "_",
        " ",
        "\ud800",
        "\x00",
        "①",
        "hi",
    ]
)


@settings(deadline=None)
@given(st.text() | st.lists(PIECES, max_size=25).map("".join), st.sampled_from(Step))
@example('{"a":' * 50_000, Step.JOINT)
@example('{"strategy": ' + "1" * 5000 + "}", Step.JOINT)
def test_any_text_is_read_and_none_raises(text, step):
    read = parse(text, step, CSC)
    assert read.strategy is None or read.strategy in CODES
    assert (read.strategy is None) == (read.form in (ParseForm.UNPARSED, ParseForm.GIVEN))
    assert (read.form is ParseForm.GIVEN) == (step is Step.REPLY)
    assert read.text == read.text.strip()


@pytest.mark.parametrize(
    "unit", ["*", "_", " ", "\n", "#", "[", "策略", "1", "Strategy:", "<think>", "```", "{", '{"', "：", "("]
)
@pytest.mark.parametrize("head", ["", "Strategy:", "Strategy: Greeting ", "策略7", '{"strategy": "GT", "reply": "'])
def test_a_model_that_loops_on_one_mark_costs_no_time(head, unit):
    started = time.process_time()
    parse(head + unit * 6000 + "x", Step.JOINT, CSC)
    assert time.process_time() - started < 4  # linear: milliseconds; quadratic: minutes


@pytest.mark.parametrize(
    "text",
    [
        "<THINK>\nPS?\nNo.\n</THINK>\n[Greeting] Hi",
        "PS?\nNo.\n</Reasoning>\n[Greeting] Hi",
        "[Greeting] Hi\n<Thinking>\nand then\nwhat",
        "[Greeting] Hi<THINK>\nPS?\n</Think>",
        "{'STRATEGY': 'Greeting',\n'Reply': 'Hi",
    ],
)
def test_reasoning_and_keys_may_have_capitals_and_lines(text):
    assert parse(text, Step.JOINT, CSC) == Parsed(
        "GT", "Hi", ParseForm.JSON if text.startswith("{") else ParseForm.BRACKET
    )


def test_a_reply_of_several_lines_is_read_from_loose_json():
    assert parse("{'strategy': 'Greeting', 'reply': 'Hi\nthere'}", Step.JOINT, CSC).text == "Hi\nthere"


@pytest.mark.parametrize(("marks", "form"), [(52, ParseForm.LABEL), (53, ParseForm.UNPARSED)])
def test_a_bare_label_has_sixty_characters_at_most(marks, form):
    assert parse("Greeting" + "!" * marks, Step.STRATEGY, CSC).form is form
