"""Plays: one generator per dialogue, which yields each `Request`, receives its `Reply`, and returns a `Transcript`.

A play does no I/O. Gold and generated context, one call or two, differ only in the messages appended after a turn.
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
    """The result of a turn's requests. `messages` contain the turn as the model wrote it."""

    spoken: SpokenTurn
    messages: tuple[Message, ...]


def request_seed(seed: int, request_id: str) -> int:
    """Return a separate seed for each request, so that sampling does not depend on the rest of the batch."""
    digest = hashlib.sha256(f"{seed}/{request_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def play(dialogue: Dialogue, prompt: NamedPrompt, protocol: Protocol) -> Play:
    """Play one dialogue: request every supporter turn, given the turns before it.

    In generated context, a failed reply leaves the later turns without their history: they are marked as failed without
    being requested.
    """
    if protocol.context is Context.GOLD:
        return _chain(dialogue, play_turns(dialogue, prompt, protocol.sampling))
    return _play_generated(dialogue, prompt, protocol.sampling)


def play_turns(dialogue: Dialogue, prompt: NamedPrompt, sampling: Sampling) -> tuple[Play, ...]:
    """Return a play for each supporter turn in gold context, where no turn waits for another's reply."""
    thread: tuple[Message, ...] = (system_message(prompt),)
    plays: list[Play] = []
    for turn in supporter_turns(dialogue):
        plays.append(_play_turn(dialogue, turn, thread, prompt, sampling))
        thread = (*thread, *_gold_messages(dialogue, turn, prompt))
    return tuple(plays)


def supporter_turns(dialogue: Dialogue) -> tuple[int, ...]:
    """Return the index of every supporter turn."""
    return tuple(index for index, turn in enumerate(dialogue.turns) if turn.speaker is Speaker.SUPPORTER)


def _chain(dialogue: Dialogue, plays: tuple[Play, ...]) -> Play:
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
    skip_reason = ""
    for turn in supporter_turns(dialogue):
        if skip_reason:
            turns.append(SpokenTurn(turn, None, "", ParseForm.FAILED, skip_reason))
            continue
        answer = yield from _ask_turn(dialogue, turn, thread, prompt, sampling)
        turns.append(answer.spoken)
        thread = (*thread, *answer.messages)
        if answer.spoken.error:
            skip_reason = f"not requested: turn {turn} of this dialogue failed"
    return Transcript(dialogue.id, dialogue.language, tuple(turns))


def play_gold(dialogue: Dialogue, prompt: NamedPrompt) -> Iterator[tuple[Request, str]]:
    """Yield every request of a dialogue, each with the reference's answer in the format of the history."""
    steps = [step.step for step in prompt.prompt.steps]
    gold_play = play(dialogue, prompt, Protocol(Context.GOLD, Sampling()))
    request = next(gold_play)
    while True:
        turn = dialogue.turns[request.turn]
        answer = answer_message(prompt, steps.index(request.step), turn.strategy or "", turn.text).content
        yield request, answer
        try:
            request = gold_play.send(Reply(answer))
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
    for step_index, step in enumerate(prompt.prompt.steps):
        messages = (*messages, ask_message(prompt, step_index, words))
        request_id = f"{dialogue.id}/{turn}/{step.step}"
        seeded = msgspec.structs.replace(sampling, seed=request_seed(sampling.seed, request_id))
        ranks = prompt.condition.ranks_strategies and step.step is Step.STRATEGY
        choices = strategy_choices(prompt, step_index) if ranks else ()
        reply = yield Request(
            request_id, dialogue.id, turn, step.step, (*thread, *messages), seeded, customer_text, choices
        )
        if reply.error:
            return _Answer(SpokenTurn(turn, None, "", ParseForm.FAILED, reply.error), ())
        parsed = parse(reply.text, step.step, prompt.strategies)
        if step.step is not Step.REPLY:
            strategy, form = parsed.strategy, parsed.form
        messages = (*messages, _model_message(prompt, step_index, parsed, reply))
    return _Answer(SpokenTurn(turn, strategy, parsed.text, form), messages)


def _model_message(prompt: NamedPrompt, step: int, parsed: Parsed, reply: Reply) -> Message:
    """Return the model's answer in the format of the history; as the model wrote it if no strategy was parsed."""
    message = answer_message(prompt, step, parsed.strategy or prompt.strategies.strategies[0].code, parsed.text)
    if parsed.form is ParseForm.UNPARSED:
        return Message(message.role, parsed.text or reply.text.strip())
    return message


def _gold_messages(dialogue: Dialogue, turn: int, prompt: NamedPrompt) -> tuple[Message, ...]:
    words, gold = turn_words(prompt, dialogue, turn), dialogue.turns[turn]
    return tuple(
        message
        for step in range(len(prompt.prompt.steps))
        for message in (
            ask_message(prompt, step, words),
            answer_message(prompt, step, gold.strategy or "", gold.text),
        )
    )
