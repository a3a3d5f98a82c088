"""Asking a judge: a few attempts at a readable answer for each item, and the score computed from its stars."""

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
# Repeats at temperature 0 would all be the same.
TEMPERATURE = 0.7
STARS = tuple(str(star) for star in range(LOWEST, HIGHEST + 1))


class JudgeProtocol(Frozen, frozen=True):
    """How one judge is asked: `expected` scores use the likelihoods of the five stars, others the mean of `repeats`."""

    judge: str
    level: Level
    repeats: int
    expected: bool
    sampling: Sampling

    @property
    def score(self) -> str:
        """How a score is computed, for signatures."""
        return f"expected,repeats:{self.repeats}" if self.expected else f"mean,repeats:{self.repeats}"


def judge_protocol(judge: str, level: Level, repeats: int, ranks: bool, sampling: Sampling) -> JudgeProtocol:
    """Return how a judge is asked, with defaults filled in."""
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


class _ReadableAnswer(Frozen, frozen=True):
    """A readable answer, and the conversation up to it."""

    stars: Stars
    messages: tuple[Message, ...]


def _rate(item: Item, rubric: Rubric, protocol: JudgeProtocol) -> Generator[Request, Reply, Rating]:
    answers: list[_ReadableAnswer] = []
    tries, error = 0, ""
    for repeat in range(protocol.repeats):
        answer, attempts, failure = yield from _ask(item, rubric, protocol, repeat)
        tries, error = tries + attempts, error or failure
        answers += [answer] if answer else []
    if not answers:
        return Rating(protocol.judge, item.dialogue, item.turn, None, tries=tries, error=error)
    samples = tuple(answer.stars.overall for answer in answers)
    score: float | None = fmean(samples)
    if protocol.expected:
        expected: list[float] = []
        for repeat, answer in enumerate(answers):
            expected += yield from _expected_star(item, rubric, protocol, repeat, answer.messages)
        score = fmean(expected) if expected else None
    dimensions = zip(*(answer.stars.dimensions for answer in answers), strict=True)
    return Rating(
        judge=protocol.judge,
        dialogue=item.dialogue,
        turn=item.turn,
        score=score,
        dimensions=tuple(fmean(column) for column in dimensions),
        samples=samples,
        tries=tries,
        reason=answers[0].stars.reason,
        error="" if score is not None else "the engine returned no likelihoods for the stars",
    )


def _ask(
    item: Item, rubric: Rubric, protocol: JudgeProtocol, repeat: int
) -> Generator[Request, Reply, tuple[_ReadableAnswer | None, int, str]]:
    """Return the first readable answer, the number of attempts, and the error of a failed request."""
    messages = ask(rubric, item)
    for attempt in range(TRIES):
        reply = yield _request(item, rubric, protocol, f"judge{repeat}.{attempt}", messages)
        if reply.error:
            return None, attempt + 1, reply.error
        messages = (*messages, Message(ChatRole.ASSISTANT, reply.text.strip()))
        stars = read_stars(rubric, reply.text)
        if stars is not None:
            return _ReadableAnswer(stars, messages), attempt + 1, ""
        messages = (*messages, retry(rubric))
    return None, TRIES, ""


def _expected_star(
    item: Item, rubric: Rubric, protocol: JudgeProtocol, repeat: int, messages: tuple[Message, ...]
) -> Generator[Request, Reply, list[float]]:
    """Return the mean star under the engine's likelihoods of the five, as in G-Eval (Liu et al. 2023)."""
    messages = (*messages, Message(ChatRole.USER, rubric.file.score))
    reply = yield _request(item, rubric, protocol, f"stars{repeat}", messages, STARS)
    if reply.error or len(reply.choice_logprobs) != len(STARS):
        return []
    highest = max(reply.choice_logprobs)
    weights = [math.exp(logprob - highest) for logprob in reply.choice_logprobs]
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
