"""Asking a judge: for each item an answer that can be read, in a few tries, and what its stars come to."""

import math
from collections.abc import Generator, Mapping, Sequence
from statistics import fmean

import msgspec

from cscbench.asking.plays import request_seed
from cscbench.content.rubrics import Rubric, Stars, ask, read_stars, retry
from cscbench.values import (
    HIGHEST,
    JUDGE,
    LOWEST,
    TRIES,
    ChatRole,
    Frozen,
    Item,
    Language,
    Level,
    Message,
    Rating,
    Reply,
    Request,
    Sampling,
    Step,
)

JudgePlay = Generator[Request, Reply, tuple[Rating, ...]]

REPEATS = 3
# Repeats at temperature 0 would all say the same.
TEMPERATURE = 0.7
STARS = tuple(str(star) for star in range(LOWEST, HIGHEST + 1))


class JudgeProtocol(Frozen, frozen=True):
    """How one judge is asked: `expected` scores by the likelihoods of the five stars, else the mean of `repeats`."""

    judge: str
    level: Level
    repeats: int
    expected: bool
    sampling: Sampling

    @property
    def score(self) -> str:
        """How a score is made, for signatures."""
        return f"expected,repeats:{self.repeats}" if self.expected else f"mean,repeats:{self.repeats}"


def judge_protocol(judge: str, level: Level, repeats: int, ranks: bool, sampling: Sampling) -> JudgeProtocol:
    """How a judge is asked, with what is not given filled in."""
    count = repeats or (1 if ranks else REPEATS)
    temperature = sampling.temperature or (TEMPERATURE if count > 1 else 0.0)
    return JudgeProtocol(
        judge, level, count, ranks, msgspec.structs.replace(sampling, temperature=temperature, stop=())
    )


def rate_items(items: Sequence[Item], rubrics: Mapping[Language, Rubric], protocol: JudgeProtocol) -> JudgePlay:
    """Rate the items of one dialogue, in order."""
    ratings: list[Rating] = []
    for item in items:
        ratings.append((yield from _rate(item, rubrics[item.language], protocol)))
    return tuple(ratings)


class _Read(Frozen, frozen=True):
    """One answer that could be read, and the conversation up to it."""

    stars: Stars
    messages: tuple[Message, ...]


def _rate(item: Item, rubric: Rubric, protocol: JudgeProtocol) -> Generator[Request, Reply, Rating]:
    answers: list[_Read] = []
    tries, error = 0, ""
    for repeat in range(protocol.repeats):
        found, asked, failure = yield from _answer(item, rubric, protocol, repeat)
        tries, error = tries + asked, error or failure
        answers += [found] if found else []
    if not answers:
        return Rating(protocol.judge, item.dialogue, item.turn, None, tries=tries, error=error)
    samples = tuple(one.stars.overall for one in answers)
    score: float | None = fmean(samples)
    if protocol.expected:
        expected: list[float] = []
        for repeat, one in enumerate(answers):
            expected += yield from _expected(item, rubric, protocol, repeat, one.messages)
        score = fmean(expected) if expected else None
    dimensions = zip(*(one.stars.dimensions for one in answers), strict=True)
    return Rating(
        judge=protocol.judge,
        dialogue=item.dialogue,
        turn=item.turn,
        score=score,
        dimensions=tuple(fmean(column) for column in dimensions),
        samples=samples,
        tries=tries,
        reason=answers[0].stars.reason,
        error="" if score is not None else "the engine gave no likelihoods of the stars",
    )


def _answer(
    item: Item, rubric: Rubric, protocol: JudgeProtocol, repeat: int
) -> Generator[Request, Reply, tuple[_Read | None, int, str]]:
    """The first answer that can be read, how many were asked for, and why an answer did not come."""
    messages = ask(rubric, item)
    for number in range(TRIES):
        reply = yield _request(item, rubric, protocol, f"judge{repeat}.{number}", messages)
        if reply.error:
            return None, number + 1, reply.error
        messages = (*messages, Message(ChatRole.ASSISTANT, reply.text.strip()))
        stars = read_stars(rubric, reply.text)
        if stars is not None:
            return _Read(stars, messages), number + 1, ""
        messages = (*messages, retry(rubric))
    return None, TRIES, ""


def _expected(
    item: Item, rubric: Rubric, protocol: JudgeProtocol, repeat: int, messages: tuple[Message, ...]
) -> Generator[Request, Reply, list[float]]:
    """The mean star under the engine's likelihoods of the five, as G-Eval (Liu et al. 2023) takes it."""
    asked = (*messages, Message(ChatRole.USER, rubric.file.score))
    reply = yield _request(item, rubric, protocol, f"stars{repeat}", asked, STARS)
    if reply.error or len(reply.choice_logprobs) != len(STARS):
        return []
    most = max(reply.choice_logprobs)
    weights = [math.exp(logprob - most) for logprob in reply.choice_logprobs]
    return [sum(star * weight for star, weight in enumerate(weights, LOWEST)) / sum(weights)]


def _request(
    item: Item,
    rubric: Rubric,
    protocol: JudgeProtocol,
    name: str,
    messages: tuple[Message, ...],
    choices: tuple[str, ...] = (),
) -> Request:
    request_id = f"{item.dialogue}/{item.turn}/{name}"
    sampling = msgspec.structs.replace(
        protocol.sampling,
        max_tokens=rubric.file.max_tokens,
        seed=request_seed(protocol.sampling.seed, request_id),
    )
    return Request(request_id, item.dialogue, item.turn, Step.JUDGE, messages, sampling, choices=choices, role=JUDGE)
