"""A judge's play, driven by hand: what is asked, how often, and what the answers come to."""

import json
import math
from pathlib import Path

import pytest

from cscbench.asking.judge_plays import judge_protocol, rate_items
from cscbench.content.rubrics import read_rubric
from cscbench.values import JUDGE, ChatRole, Item, Language, Level, Reply, Sampling, Step, TranscriptLine

RUBRIC = read_rubric(Path(__file__).parents[2] / "tasks/csconv/rubrics", "default", Language.EN)
CODES = [dimension.code for dimension in RUBRIC.file.dimensions]
ITEM = Item("d", 3, Language.EN, (TranscriptLine("Customer", "My parcel is late."),), "I am sorry.")


def stars(overall: int, each: int = 0, reason: str = "well") -> Reply:
    """An answer that can be read."""
    given = {"overall": overall, **dict.fromkeys(CODES, each or overall)}
    return Reply(json.dumps({"reason": reason, "stars": given}))


def rated(protocol, replies, items=(ITEM,)):
    """The ratings of some items, and the requests made for them."""
    play = rate_items(items, {Language.EN: RUBRIC}, protocol)
    requests, replies = [next(play)], iter(replies)
    while True:
        try:
            requests.append(play.send(next(replies)))
        except StopIteration as done:
            assert next(replies, None) is None
            return done.value, requests


def by_mean(repeats: int, **sampling):
    return judge_protocol("j", Level.TURN, repeats, False, Sampling(**sampling))


def by_likelihood(repeats: int):
    return judge_protocol("j", Level.TURN, repeats, True, Sampling())


@pytest.mark.parametrize(
    ("repeats", "ranks", "given", "count", "temperature", "score"),
    [
        (0, False, 0.0, 3, 0.7, "mean,repeats:3"),
        (0, True, 0.0, 1, 0.0, "expected,repeats:1"),
        (1, False, 0.0, 1, 0.0, "mean,repeats:1"),
        (2, True, 0.0, 2, 0.7, "expected,repeats:2"),
        (2, False, 0.2, 2, 0.2, "mean,repeats:2"),
        (1, False, 0.2, 1, 0.2, "mean,repeats:1"),
    ],
)
def test_what_is_not_given_is_filled_in(repeats, ranks, given, count, temperature, score):
    protocol = judge_protocol("j", Level.TURN, repeats, ranks, Sampling(temperature=given, stop=("x",)))
    assert (protocol.repeats, protocol.sampling.temperature, protocol.score) == (count, temperature, score)
    assert protocol.sampling.stop == ()


def test_a_score_is_the_mean_of_the_repeats_and_its_reason_the_first():
    (rating,), requests = rated(by_mean(3), [stars(4, 2, "first"), stars(5, 3), stars(5, 4)])
    assert (rating.judge, rating.dialogue, rating.turn) == ("j", "d", 3)
    assert rating.score == pytest.approx(14 / 3)
    assert rating.dimensions == (3.0,) * len(CODES)
    assert (rating.samples, rating.tries, rating.reason, rating.error) == ((4, 5, 5), 3, "first", "")
    assert [request.id for request in requests] == ["d/3/judge0.0", "d/3/judge1.0", "d/3/judge2.0"]
    assert {request.step for request in requests} == {Step.JUDGE}
    assert {request.role for request in requests} == {JUDGE}
    assert len({request.sampling.seed for request in requests}) == 3


def test_an_answer_that_cannot_be_read_is_asked_for_again_in_the_same_conversation():
    (rating,), requests = rated(by_mean(1), [Reply(" good "), Reply("4/5"), stars(2)])
    assert (rating.score, rating.tries, rating.samples) == (2.0, 3, (2,))
    assert [request.id for request in requests] == ["d/3/judge0.0", "d/3/judge0.1", "d/3/judge0.2"]
    assert [len(request.messages) for request in requests] == [2, 4, 6]
    assert [message.role for message in requests[2].messages[2:]] == [ChatRole.ASSISTANT, ChatRole.USER] * 2
    assert requests[1].messages[2].content == "good"


def test_after_three_unreadable_answers_the_rating_is_missing():
    (rating,), _ = rated(by_mean(2), [Reply("?")] * 6)
    assert (rating.score, rating.tries, rating.error, rating.samples) == (None, 6, "", ())


@pytest.mark.parametrize(
    ("replies", "tries", "score", "error"),
    [
        ([Reply("", error="down"), Reply("", error="later")], 2, None, "down"),
        ([Reply("?"), Reply("", error="down"), stars(3)], 3, 3.0, ""),
        ([stars(3), Reply("", error="down")], 2, 3.0, ""),
    ],
)
def test_a_failed_request_is_not_repeated_and_counts_as_a_try(replies, tries, score, error):
    (rating,), _ = rated(by_mean(2), replies)
    assert (rating.score, rating.tries, rating.error) == (score, tries, error)


def test_the_expected_star_weighs_the_five_by_their_likelihood():
    weights = (1, 2, 3, 4, 10)
    likelihoods = Reply("", choice_logprobs=tuple(math.log(weight) - 900 for weight in weights))  # shares, not sizes
    (rating,), requests = rated(by_likelihood(1), [stars(4), likelihoods])
    assert rating.score == pytest.approx((1 + 4 + 9 + 16 + 50) / 20)
    assert (rating.samples, rating.tries, rating.error) == ((4,), 1, "")
    assert requests[1].id == "d/3/stars0"
    assert requests[1].choices == ("1", "2", "3", "4", "5")
    assert requests[1].messages[-1].content == RUBRIC.file.score
    assert requests[0].choices == ()


@pytest.mark.parametrize("reply", [Reply("", error="down"), Reply("", choice_logprobs=(0.0,) * 4), Reply("4")])
def test_without_likelihoods_there_is_no_expected_star(reply):
    (rating,), _ = rated(by_likelihood(1), [stars(4), reply])
    assert (rating.score, rating.samples) == (None, (4,))
    assert "no likelihoods" in rating.error


def test_likelihoods_that_lack_for_one_repeat_leave_the_mean_of_the_others():
    sure = Reply("", choice_logprobs=(-900.0, -900.0, -900.0, 0.0, -900.0))
    (rating,), requests = rated(by_likelihood(2), [stars(4), stars(2), Reply("", error="down"), sure])
    assert rating.score == pytest.approx(4.0)
    assert [request.id for request in requests[2:]] == ["d/3/stars0", "d/3/stars1"]


def test_items_are_rated_in_order_each_under_its_turn():
    later = Item("d", 5, Language.EN, ITEM.lines, "Goodbye.")
    ratings, _ = rated(by_mean(1), [stars(1), stars(5)], (ITEM, later))
    assert [(rating.turn, rating.score) for rating in ratings] == [(3, 1.0), (5, 5.0)]
