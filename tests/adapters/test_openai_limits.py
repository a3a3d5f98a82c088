"""The limits on asking a server, each alone: rates, requests at once, pauses."""

import asyncio
import itertools
import time
from email.utils import formatdate

import pytest

from cscbench.models.openai.limits import Bucket, RateLimiter, Window, retry_after


@pytest.mark.parametrize(("per_minute", "amount"), [(60, 1), (600, 1), (6000, 37), (90, 1)])
def test_no_minute_sees_more_than_its_limit_and_a_second_s_worth(per_minute, amount):
    bucket, sent = Bucket(per_minute, 0.0), []
    for _ in range(400):  # all at time 0: each gets its own delay
        sent.append(bucket.delay(amount, 0.0))
    assert sent == sorted(sent)
    assert sent[-1] == pytest.approx(400 * amount / (per_minute / 60), rel=0.02, abs=2)
    for start in sent:
        within = sum(amount for at in sent if start <= at < start + 60)
        assert within <= per_minute + max(per_minute / 60, 1) + amount


def test_a_bucket_that_was_left_alone_holds_a_second_s_worth_and_no_more():
    bucket = Bucket(600, 0.0)  # ten a second
    assert [bucket.delay(1, 1000.0) for _ in range(12)] == pytest.approx([0.0] * 10 + [0.1, 0.2])


def test_no_limit_never_waits():
    assert [Bucket(0, 0.0).delay(1e9, 0.0) for _ in range(3)] == [0, 0, 0]


CLOCK = itertools.count(100)


def settle(window: Window, slots: int, answers: int) -> int:
    """Count the refusals of a server with so many slots until it has given so many answers, with a full window."""
    refusals = 0
    while answers > 0:
        now = next(CLOCK)
        batch = window.size
        for number in range(batch):
            if number < slots:
                window.answered()
                answers -= 1
            else:
                window.refused(batch, now, now)
                refusals += 1
    return refusals


@pytest.mark.parametrize("slots", [1, 3, 4, 11])
def test_a_window_finds_how_many_a_server_takes_and_is_then_seldom_refused(slots):
    window = Window(32)
    settle(window, slots, 400)
    assert slots / 2 <= window.size + 1 <= slots + 2
    assert 0 < settle(window, slots, 2000) <= 2000 * 0.02  # it does try for more


def test_a_window_grows_back_to_its_most_when_a_server_has_recovered():
    window = Window(16)
    for now in range(1, 6):
        window.refused(window.size, now, now)
    assert window.size == 1
    settle(window, 16, 4000)
    assert window.size == 16


def test_a_server_that_refuses_one_in_ten_whatever_is_in_flight_is_still_asked_several_at_once():
    window, sizes = Window(32), []
    for now in range(3000):
        if now % 10 == 7:
            window.refused(window.size, now, now)
        else:
            window.answered()
        sizes.append(window.size)
    assert sum(sizes[300:]) / len(sizes[300:]) > 2


def test_refusals_of_one_burst_halve_a_window_once():
    window = Window(16)
    for _ in range(12):
        window.refused(16, sent=1.0, now=2.0)
    assert window.size == 8
    window.refused(8, sent=2.5, now=3.0)
    assert window.size == 4


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({}, 0),
        *[({"retry-after": odd}, 0) for odd in ("soon", "-3", "nan", "inf", "", "Wed, 99 Foo")],
    ],
)
def test_retry_after_is_read_in_every_form(headers, seconds):
    assert retry_after(headers, NOW) == pytest.approx(seconds)


def test_a_pause_holds_back_all_requests_even_those_that_wait_already():
    async def main() -> list[float]:
        limiter, began, went = RateLimiter(4, 0, 0), time.monotonic(), []

        async def request() -> None:
            async with limiter.slot(0):
                went.append(time.monotonic() - began)
                await asyncio.sleep(0.01)

        limiter.pause(0.2)
        limiter.pause(0.05)  # a shorter one does not end it
        await asyncio.gather(*(request() for _ in range(8)))
        return went

    went = asyncio.run(main())
    assert len(went) == 8
    assert min(went) >= 0.2


def test_a_request_that_fails_or_is_cancelled_frees_its_slot():
    async def main() -> None:
        limiter = RateLimiter(1, 0, 0)

        async def hold(seconds: float) -> None:
            async with limiter.slot(0):
                await asyncio.sleep(seconds)
                raise ValueError

        first, second = asyncio.create_task(hold(60)), asyncio.create_task(hold(60))
        await asyncio.sleep(0.01)
        second.cancel()  # while it waits
        first.cancel()  # while it is in
        await asyncio.gather(first, second, return_exceptions=True)
        with pytest.raises(ValueError):  # noqa: PT011 - ours, above
            await asyncio.wait_for(hold(0), 1)
        async with asyncio.timeout(1), limiter.slot(0):
            pass

    asyncio.run(main())
