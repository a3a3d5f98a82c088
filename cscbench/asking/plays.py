"""Plays: one generator a dialogue, which yields a `Request`, is sent its `Reply`, and returns a `Transcript`.

A play does no I/O. Gold and generated context, one call or two, differ only in which messages it appends after a turn.
"""

import hashlib
from collections.abc import Generator, Iterator

import msgspec

from cscbench.asking.parse import Parsed, parse
from cscbench.content.prompts import (
    NamedPrompt,
    answer_message,
    ask_message,
    customer_line,
    strategy_choices,
    system_message,
    turn_words,
)
from cscbench.values import (
    Context,
    Dialogue,
    Frozen,
    Message,
    ParseForm,
    Reply,
    Request,
    Sampling,
    Speaker,
    SpokenTurn,
    Step,
    Transcript,
)

Play = Generator[Request, Reply, Transcript]


class Protocol(Frozen, frozen=True):
    """How every dialogue of a run is played."""

    context: Context
    sampling: Sampling


class _Answer(Frozen, frozen=True):
    """What a turn's requests came to. `messages` hold the turn in the model's own words."""

    spoken: SpokenTurn
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
        return _in_turn(dialogue, play_turns(dialogue, prompt, protocol.sampling))
    return _play_generated(dialogue, prompt, protocol.sampling)


def play_turns(dialogue: Dialogue, prompt: NamedPrompt, sampling: Sampling) -> tuple[Play, ...]:
    """A play for each supporter turn in gold context, where no turn waits for another's reply."""
    thread: tuple[Message, ...] = (system_message(prompt),)
    plays: list[Play] = []
    for turn in supporter_turns(dialogue):
        plays.append(_play_turn(dialogue, turn, thread, prompt, sampling))
        thread = (*thread, *_gold_messages(dialogue, turn, prompt))
    return tuple(plays)


def supporter_turns(dialogue: Dialogue) -> tuple[int, ...]:
    """The index of every supporter turn."""
    return tuple(number for number, turn in enumerate(dialogue.turns) if turn.speaker is Speaker.SUPPORTER)


def _in_turn(dialogue: Dialogue, plays: tuple[Play, ...]) -> Play:
    turns: list[SpokenTurn] = []
    for turn_play in plays:
        turns += (yield from turn_play).turns
    return Transcript(dialogue.id, dialogue.language, tuple(turns))


def _play_turn(
    dialogue: Dialogue, turn: int, thread: tuple[Message, ...], prompt: NamedPrompt, sampling: Sampling
) -> Play:
    answer = yield from _ask_turn(dialogue, turn, thread, prompt, sampling)
    return Transcript(dialogue.id, dialogue.language, (answer.spoken,))


def _play_generated(dialogue: Dialogue, prompt: NamedPrompt, sampling: Sampling) -> Play:
    thread: tuple[Message, ...] = (system_message(prompt),)
    turns: list[SpokenTurn] = []
    broken = ""
    for turn in supporter_turns(dialogue):
        if broken:
            turns.append(SpokenTurn(turn, None, "", ParseForm.FAILED, broken))
            continue
        answer = yield from _ask_turn(dialogue, turn, thread, prompt, sampling)
        turns.append(answer.spoken)
        thread = (*thread, *answer.messages)
        if answer.spoken.error:
            broken = f"not asked: turn {turn} of this dialogue failed"
    return Transcript(dialogue.id, dialogue.language, tuple(turns))


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
    dialogue: Dialogue, turn: int, thread: tuple[Message, ...], prompt: NamedPrompt, sampling: Sampling
) -> Generator[Request, Reply, _Answer]:
    words, customer_text = turn_words(prompt, dialogue, turn), customer_line(dialogue, turn)
    messages: tuple[Message, ...] = ()
    strategy: str | None = None
    parsed = Parsed(None, "", ParseForm.UNPARSED)
    form = ParseForm.GIVEN
    for number, step in enumerate(prompt.prompt.steps):
        messages = (*messages, ask_message(prompt, number, words))
        request_id = f"{dialogue.id}/{turn}/{step.step}"
        seeded = msgspec.structs.replace(sampling, seed=request_seed(sampling.seed, request_id))
        ranks = prompt.condition.ranks_strategies and step.step is Step.STRATEGY
        choices = strategy_choices(prompt, number) if ranks else ()
        reply = yield Request(
            request_id, dialogue.id, turn, step.step, (*thread, *messages), seeded, customer_text, choices
        )
        if reply.error:
            return _Answer(SpokenTurn(turn, None, "", ParseForm.FAILED, reply.error), ())
        parsed = parse(reply.text, step.step, prompt.strategies)
        if step.step is not Step.REPLY:
            strategy, form = parsed.strategy, parsed.form
        messages = (*messages, _own_message(prompt, number, parsed, reply))
    return _Answer(SpokenTurn(turn, strategy, parsed.text, form), messages)


def _own_message(prompt: NamedPrompt, number: int, parsed: Parsed, reply: Reply) -> Message:
    """The model's answer in the history's shape; in its own words where no strategy was read."""
    shaped = answer_message(prompt, number, parsed.strategy or prompt.strategies.strategies[0].code, parsed.text)
    if parsed.form is ParseForm.UNPARSED:
        return Message(shaped.role, parsed.text or reply.text.strip())
    return shaped


def _gold_messages(dialogue: Dialogue, turn: int, prompt: NamedPrompt) -> tuple[Message, ...]:
    words, said = turn_words(prompt, dialogue, turn), dialogue.turns[turn]
    return tuple(
        message
        for number in range(len(prompt.prompt.steps))
        for message in (
            ask_message(prompt, number, words),
            answer_message(prompt, number, said.strategy or "", said.text),
        )
    )
