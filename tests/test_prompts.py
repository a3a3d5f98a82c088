"""Prompt files: how turns become messages, and the errors for a file that cannot be used."""

import hashlib
from pathlib import Path

import pytest

from cscbench.content.prompts import answer_message, ask_message, read_prompt, system_message, turn_words
from cscbench.content.shipped import content_root
from cscbench.values import CSC, ChatRole, Condition, Dialogue, Language, Message, Speaker, Step, Turn, UserError

SHIPPED = content_root() / "tasks" / "csconv" / "prompts"
GOOD = """\
system: "{% for s in strategies %}{{ s.number }} {% endfor %}{{ stages | length }}"
opening: (You speak first.)
steps:
  - step: joint
    user: "Customer: {{ customer }}"
    assistant: "[{{ strategy.en }}] {{ reply }}"
"""


def prompt_file(text: str, condition: str = "joint") -> Path:
    path = Path("task/prompts/default/en") / f"{condition}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(condition: Condition = Condition.JOINT, language: Language = Language.EN, prompt_set: str = "default"):
    return read_prompt(Path("task/prompts"), prompt_set, language, condition, CSC)


def ask(prompt, step: int, customer: str, code: str) -> Message:
    """What asks for a turn labelled `code` after the customer's words; at an opening where there are none."""
    turns = [Turn(Speaker.SUPPORTER, "said", code)]
    turns[:0] = [Turn(Speaker.CUSTOMER, customer)] if customer else []
    return ask_message(prompt, step, turn_words(prompt, Dialogue("d", tuple(turns), Language.EN), len(turns) - 1))


def refused(**changes) -> str:
    with pytest.raises(UserError) as caught:
        read(**changes)
    return str(caught.value)


def test_a_prompt_file_becomes_messages_with_its_name_and_hash():
    prompt_file(GOOD)
    prompt = read()
    assert (prompt.name, prompt.sha256) == ("task/default/en/joint", hashlib.sha256(GOOD.encode()).hexdigest())
    assert system_message(prompt) == Message(ChatRole.SYSTEM, "1 2 3 4 5 6 7 8 9 10 11 12 5")
    assert ask(prompt, 0, "My card!", "EM") == Message(ChatRole.USER, "Customer: My card!")
    assert ask(prompt, 0, "", "GT").content == "Customer: (You speak first.)"
    assert answer_message(prompt, 0, "EM", "I see.") == Message(ChatRole.ASSISTANT, "[Emotional Management] I see.")


@pytest.mark.parametrize(
    "words", ["{{ 7 * 7 }}", "{% raw %}", "<b>&</b>", "a\n\nb", '"', "[用户姓名]", "{# no #}", "\\n"]
)
def test_what_people_say_is_never_a_template_nor_escaped(words):
    prompt_file(GOOD)
    prompt = read()
    assert ask(prompt, 0, words, "GT").content == f"Customer: {words}"
    assert answer_message(prompt, 0, "GT", words).content == f"[Greeting] {words}"


@pytest.mark.parametrize("condition", Condition)
@pytest.mark.parametrize("language", Language)
def test_the_shipped_prompts_say_what_the_model_needs(language, condition):
    prompt = read_prompt(SHIPPED, "default", language, condition, CSC)
    steps = {
        Condition.JOINT: [Step.JOINT],
        Condition.TWO_STEP: [Step.STRATEGY, Step.REPLY],
        Condition.RANKED: [Step.STRATEGY, Step.REPLY],
        Condition.GOLD_STRATEGY: [Step.REPLY],
        Condition.REPLY_ONLY: [Step.REPLY],
    }
    assert [step.step for step in prompt.prompt.steps] == steps[condition] == list(condition.steps)
    system = system_message(prompt).content
    for strategy in CSC.strategies if condition.needs_labels else ():
        name, gloss = (strategy.zh, strategy.gloss_zh) if language is Language.ZH else (strategy.en, strategy.gloss_en)
        assert name in system
        assert gloss in system
    marker = "账单错了 bill 123"
    assert marker in ask(prompt, 0, marker, "EM").content
    last = len(prompt.prompt.steps) - 1
    assert answer_message(prompt, last, "EM", marker).content.endswith(marker)


@pytest.mark.parametrize(
    "condition", [condition for condition in Condition if condition is not Condition.GOLD_STRATEGY]
)
@pytest.mark.parametrize("language", Language)
def test_only_the_gold_strategy_condition_tells_the_reference(language, condition):
    """Nothing that asks may change with the label it asks for."""
    prompt = read_prompt(SHIPPED, "default", language, condition, CSC)
    for step in range(len(prompt.prompt.steps)):
        assert len({ask(prompt, step, "喂", s.code).content for s in CSC.strategies}) == 1
    given = read_prompt(SHIPPED, "default", language, Condition.GOLD_STRATEGY, CSC)
    assert len({ask(given, 0, "喂", s.code).content for s in CSC.strategies}) == 12


STEPS = GOOD.index("steps:")
BROKEN = [
    (GOOD.replace("steps:", "steps: ["), ":4: not valid YAML"),
    (GOOD + "extra: 1\n", ":7: field `extra`: Object contains unknown field `extra`"),
    (GOOD.replace("opening", "openning"), ":2: field `openning`: .*did you mean 'opening'"),
    (GOOD.replace("assistant:", "asistant:"), ":6: field `steps.0.asistant`: .*did you mean 'assistant'"),
    (GOOD.replace("step: joint", "step: both"), ":4: field `steps.0.step`: Invalid enum value 'both'"),
    (GOOD.replace("step: joint", "step: reply"), ":3: field `steps`: joint needs the steps joint"),
    (GOOD[:STEPS] + "steps: []\n", ":3: field `steps`: joint needs the steps joint"),
    (GOOD[:STEPS], ":1: Object missing required field `steps`"),
    (GOOD.replace("(You speak first.)", "7"), ":2: field `opening`: Expected `str`, got `int`"),
    (GOOD + '    user: "again"\n', ":7: duplicate key `user` .first in line 5."),
    (GOOD.replace("{{ customer }}", "{{ custommer }}"), "does not render: 'custommer' is undefined"),
    (GOOD.replace("{{ strategy.en }}", "{{ strategy.english }}"), "does not render: .*english"),
    (GOOD.replace("{{ customer }}", "{{ customer"), "does not render: "),
    (GOOD.replace("{% endfor %}", ""), "does not render: "),
    (GOOD.replace("(You speak first.)", '"{{ strategy.en }}"'), "does not render: .*strategy"),
    (GOOD.replace("{{ customer }}", "{{ 1 / 0 }}"), "does not render: division by zero"),
    (GOOD.replace("{{ customer }}", "{{ customer + 1 }}"), "does not render: "),
    (GOOD.replace("{{ customer }}", "{{ customer.__class__.__mro__ }}"), "does not render: .*unsafe"),
    (GOOD.replace("{{ customer }}", "{% include '/etc/passwd' %}"), "does not render: "),
]


@pytest.mark.parametrize(("text", "message"), BROKEN, ids=[row[1] for row in BROKEN])
def test_a_broken_prompt_file_is_refused_before_anything_is_asked(text, message):
    path = prompt_file(text)
    with pytest.raises(UserError, match=f"^{path}.*{message}"):
        read()


def test_a_prompt_set_language_or_condition_that_is_not_there_is_named():
    prompt_file(GOOD)
    Path("task/prompts/short").mkdir()
    assert "no prompt set 'shrt'; did you mean 'short'?" in refused(prompt_set="shrt")
    assert "no prompt set '..'" in refused(prompt_set="..")
    assert refused(language=Language.ZH) == "task/prompts/default/zh/joint.yaml: no such prompt"
    assert refused(condition=Condition.TWO_STEP) == "task/prompts/default/en/two-step.yaml: no such prompt"
