"""The allowed answers if a card asks for `guided` decoding."""

import re
from collections.abc import Mapping

from cscbench.content.prompts import NamedPrompt, answer_message, strategy_choices
from cscbench.values import Frozen, Step

# A placeholder for the reply that finds the text before it; no template writes it.
_REPLY = "\x00"
# re.escape would also escape spaces, about which the grammar parser warns.
_META = re.compile(r"[\\^$.|?*+()\[\]{}]")


class Guide(Frozen, frozen=True):
    """An answer must be one of `choice` or, if that is empty, match `regex` in full."""

    choice: tuple[str, ...] = ()
    regex: str = ""


def guides(prompt: NamedPrompt) -> Mapping[Step, Guide]:
    """Return the allowed answers for each step of a prompt that asks for a strategy.

    A strategy alone must be one of the names. For a strategy with a reply, the text before the reply is constrained.
    """
    allowed: dict[Step, Guide] = {}
    for index, step in enumerate(prompt.prompt.steps):
        if step.step is Step.STRATEGY:
            allowed[step.step] = Guide(choice=strategy_choices(prompt, index))
        elif step.step is Step.JOINT:
            allowed[step.step] = Guide(regex=_prefix_regex(prompt, index))
    return allowed


def _prefix_regex(prompt: NamedPrompt, step: int) -> str:
    answers = [answer_message(prompt, step, each.code, _REPLY).content for each in prompt.strategies.strategies]
    heads = dict.fromkeys(_META.sub(r"\\\g<0>", answer.partition(_REPLY)[0]) for answer in answers)
    return f"({'|'.join(heads)})(.|\\n)*"
