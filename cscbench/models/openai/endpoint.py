"""A server: requests within its limits, tried again where that can help."""

import asyncio
import logging
import random
import time
from typing import Any, Generic, TypeVar

import httpx2
import msgspec

from cscbench.models.openai import OpenAiOptions
from cscbench.models.openai.limits import RateLimiter, retry_after
from cscbench.models.openai.refusals import Refused, Unanswered, Unreachable, server_words
from cscbench.values import Frozen, UserError

log = logging.getLogger("cscbench")

T = TypeVar("T")

# Timeout, conflict, too early, too many: the client's errors that pass by themselves. Of the server's, all but "I
# can't do that at all".
_PASSING = (408, 409, 425, 429)
_NOT_PASSING = (501, 505)
_TOO_MANY = (429, 503)
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 30.0
_LONGEST_PAUSE_S = 900.0
_WORTH_SAYING_S = 5.0
# Servers drop idle connections after 5 s (uvicorn, llama.cpp): ours must be gone before, or a request meets a reset.
_KEEP_ALIVE_S = 3.0
_CONNECT_S = 15.0


class Answer(Generic[T], Frozen, frozen=True):
    """What came back, and how many seconds it took, waits and failed tries left out."""

    value: T
    seconds: float


class _Passing(Exception):
    """A failure that another try may not meet; `unreachable`: nobody was there to fail."""

    def __init__(self, words: str, unreachable: bool = False) -> None:
        super().__init__(words)
        self.unreachable = unreachable


class Endpoint:
    """A server at an address, with a key that is empty where it needs none. It lives in one event loop."""

    def __init__(self, url: str, key: str, settings: OpenAiOptions) -> None:
        self.url, self._key, self._settings = url.rstrip("/"), key, settings
        self._gate = RateLimiter(settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute)
        self._heard = -1.0  # when it last said anything at all (monotonic)
        self._http = httpx2.AsyncClient(
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            timeout=httpx2.Timeout(None, connect=_CONNECT_S),
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_S),
        )

    @property
    def has_key(self) -> bool:
        """Whether it was given a key."""
        return bool(self._key)

    async def get(self, url: str, into: type[T]) -> T:
        """What lies at a full address of the server.

        Raises:
            Refused, Unanswered, Unreachable: see `post`.
        """
        return (await self._tried("GET", url, b"", 0, into)).value

    async def post(self, path: str, body: dict[str, Any], tokens: int, into: type[T]) -> Answer[T]:
        """The answer to a request of about so many tokens.

        Raises:
            Refused: the server will not, and says why.
            Unanswered: every try failed; the last failure's words.
            Unreachable: nobody is at the address, or nobody any more.
        """
        return await self._tried("POST", f"{self.url}/{path}", msgspec.json.encode(body), tokens, into)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _tried(self, method: str, url: str, content: bytes, tokens: int, into: type[T]) -> Answer[T]:
        began = time.monotonic()
        for attempt in range(self._settings.retries + 1):
            if attempt:
                # Full jitter: those that failed together do not come back together.
                most = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** (attempt - 1))
                await asyncio.sleep(random.uniform(0, most))  # noqa: S311 - no secret
            try:
                async with self._gate.place(tokens) as level:
                    return await self._once(method, url, content, into, level)
            except _Passing as fault:
                last = fault
            if last.unreachable and self._heard < 0:
                raise Unreachable(str(last))
        if last.unreachable and self._heard < began:
            raise Unreachable(str(last))
        raise Unanswered(f"no reply after {self._settings.retries + 1} tries; the last: {last}")

    async def _once(self, method: str, url: str, content: bytes, into: type[T], level: int) -> Answer[T]:
        """One try; `level` were in flight when it was sent."""
        sent = time.monotonic()
        response = await self._whole(method, url, content, level)
        self._heard = time.monotonic()
        if response.status_code >= 300:
            if response.status_code in _TOO_MANY:
                self._gate.refused(level, sent)
            raise self._failure(response)
        try:
            value = msgspec.json.decode(response.content, type=into)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            words = server_words(response.content, self._key)
            raise _Passing(f"the answer is cut, or none ({error}): {words}") from None
        self._gate.answered()
        return Answer(value, self._heard - sent)

    async def _whole(self, method: str, url: str, content: bytes, level: int) -> httpx2.Response:
        """The whole response: its body, too, within the time allowed."""
        sent = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await self._http.request(method, url, content=content)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _Passing(f"cannot connect: {error or type(error).__name__}", unreachable=True) from None
        except (TimeoutError, httpx2.TimeoutException):
            self._gate.refused(level, sent)
            raise _Passing(f"no whole answer within {self._settings.timeout:g} s") from None
        except httpx2.RequestError as error:
            raise _Passing(f"the connection broke: {type(error).__name__}: {error}") from None

    def _failure(self, response: httpx2.Response) -> Exception:
        status, words = response.status_code, server_words(response.content, self._key)
        refused = Refused(status, words)
        if refused.for_all or not (status in _PASSING or (status >= 500 and status not in _NOT_PASSING)):
            return refused
        if (wait := retry_after(response.headers, time.time())) > _LONGEST_PAUSE_S:
            return UserError(
                f"the server asks to wait {wait / 60:.0f} minutes (HTTP {status}: {words}). "
                "Replies so far are on disk: then, the same command goes on"
            )
        if wait > _WORTH_SAYING_S:
            log.info("the server asks to wait %.0f s (HTTP %d)", wait, status)
        self._gate.pause(wait)
        return _Passing(f"HTTP {status}: {words}")
