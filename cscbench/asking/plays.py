"""Plays: one generator a dialogue, which yields a `Request`, is sent its `Reply`, and returns the `Prediction`s.

A play does no I/O. Gold and generated context, one call or two, differ only in which messages it appends after a turn.
"""

import hashlib
from collections.abc import Generator, Iterator

from cscbench.asking.parse import Parsed, parse
from cscbench.content.prompts import NamedPrompt, answer_message, ask_message, strategy_choices, system_message
from cscbench.values.asking import Message, Reply, Request, Sampling
from cscbench.values.condition import Context, Form, Step
from cscbench.values.dialogue import Dialogue, Speaker, Turn
from cscbench.values.frozen import Frozen
from cscbench.values.transcript import Prediction

Play = Generator[Request, Reply, tuple[Prediction, ...]]


class Protocol(Frozen, frozen=True):
    """How every dialogue of a run is played."""

    context: Context
    sampling: Sampling


class _Answer(Frozen, frozen=True):
    """What a turn's requests came to. `messages` hold the turn in the model's own words."""

    prediction: Prediction
    messages: tuple[Message, ...]


def request_seed(seed: int, request_id: str) -> int:
    """A seed of its own for each request, so that sampling does not depend on what else is in the batch."""
    digest = hashlib.sha256(f"{seed}/{request_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def play(dialogue: Dialogue, prompt: NamedPrompt, protocol: Protocol) -> Play:
    """Walk one dialogue: ask for every supporter turn, given what came before it.

    In generated context a turn whose reply failed leaves the later ones without their history: they come back as
    failed, unasked.
    """
    if protocol.context is Context.GOLD:
        return _in_turn(play_turns(dialogue, prompt, protocol.sampling))
    return _play_generated(dialogue, prompt, protocol.sampling)


def play_turns(dialogue: Dialogue, prompt: NamedPrompt, sampling: Sampling) -> tuple[Play, ...]:
    """A play for each supporter turn in gold context, where no turn waits for another's reply."""
    thread: tuple[Message, ...] = (system_message(prompt),)
    found: list[Play] = []
    for index, heard in _supporter_turns(dialogue):
        found.append(_play_turn(dialogue, index, heard, thread, prompt, sampling))
        thread = (*thread, *_gold_messages(dialogue.turns[index], heard, prompt))
    return tuple(found)


def _supporter_turns(dialogue: Dialogue) -> Iterator[tuple[int, str]]:
    """The index of every supporter turn, and what the customer said just before it."""
    heard = ""
    for index, turn in enumerate(dialogue.turns):
        if turn.speaker is Speaker.SUPPORTER:
            yield index, heard
        heard = turn.text if turn.speaker is Speaker.CUSTOMER else ""


def _in_turn(plays: tuple[Play, ...]) -> Play:
    predictions: list[Prediction] = []
    for one in plays:
        predictions += yield from one
    return tuple(predictions)


def _play_turn(
    dialogue: Dialogue, index: int, heard: str, thread: tuple[Message, ...], prompt: NamedPrompt, sampling: Sampling
) -> Play:
    answer = yield from _ask_turn(dialogue, index, heard, thread, prompt, sampling)
    return (answer.prediction,)


def _play_generated(dialogue: Dialogue, prompt: NamedPrompt, sampling: Sampling) -> Play:
    thread: tuple[Message, ...] = (system_message(prompt),)
    predictions: list[Prediction] = []
    broken = ""
    for index, heard in _supporter_turns(dialogue):
        if broken:
            predictions.append(Prediction(dialogue.id, index, None, "", Form.FAILED, broken))
            continue
        answer = yield from _ask_turn(dialogue, index, heard, thread, prompt, sampling)
        predictions.append(answer.prediction)
        thread = (*thread, *answer.messages)
        if answer.prediction.error:
            broken = f"not asked: turn {index} of this dialogue failed"
    return tuple(predictions)


def play_gold(dialogue: Dialogue, prompt: NamedPrompt) -> Iterator[tuple[Request, str]]:
    """Every request of a dialogue, each with the reference's answer to it in the history's shape."""
    steps = [step.step for step in prompt.prompt.steps]
    walk = play(dialogue, prompt, Protocol(Context.GOLD, Sampling()))
    request = next(walk)
    while True:
        turn = dialogue.turns[request.turn]
        answer = answer_message(prompt, steps.index(request.step), turn.strategy or "", turn.text).content
        yield request, answer
        try:
            request = walk.send(Reply(answer))
        except StopIteration:
            return


def _ask_turn(
    dialogue: Dialogue, index: int, heard: str, thread: tuple[Message, ...], prompt: NamedPrompt, sampling: Sampling
) -> Generator[Request, Reply, _Answer]:
    gold = dialogue.turns[index].strategy or ""
    messages: tuple[Message, ...] = ()
    strategy: str | None = None
    parsed = Parsed(None, "", Form.UNPARSED)
    form = Form.GIVEN
    for number, step in enumerate(prompt.prompt.steps):
        messages = (*messages, ask_message(prompt, number, heard, gold))
        request_id = f"{dialogue.id}/{index}/{step.step}"
        own = Sampling(
            sampling.max_tokens,
            sampling.temperature,
            sampling.top_p,
            sampling.stop,
            request_seed(sampling.seed, request_id),
        )
        choices = strategy_choices(prompt, number) if prompt.ranked and step.step is Step.STRATEGY else ()
        reply = yield Request(request_id, dialogue.id, index, step.step, (*thread, *messages), own, heard, choices)
        if reply.error:
            return _Answer(Prediction(dialogue.id, index, None, "", Form.FAILED, reply.error), ())
        parsed = parse(reply.text, step.step, prompt.strategies)
        if step.step is not Step.REPLY:
            strategy, form = parsed.strategy, parsed.form
        messages = (*messages, _own_message(prompt, number, parsed, reply))
    return _Answer(Prediction(dialogue.id, index, strategy, parsed.text, form), messages)


def _own_message(prompt: NamedPrompt, number: int, parsed: Parsed, reply: Reply) -> Message:
    """The model's answer in the history's shape; in its own words where no strategy was read."""
    shaped = answer_message(prompt, number, parsed.strategy or prompt.strategies.strategies[0].code, parsed.text)
    if parsed.form is Form.UNPARSED:
        return Message(shaped.role, parsed.text or reply.text.strip())
    return shaped


def _gold_messages(turn: Turn, heard: str, prompt: NamedPrompt) -> tuple[Message, ...]:
    code = turn.strategy or ""
    return tuple(
        message
        for number in range(len(prompt.prompt.steps))
        for message in (ask_message(prompt, number, heard, code), answer_message(prompt, number, code, turn.text))
    )
