"""How fast a server is asked: as many requests at once as it takes, pauses that it asks for, so many a minute."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

# Beside a level that was once too much, one step up is tried only after so many rounds of answers.
_ROUNDS_BEFORE_TRYING = 50


class Bucket:
    """A token bucket: fills at `per_minute` (0: no limit), holds a second's worth, and may be overdrawn by waiting.

    So requests are spread over the minute, and no window of a minute sees more than the limit and one second's worth.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._rate = per_minute / 60
        self._most = max(self._rate, 1.0)
        self._level, self._at = self._most, now

    def delay(self, amount: float, now: float) -> float:
        """Take `amount` out; how many seconds to wait before using it. Who comes first waits least."""
        if not self._rate:
            return 0.0
        self._level = min(self._most, self._level + (now - self._at) * self._rate) - amount
        self._at = now
        return max(0.0, -self._level / self._rate)


class Window:
    """How many requests may be in flight, at most `most`: one more for each round of answers, half after a refusal.

    Additive increase and multiplicative decrease (Chiu and Jain 1989). Just below the level that was refused last,
    growth is slow, so that a server with a fixed number of places refuses seldom.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._refused_at = math.inf
        self._halved = -math.inf

    @property
    def size(self) -> int:
        """How many may be in flight now."""
        return int(self._limit)

    def answered(self) -> None:
        """A request was answered."""
        slow = int(self._limit) + 1 >= self._refused_at
        self._limit = min(self._most, self._limit + 1 / (self._limit * (_ROUNDS_BEFORE_TRYING if slow else 1)))
        if self._limit >= self._refused_at:  # what was too much is no longer
            self._refused_at = math.inf

    def refused(self, level: int, sent: float, now: float) -> None:
        """A request sent at `sent`, so many then in flight, was too many. Before the last halving: nothing new."""
        if sent <= self._halved:
            return
        # Refused below a level that was too much: it is not our requests at once that this server minds.
        self._refused_at = math.inf if level < self._refused_at < math.inf else level
        self._limit = max(1.0, self._limit / 2)
        self._halved = now


class RateLimiter:
    """What every request to a server passes through."""

    def __init__(self, most: int, requests_per_minute: int, tokens_per_minute: int) -> None:
        now = time.monotonic()
        self._window = Window(most)
        self._requests, self._tokens = Bucket(requests_per_minute, now), Bucket(tokens_per_minute, now)
        self._in_flight = 0
        self._paused_until = -math.inf
        self._left = asyncio.Event()

    @asynccontextmanager
    async def place(self, tokens: int) -> AsyncIterator[int]:
        """Wait for a place in flight, for pauses to end, and for the rates to allow one request of so many tokens.

        Gives how many are then in flight.
        """
        while self._in_flight >= self._window.size:
            self._left.clear()
            await self._left.wait()
        self._in_flight += 1
        try:
            await self._pause_over()
            now = time.monotonic()
            await asyncio.sleep(max(self._requests.delay(1, now), self._tokens.delay(tokens, now)))
            await self._pause_over()
            yield self._in_flight
        finally:
            self._in_flight -= 1
            self._left.set()

    async def _pause_over(self) -> None:
        while (rest := self._paused_until - time.monotonic()) > 0:
            await asyncio.sleep(rest)

    def pause(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def answered(self) -> None:
        """A request was answered."""
        self._window.answered()

    def refused(self, level: int, sent: float) -> None:
        """A request sent at `sent` (monotonic), when so many were in flight, was too many."""
        self._window.refused(level, sent, time.monotonic())


def retry_after(headers: Mapping[str, str], now: float) -> float:
    """How many seconds a server asks to wait: `retry-after-ms`, or `retry-after` in seconds or as a date; 0 if none.

    `headers` are looked up in lower case; `now` is seconds since the epoch. What cannot be read is passed over, as
    RFC 9110 has it for a field that is not valid.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        said = headers.get(name, "")
        try:
            seconds = float(said) * unit
        except ValueError:
            seconds = _until(said, now)
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return 0.0


def _until(date: str, now: float) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - now
    except ValueError:
        return 0.0
