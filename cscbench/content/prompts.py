"""Prompts: files in a task's folder, and how a dialogue's turns become chat messages.

A prompt file, `prompts/<set>/<language>/<condition>.yaml`, has `system`, `opening` (stands for the customer's line when
the supporter speaks first) and `steps`: for each request of a turn, the `user` message that asks and the `assistant`
message that the answer is. Earlier turns are shown in just these shapes, so the next turn's messages extend the last
turn's, and prefix caches hit.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cscbench.content import yaml_file
from cscbench.values import (
    ChatRole,
    Condition,
    Dialogue,
    Frozen,
    Language,
    Message,
    Speaker,
    Step,
    StrategySet,
    Turn,
    UserError,
    by_code,
)

if TYPE_CHECKING:
    from jinja2 import Template


# What a template knows, by name.
Words = Mapping[str, object]


class PromptStep(Frozen, frozen=True):
    """One request of a turn: `user` knows the words of `turn_words`, `assistant` knows `reply` and `strategy`."""

    step: Step
    user: str
    assistant: str


class Prompt(Frozen, frozen=True):
    """The text of one prompt file."""

    system: str
    opening: str
    steps: tuple[PromptStep, ...]


class NamedPrompt(Frozen, frozen=True):
    """A prompt with the name and hash that signatures carry; its templates were tried when it was read."""

    name: str
    sha256: str
    prompt: Prompt
    strategies: StrategySet
    condition: Condition


@cache
def _compiled(template: str) -> "Template":
    from cscbench.content.templates import compiled

    return compiled(template)


def render(template: str, words: Mapping[str, object], where: str) -> str:
    """A template with its words filled in, plain text, without blanks around it.

    Raises:
        UserError: it does not render with these words, or takes too much; `where` names the template.
    """
    try:
        text = _compiled(template).render(words).strip()
        text.encode()  # half a character, which a template can spell, cannot be asked or stored
        return text
    except Exception as error:  # templates compute: besides jinja's errors there are those of what they compute
        raise UserError(f"{where}: a template does not render: {error}") from None


def _render(prompt: NamedPrompt, field: str, template: str, words: Words) -> str:
    """A template of a prompt with its words, and those that all of its templates know."""
    strategies = prompt.strategies
    known = {"customer": "", "reply": "", "strategies": strategies.strategies, "stages": strategies.stages}
    return render(template, {**known, **words}, f"{prompt.name}: field `{field}`")


def read_prompt(
    root: Path, prompt_set: str, language: Language, condition: Condition, strategies: StrategySet
) -> NamedPrompt:
    """The prompt file of a set, language and condition, below a task's `prompts` folder.

    Raises:
        UserError: no such set or file, broken YAML, the wrong steps, or a template that does not render.
    """
    if prompt_set not in (known := [p.name for p in sorted(root.iterdir()) if p.is_dir()]):
        raise UserError(f"{root}: no prompt set {prompt_set!r}{yaml_file.did_you_mean(prompt_set, known)}")
    file = condition.prompt_file
    path = root / prompt_set / language / f"{file}.yaml"
    text = yaml_file.read_text(path, "prompt")
    data, lines = yaml_file.parse(path, text)
    prompt = yaml_file.convert(path, data, lines, Prompt)
    if tuple(step.step for step in prompt.steps) != condition.steps:
        wanted = ", ".join(condition.steps)
        raise UserError(f"{path}:{lines[('steps',)]}: field `steps`: {condition} needs the steps {wanted}")
    name = f"{root.parent.name}/{prompt_set}/{language}/{file}"
    named = NamedPrompt(name, hashlib.sha256(text.encode()).hexdigest(), prompt, strategies, condition)
    _try(path, lines, named, language)
    return named


def _try(path: Path, lines: yaml_file.Lines, prompt: NamedPrompt, language: Language) -> None:
    """Render each template, after a customer's line and at an opening; an error names its line in the file."""

    def at(*keys: str) -> NamedPrompt:
        return msgspec.structs.replace(prompt, name=f"{path}:{lines[keys]}")

    code = prompt.strategies.strategies[0].code
    customer, supporter = Turn(Speaker.CUSTOMER, "text"), Turn(Speaker.SUPPORTER, "text", code)
    dialogue = Dialogue("sample", (supporter, customer, supporter), language)
    system_message(at("system"))
    words = [turn_words(at("opening"), dialogue, turn) for turn in (0, 2)]
    for step in range(len(prompt.prompt.steps)):
        for known in words:
            ask_message(at("steps", str(step), "user"), step, known)
        answer_message(at("steps", str(step), "assistant"), step, code, "text")


def customer_line(dialogue: Dialogue, turn: int) -> str:
    """What the customer said just before a turn; empty where the supporter speaks first."""
    before = dialogue.turns[turn - 1] if turn else None
    return before.text if before is not None and before.speaker is Speaker.CUSTOMER else ""


def turn_words(prompt: NamedPrompt, dialogue: Dialogue, turn: int) -> Words:
    """What the templates that ask for a turn know: `customer`, and `strategy` where the condition gives it.

    A new word for templates is added here, and nowhere else.
    """
    opening = _render(prompt, "opening", prompt.prompt.opening, {})
    words: dict[str, object] = {"customer": customer_line(dialogue, turn) or opening}
    if prompt.condition.gives_strategy:
        words["strategy"] = by_code(dialogue.turns[turn].strategy or "", prompt.strategies)
    return words


def system_message(prompt: NamedPrompt) -> Message:
    """What stands at the head of every request of a dialogue."""
    return Message(ChatRole.SYSTEM, _render(prompt, "system", prompt.prompt.system, {}))


def ask_message(prompt: NamedPrompt, step: int, words: Words) -> Message:
    """The message that asks for step number `step` of a turn."""
    text = _render(prompt, f"steps.{step}.user", prompt.prompt.steps[step].user, words)
    return Message(ChatRole.USER, text)


def answer_message(prompt: NamedPrompt, step: int, strategy: str, reply: str) -> Message:
    """A turn's answer to step number `step`, in the shape in which the history shows it; `strategy` may be empty."""
    words: Words = {"reply": reply} | ({"strategy": by_code(strategy, prompt.strategies)} if strategy else {})
    text = _render(prompt, f"steps.{step}.assistant", prompt.prompt.steps[step].assistant, words)
    return Message(ChatRole.ASSISTANT, text)


def strategy_choices(prompt: NamedPrompt, step: int) -> tuple[str, ...]:
    """What a right answer to step number `step`, one that asks for a strategy alone, can be: one text a strategy."""
    return tuple(answer_message(prompt, step, one.code, "").content for one in prompt.strategies.strategies)
