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

from cscbench.content import yaml_file as yamlfile
from cscbench.values.asking import ChatRole, Message
from cscbench.values.condition import Condition, Step
from cscbench.values.dialogue import Language
from cscbench.values.errors import UserError
from cscbench.values.frozen import Frozen
from cscbench.values.strategies import StrategySet, by_code

if TYPE_CHECKING:
    from jinja2 import Template


class PromptStep(Frozen, frozen=True):
    """One request of a turn: `user` knows `customer` (and `strategy`, where it is given), `assistant` knows `reply`
    and `strategy`, a `Strategy`.
    """

    step: Step
    user: str
    assistant: str


class Prompt(Frozen, frozen=True):
    """The text of one prompt file."""

    system: str
    opening: str
    steps: tuple[PromptStep, ...]


class NamedPrompt(Frozen, frozen=True):
    """A prompt with the name and hash that signatures carry; its templates were tried when it was read.

    `ranked`: its strategy step is answered by the likeliest of `strategy_choices`.
    """

    name: str
    sha256: str
    prompt: Prompt
    strategies: StrategySet
    ranked: bool = False


_STEPS = {
    Condition.JOINT: (Step.JOINT,),
    Condition.TWO_STEP: (Step.STRATEGY, Step.REPLY),
    Condition.RANKED: (Step.STRATEGY, Step.REPLY),
    Condition.GOLD_STRATEGY: (Step.REPLY,),
}


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


def _render(prompt: NamedPrompt, field: str, template: str, customer: str = "", code: str = "", reply: str = "") -> str:
    strategies = prompt.strategies
    known = {"strategy": by_code(code, strategies)} if code else {}
    words = {"customer": customer, "reply": reply, "strategies": strategies.strategies, "stages": strategies.stages}
    return render(template, {**words, **known}, f"{prompt.name}: field `{field}`")


def read_prompt(
    root: Path, prompt_set: str, language: Language, condition: Condition, strategies: StrategySet
) -> NamedPrompt:
    """The prompt file of a set, language and condition, below a task's `prompts` folder.

    Raises:
        UserError: no such set or file, broken YAML, the wrong steps, or a template that does not render.
    """
    if prompt_set not in (known := [p.name for p in sorted(root.iterdir()) if p.is_dir()]):
        raise UserError(f"{root}: no prompt set {prompt_set!r}{yamlfile.did_you_mean(prompt_set, known)}")
    # Ranked asks in the words of two-step, so that the two compare.
    file = Condition.TWO_STEP if condition is Condition.RANKED else condition
    path = root / prompt_set / language / f"{file}.yaml"
    text = yamlfile.read_text(path, "prompt")
    data, lines = yamlfile.parse(path, text)
    prompt = yamlfile.convert(path, data, lines, Prompt)
    steps = tuple(step.step for step in prompt.steps)
    if steps != _STEPS[condition]:
        wanted = ", ".join(_STEPS[condition])
        raise UserError(f"{path}:{lines[('steps',)]}: field `steps`: {condition} needs the steps {wanted}")
    named = NamedPrompt(
        f"{root.parent.name}/{prompt_set}/{language}/{file}",
        hashlib.sha256(text.encode()).hexdigest(),
        prompt,
        strategies,
        condition is Condition.RANKED,
    )
    _try(path, lines, named)
    return named


def _try(path: Path, lines: yamlfile.Lines, prompt: NamedPrompt) -> None:
    """Render each template; an error names its line in the file."""

    def at(*keys: str) -> NamedPrompt:
        return msgspec.structs.replace(prompt, name=f"{path}:{lines[keys]}")

    code = prompt.strategies.strategies[0].code
    system_message(at("system"))
    _opening(at("opening"))
    for step in range(len(prompt.prompt.steps)):
        ask_message(at("steps", str(step), "user"), step, "text", code)
        ask_message(at("steps", str(step), "user"), step, "", code)
        answer_message(at("steps", str(step), "assistant"), step, code, "text")


def system_message(prompt: NamedPrompt) -> Message:
    """What stands at the head of every request of a dialogue."""
    return Message(ChatRole.SYSTEM, _render(prompt, "system", prompt.prompt.system))


def _opening(prompt: NamedPrompt) -> str:
    return _render(prompt, "opening", prompt.prompt.opening)


def ask_message(prompt: NamedPrompt, step: int, customer: str, gold_strategy: str) -> Message:
    """The message that asks for step number `step` of a turn, after the customer's line (empty when there is none).

    Its template knows the reference strategy only where no step asks for a strategy: else it would tell the answer.
    """
    heard = customer or _opening(prompt)
    code = gold_strategy if all(one.step is Step.REPLY for one in prompt.prompt.steps) else ""
    template = prompt.prompt.steps[step].user
    return Message(ChatRole.USER, _render(prompt, f"steps.{step}.user", template, heard, code))


def answer_message(prompt: NamedPrompt, step: int, strategy: str, reply: str) -> Message:
    """A turn's answer to step number `step`, in the shape in which the history shows it."""
    template = prompt.prompt.steps[step].assistant
    text = _render(prompt, f"steps.{step}.assistant", template, code=strategy, reply=reply)
    return Message(ChatRole.ASSISTANT, text)


def strategy_choices(prompt: NamedPrompt, step: int) -> tuple[str, ...]:
    """What a right answer to step number `step`, one that asks for a strategy alone, can be: one text a strategy."""
    return tuple(answer_message(prompt, step, one.code, "").content for one in prompt.strategies.strategies)
