"""Dialogues to training sequences: the prompts of `cscbench run`, each followed by the reference answer.

A dialogue's requests extend one another, so that they form one sequence, in which each answer follows exactly the
tokens that a run sends for it. If a request does not extend the last one (it was cut to fit), a new sequence starts.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from cscbench.asking.plays import play_gold
from cscbench.content.prompts import NamedPrompt
from cscbench.models.chat import Chat, EncodedAnswer, SeamError, WindowError
from cscbench.values import Dialogue, Frozen, Language, Message


class Example(Frozen, frozen=True):
    """One training sequence. `answers` are the spans (start, end) of `ids` that count in the loss."""

    ids: "array[int]"
    answers: tuple[tuple[int, int], ...]


class LeftOut(Frozen, frozen=True):
    """An answer that is not trained on, and why."""

    dialogue: str
    turn: int
    reason: str


class SequenceCounts(Frozen, frozen=True):
    """Counts of sequences. `split` is the number of dialogues that needed more than one sequence."""

    dialogues: int
    split: int
    sequences: int
    tokens: int
    answers: int
    answer_tokens: int
    left_out: int


class TrainingSequences(Frozen, frozen=True):
    """The training sequences of dialogues, in order."""

    examples: tuple[Example, ...]
    counts: SequenceCounts
    left_out: tuple[LeftOut, ...]


class _Encoded(Frozen, frozen=True):
    examples: tuple[Example, ...]
    left_out: tuple[LeftOut, ...]


def build_sequences(
    dialogues: Sequence[Dialogue],
    prompts: Mapping[Language, NamedPrompt],
    chat: Chat,
    max_tokens: int,
    done: Callable[[], None],
) -> TrainingSequences:
    """Build sequences of at most `max_tokens` tokens from dialogues; call `done` after each dialogue."""
    encoded = []
    for dialogue in dialogues:
        encoded.append(encode(dialogue, prompts[dialogue.language], chat, max_tokens))
        done()
    examples = tuple(example for each in encoded for example in each.examples)
    left_out = tuple(answer for each in encoded for answer in each.left_out)
    counts = SequenceCounts(
        dialogues=len(dialogues),
        split=sum(1 for each in encoded if len(each.examples) > 1),
        sequences=len(examples),
        tokens=sum(len(example.ids) for example in examples),
        answers=sum(len(example.answers) for example in examples),
        answer_tokens=sum(end - start for example in examples for start, end in example.answers),
        left_out=len(left_out),
    )
    return TrainingSequences(examples, counts, left_out)


def encode(dialogue: Dialogue, prompt: NamedPrompt, chat: Chat, max_tokens: int) -> _Encoded:
    """Encode a dialogue: one sequence, unless it exceeds `max_tokens` or the template rewrites the history."""
    from jinja2 import TemplateError

    examples: list[Example] = []
    left_out: list[LeftOut] = []
    ids: tuple[int, ...] = ()
    answers: tuple[tuple[int, int], ...] = ()
    dropped = 0
    for request, answer in play_gold(dialogue, prompt):
        try:
            encoded = _encode_answer(chat, request.messages, answer, dropped, max_tokens)
        except WindowError:
            reason = f"the answer, its question and the system message exceed {max_tokens} tokens"
            left_out.append(LeftOut(dialogue.id, request.turn, reason))
            continue
        except (SeamError, TemplateError) as error:
            left_out.append(LeftOut(dialogue.id, request.turn, str(error)))
            continue
        dropped = encoded.dropped
        if encoded.prompt[: len(ids)] != ids:
            examples.append(Example(array("i", ids), answers))
            answers = ()
        ids = encoded.prompt + encoded.answer
        answers = (*answers, (len(encoded.prompt), len(ids)))
    if ids:
        examples.append(Example(array("i", ids), answers))
    return _Encoded(tuple(examples), tuple(left_out))


def _encode_answer(
    chat: Chat, messages: tuple[Message, ...], answer: str, dropped: int, max_tokens: int
) -> EncodedAnswer:
    """Encode prompt and answer without the `dropped` oldest messages, and without more of them if it is too long.

    If it is too long, cut it to half of `max_tokens` if possible, so that later turns can extend it for a while.
    """
    head, rest = messages[:1], messages[1:]
    room = chat.window - max_tokens
    encoded = chat.answered((*head, *rest[dropped:]), answer, room)
    if encoded.dropped:
        with suppress(WindowError):
            encoded = chat.answered((*head, *rest[dropped:]), answer, room + max_tokens // 2)
    return EncodedAnswer(encoded.prompt, encoded.answer, dropped + encoded.dropped)
