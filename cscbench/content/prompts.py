"""Prompts: files in a task's folder, and how a dialogue's turns become chat messages.

A prompt file, `prompts/<set>/<language>/<condition>.yaml`, has `system`, `opening` (replaces the customer's line when
the supporter speaks first) and `steps`: for each request of a turn, the `user` message that asks and the `assistant`
message that answers. Earlier turns are shown in the same form, so that each turn's messages extend those of the turn
before, and prefix caches hit.
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


# The variables of a template, by name.
Words = Mapping[str, object]


class PromptStep(Frozen, frozen=True):
    """One request of a turn. `user` can use the words of `turn_words`; `assistant` can use `reply` and `strategy`."""

    step: Step
    user: str
    assistant: str


class Prompt(Frozen, frozen=True):
    """The text of one prompt file."""

    system: str
    opening: str
    steps: tuple[PromptStep, ...]


class NamedPrompt(Frozen, frozen=True):
    """A prompt with the name and hash that signatures include; its templates were test-rendered when it was read."""

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
    """Render a template with its words to plain text, stripped of surrounding whitespace.

    Raises:
        UserError: the template fails to render with these words, or exceeds a limit; `where` names the template.
    """
    try:
        text = _compiled(template).render(words).strip()
        text.encode()  # a template can spell half a character, which cannot be sent or stored
        return text
    except Exception as error:  # templates run code, which can raise more than jinja's errors
        raise UserError(f"{where}: a template does not render: {error}") from None


def _render(prompt: NamedPrompt, field: str, template: str, words: Words) -> str:
    """Render a prompt's template with its words and with those common to all templates."""
    strategies = prompt.strategies
    common = {"customer": "", "reply": "", "strategies": strategies.strategies, "stages": strategies.stages}
    return render(template, {**common, **words}, f"{prompt.name}: field `{field}`")


def read_prompt(
    root: Path, prompt_set: str, language: Language, condition: Condition, strategies: StrategySet
) -> NamedPrompt:
    """Read the prompt file of a set, language and condition from a task's `prompts` folder.

    Raises:
        UserError: the set or file does not exist, the YAML is invalid, the steps are wrong, or a template fails to
            render.
    """
    if prompt_set not in (known := [p.name for p in sorted(root.iterdir()) if p.is_dir()]):
        raise UserError(f"{root}: no prompt set {prompt_set!r}{yaml_file.did_you_mean(prompt_set, known)}")
    file = condition.prompt_file
    path = root / prompt_set / language / f"{file}.yaml"
    text = yaml_file.read_text(path, "prompt")
    data, lines = yaml_file.parse(path, text)
    prompt = yaml_file.to_struct(path, data, lines, Prompt)
    if tuple(step.step for step in prompt.steps) != condition.steps:
        expected = ", ".join(condition.steps)
        raise UserError(f"{path}:{lines[('steps',)]}: field `steps`: {condition} needs the steps {expected}")
    name = f"{root.parent.name}/{prompt_set}/{language}/{file}"
    named = NamedPrompt(name, hashlib.sha256(text.encode()).hexdigest(), prompt, strategies, condition)
    _test_render(path, lines, named, language)
    return named


def _test_render(path: Path, lines: yaml_file.Lines, prompt: NamedPrompt, language: Language) -> None:
    """Test-render each template, after a customer's line and at an opening; an error gives its line in the file."""

    def at(*keys: str) -> NamedPrompt:
        return msgspec.structs.replace(prompt, name=f"{path}:{lines[keys]}")

    code = prompt.strategies.strategies[0].code
    customer, supporter = Turn(Speaker.CUSTOMER, "text"), Turn(Speaker.SUPPORTER, "text", code)
    dialogue = Dialogue("sample", (supporter, customer, supporter), language)
    system_message(at("system"))
    samples = [turn_words(at("opening"), dialogue, turn) for turn in (0, 2)]
    for step in range(len(prompt.prompt.steps)):
        for words in samples:
            ask_message(at("steps", str(step), "user"), step, words)
        answer_message(at("steps", str(step), "assistant"), step, code, "text")


def customer_line(dialogue: Dialogue, turn: int) -> str:
    """Return the customer's line just before a turn; empty if the supporter speaks first."""
    before = dialogue.turns[turn - 1] if turn else None
    return before.text if before is not None and before.speaker is Speaker.CUSTOMER else ""


def turn_words(prompt: NamedPrompt, dialogue: Dialogue, turn: int) -> Words:
    """Return the words for the templates that ask for a turn: `customer`, and `strategy` if the condition gives it.

    To add a word for templates, change only this function.
    """
    opening = _render(prompt, "opening", prompt.prompt.opening, {})
    words: dict[str, object] = {"customer": customer_line(dialogue, turn) or opening}
    if prompt.condition.gives_strategy:
        words["strategy"] = by_code(dialogue.turns[turn].strategy or "", prompt.strategies)
    return words


def system_message(prompt: NamedPrompt) -> Message:
    """Return the first message of every request of a dialogue."""
    return Message(ChatRole.SYSTEM, _render(prompt, "system", prompt.prompt.system, {}))


def ask_message(prompt: NamedPrompt, step: int, words: Words) -> Message:
    """Return the message that asks for step number `step` of a turn."""
    text = _render(prompt, f"steps.{step}.user", prompt.prompt.steps[step].user, words)
    return Message(ChatRole.USER, text)


def answer_message(prompt: NamedPrompt, step: int, strategy: str, reply: str) -> Message:
    """Return a turn's answer to step number `step`, in the form that the history shows; `strategy` may be empty."""
    words: Words = {"reply": reply} | ({"strategy": by_code(strategy, prompt.strategies)} if strategy else {})
    text = _render(prompt, f"steps.{step}.assistant", prompt.prompt.steps[step].assistant, words)
    return Message(ChatRole.ASSISTANT, text)


def strategy_choices(prompt: NamedPrompt, step: int) -> tuple[str, ...]:
    """Return the possible answers to step number `step`, which asks only for a strategy: one text per strategy."""
    strategies = prompt.strategies.strategies
    return tuple(answer_message(prompt, step, strategy.code, "").content for strategy in strategies)
