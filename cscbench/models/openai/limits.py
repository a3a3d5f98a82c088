"""How fast a server is asked: requests in flight, pauses that it requests, and rates per minute."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

# Just below a level that was refused, the next step up waits for so many rounds of answers.
_ROUNDS_BEFORE_RETRY = 50


class Bucket:
    """A token bucket: it fills at `per_minute` (0: no limit), holds one second's worth, and waits may overdraw it.

    This spreads requests over the minute: no 60-second window exceeds the limit by more than one second's worth.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._rate = per_minute / 60
        self._capacity = max(self._rate, 1.0)
        self._level, self._updated = self._capacity, now

    def delay(self, amount: float, now: float) -> float:
        """Take `amount` out; return the seconds to wait before using it. Earlier callers wait less."""
        if not self._rate:
            return 0.0
        self._level = min(self._capacity, self._level + (now - self._updated) * self._rate) - amount
        self._updated = now
        return max(0.0, -self._level / self._rate)


class Window:
    """Allows up to `largest` requests in flight: one more after each round of answers, half after a refusal.

    Additive increase and multiplicative decrease (Chiu and Jain 1989). Just below the level that was refused last,
    growth is slow, so that a server with a fixed number of slots rarely refuses.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._limit = float(largest)
        self._refused_at = math.inf
        self._halved = -math.inf

    @property
    def size(self) -> int:
        """The number of requests that may be in flight now."""
        return int(self._limit)

    def answered(self) -> None:
        """Record an answered request."""
        slow = int(self._limit) + 1 >= self._refused_at
        self._limit = min(self._largest, self._limit + 1 / (self._limit * (_ROUNDS_BEFORE_RETRY if slow else 1)))
        if self._limit >= self._refused_at:  # the refused level now works
            self._refused_at = math.inf

    def refused(self, level: int, sent: float, now: float) -> None:
        """Record a refused request, sent with `level` in flight; ignore it if `sent` before the last halving."""
        if sent <= self._halved:
            return
        # A refusal below a refused level: this server does not refuse because of our concurrency.
        self._refused_at = math.inf if level < self._refused_at < math.inf else level
        self._limit = max(1.0, self._limit / 2)
        self._halved = now


class RateLimiter:
    """The limits on all requests to a server."""

    def __init__(self, concurrency: int, requests_per_minute: int, tokens_per_minute: int) -> None:
        now = time.monotonic()
        self._window = Window(concurrency)
        self._requests, self._tokens = Bucket(requests_per_minute, now), Bucket(tokens_per_minute, now)
        self._in_flight = 0
        self._paused_until = -math.inf
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[int]:
        """Wait until a request of `tokens` tokens may be sent; yield the number of requests then in flight."""
        while self._in_flight >= self._window.size:
            self._freed.clear()
            await self._freed.wait()
        self._in_flight += 1
        try:
            await self._pause_over()
            now = time.monotonic()
            await asyncio.sleep(max(self._requests.delay(1, now), self._tokens.delay(tokens, now)))
            await self._pause_over()
            yield self._in_flight
        finally:
            self._in_flight -= 1
            self._freed.set()

    async def _pause_over(self) -> None:
        while (rest := self._paused_until - time.monotonic()) > 0:
            await asyncio.sleep(rest)

    def pause(self, seconds: float) -> None:
        """Send nothing for `seconds`."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def answered(self) -> None:
        """Record an answered request."""
        self._window.answered()

    def refused(self, level: int, sent: float) -> None:
        """Record that a request sent at `sent` (monotonic) with `level` in flight was refused."""
        self._window.refused(level, sent, time.monotonic())


def retry_after(headers: Mapping[str, str], now: float) -> float:
    """Return the seconds that a server asks to wait (`retry-after-ms`, or `retry-after` as seconds or a date), or 0.

    `headers` are looked up in lower case; `now` is in seconds since the epoch. Invalid values are ignored, as RFC 9110
    specifies.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        header = headers.get(name, "")
        try:
            seconds = float(header) * unit
        except ValueError:
            seconds = _until(header, now)
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return 0.0


def _until(date: str, now: float) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - now
    except ValueError:
        return 0.0
