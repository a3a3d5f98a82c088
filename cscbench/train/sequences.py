"""Dialogues to training sequences: the prompts of `cscbench run`, each followed by the reference's answer.

A dialogue's requests extend one another, so they make one sequence, in which every answer follows just the tokens that
a run sends to ask for it. Where a request does not extend the last one (it was cut to fit), another sequence begins.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from cscbench.asking.plays import play_gold
from cscbench.content.prompts import NamedPrompt
from cscbench.models.chat import Chat, EncodedAnswer, SeamError, WindowError
from cscbench.values import Dialogue, Frozen, Language, Message


class Example(Frozen, frozen=True):
    """One training sequence. `answers` are the stretches (start, end) of `ids` that the loss looks at."""

    ids: "array[int]"
    answers: tuple[tuple[int, int], ...]


class LeftOut(Frozen, frozen=True):
    """An answer that could not be placed: whose, and why."""

    dialogue: str
    turn: int
    reason: str


class SequenceCounts(Frozen, frozen=True):
    """What dialogues came to. `split` counts those that needed more than one sequence."""

    dialogues: int
    split: int
    sequences: int
    tokens: int
    answers: int
    answer_tokens: int
    left_out: int


class Material(Frozen, frozen=True):
    """The training sequences of some dialogues, in their order."""

    examples: tuple[Example, ...]
    counts: SequenceCounts
    left_out: tuple[LeftOut, ...]


class _Encoded(Frozen, frozen=True):
    examples: tuple[Example, ...]
    left_out: tuple[LeftOut, ...]


def material(
    dialogues: Sequence[Dialogue],
    prompts: Mapping[Language, NamedPrompt],
    chat: Chat,
    most: int,
    done: Callable[[], None],
) -> Material:
    """The sequences of dialogues, none longer than `most` tokens; `done` is called after each dialogue."""
    encoded = []
    for dialogue in dialogues:
        encoded.append(encode(dialogue, prompts[dialogue.language], chat, most))
        done()
    examples = tuple(example for one in encoded for example in one.examples)
    left_out = tuple(left for one in encoded for left in one.left_out)
    counts = SequenceCounts(
        dialogues=len(dialogues),
        split=sum(1 for one in encoded if len(one.examples) > 1),
        sequences=len(examples),
        tokens=sum(len(example.ids) for example in examples),
        answers=sum(len(example.answers) for example in examples),
        answer_tokens=sum(end - start for example in examples for start, end in example.answers),
        left_out=len(left_out),
    )
    return Material(examples, counts, left_out)


def encode(dialogue: Dialogue, prompt: NamedPrompt, chat: Chat, most: int) -> _Encoded:
    """A dialogue's sequences: one, unless it is longer than `most` tokens or its template rewrites the history."""
    from jinja2 import TemplateError

    examples: list[Example] = []
    left_out: list[LeftOut] = []
    ids: tuple[int, ...] = ()
    answers: tuple[tuple[int, int], ...] = ()
    dropped = 0
    for request, answer in play_gold(dialogue, prompt):
        try:
            placed = _place(chat, request.messages, answer, dropped, most)
        except WindowError:
            reason = f"answer, its question and the system message are more than {most} tokens"
            left_out.append(LeftOut(dialogue.id, request.turn, reason))
            continue
        except (SeamError, TemplateError) as error:
            left_out.append(LeftOut(dialogue.id, request.turn, str(error)))
            continue
        dropped = placed.dropped
        if placed.prompt[: len(ids)] != ids:
            examples.append(Example(array("i", ids), answers))
            answers = ()
        ids = placed.prompt + placed.answer
        answers = (*answers, (len(placed.prompt), len(ids)))
    if ids:
        examples.append(Example(array("i", ids), answers))
    return _Encoded(tuple(examples), tuple(left_out))


def _place(chat: Chat, messages: tuple[Message, ...], answer: str, dropped: int, most: int) -> EncodedAnswer:
    """Prompt and answer with `dropped` of the oldest messages left out; with more, where they would be too long.

    What is too long is cut to half of `most` if it can be, so that the turns to come extend it for a while.
    """
    head, rest = messages[:1], messages[1:]
    room = chat.window - most
    placed = chat.answered((*head, *rest[dropped:]), answer, room)
    if placed.dropped:
        with suppress(WindowError):
            placed = chat.answered((*head, *rest[dropped:]), answer, room + most // 2)
    return EncodedAnswer(placed.prompt, placed.answer, dropped + placed.dropped)
