"""What an answer must look like where a card asks for `guided` decoding."""

import re
from collections.abc import Mapping

from cscbench.content.prompts import NamedPrompt, answer_message, strategy_choices
from cscbench.values import Frozen, Step

# Stands for a reply while the text before it is found out; no template writes it.
_REPLY = "\x00"
# re.escape would escape blanks too, of which the grammar's own reader warns.
_META = re.compile(r"[\\^$.|?*+()\[\]{}]")


class Guide(Frozen, frozen=True):
    """An answer is one of `choice`, or, where there is none, matches `regex` from its first letter to its last."""

    choice: tuple[str, ...] = ()
    regex: str = ""


def guides(prompt: NamedPrompt) -> Mapping[Step, Guide]:
    """For each step of a prompt that asks for a strategy, what answers are allowed.

    A strategy alone is one of their names. Of a strategy with a reply, the beginning is held, up to the reply.
    """
    found: dict[Step, Guide] = {}
    for number, step in enumerate(prompt.prompt.steps):
        if step.step is Step.STRATEGY:
            found[step.step] = Guide(choice=strategy_choices(prompt, number))
        elif step.step is Step.JOINT:
            found[step.step] = Guide(regex=_begins(prompt, number))
    return found


def _begins(prompt: NamedPrompt, step: int) -> str:
    shapes = [answer_message(prompt, step, one.code, _REPLY).content for one in prompt.strategies.strategies]
    heads = dict.fromkeys(_META.sub(r"\\\g<0>", shape.partition(_REPLY)[0]) for shape in shapes)
    return f"({'|'.join(heads)})(.|\\n)*"
