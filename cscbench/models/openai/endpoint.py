"""A server: requests within its limits, retried if a retry can help."""

import asyncio
import logging
import random
import time
from typing import Any, Generic, TypeVar

import httpx2
import msgspec

from cscbench.models.openai import OpenAiOptions
from cscbench.models.openai.limits import RateLimiter, retry_after
from cscbench.models.openai.refusals import Refused, Unanswered, Unreachable, server_message
from cscbench.values import Frozen, UserError

log = logging.getLogger("cscbench")

T = TypeVar("T")

# Client errors to retry: timeout, conflict, too early, too many. Server errors are retried unless they mean that the
# server does not support the request.
_RETRIED_CLIENT_ERRORS = (408, 409, 425, 429)
_FINAL_SERVER_ERRORS = (501, 505)
_TOO_MANY = (429, 503)
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 0.5, 30.0
_MAX_PAUSE_S = 900.0
_LOGGED_PAUSE_S = 5.0
# Servers drop idle connections after 5 s (uvicorn, llama.cpp): we close ours earlier, or a request would meet a reset.
_KEEP_ALIVE_S = 3.0
_CONNECT_S = 15.0


class Answer(Generic[T], Frozen, frozen=True):
    """The decoded answer, and the seconds it took, without waits and failed attempts."""

    value: T
    seconds: float


class _Retryable(Exception):
    """A failure that a retry may not meet; `unreachable`: there was no connection to a server."""

    def __init__(self, message: str, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


class Endpoint:
    """A server at an address; `key` is empty if it needs none. An endpoint belongs to one event loop."""

    def __init__(self, url: str, key: str, settings: OpenAiOptions) -> None:
        self.url, self._key, self._settings = url.rstrip("/"), key, settings
        self._limiter = RateLimiter(settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute)
        self._last_response = -1.0  # when it last responded (monotonic)
        self._http = httpx2.AsyncClient(
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            timeout=httpx2.Timeout(None, connect=_CONNECT_S),
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_S),
        )

    @property
    def has_key(self) -> bool:
        """Whether requests are sent with a key."""
        return bool(self._key)

    async def get(self, url: str, into: type[T]) -> T:
        """Get a full URL of the server.

        Raises:
            Refused, Unanswered, Unreachable: see `post`.
        """
        return (await self._with_retries("GET", url, b"", 0, into)).value

    async def post(self, path: str, body: dict[str, Any], tokens: int, into: type[T]) -> Answer[T]:
        """Post a request of about `tokens` tokens and return the answer.

        Raises:
            Refused: the server refuses the request and says why.
            Unanswered: every attempt failed; the message is the last failure's.
            Unreachable: no server answers at the address, or none does any more.
        """
        return await self._with_retries("POST", f"{self.url}/{path}", msgspec.json.encode(body), tokens, into)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _with_retries(self, method: str, url: str, content: bytes, tokens: int, into: type[T]) -> Answer[T]:
        began = time.monotonic()
        for attempt in range(self._settings.retries + 1):
            if attempt:
                # Full jitter: requests that failed together must not return together.
                longest = min(_MAX_BACKOFF_S, _FIRST_BACKOFF_S * 2 ** (attempt - 1))
                await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - no secret
            try:
                async with self._limiter.slot(tokens) as level:
                    return await self._attempt(method, url, content, into, level)
            except _Retryable as fault:
                last = fault
            if last.unreachable and self._last_response < 0:
                raise Unreachable(str(last))
        if last.unreachable and self._last_response < began:
            raise Unreachable(str(last))
        raise Unanswered(f"no reply after {self._settings.retries + 1} attempts; the last: {last}")

    async def _attempt(self, method: str, url: str, content: bytes, into: type[T], level: int) -> Answer[T]:
        """Send a request once; `level` is the number of requests in flight, this one included."""
        sent = time.monotonic()
        response = await self._response(method, url, content, level)
        self._last_response = time.monotonic()
        if response.status_code >= 300:
            if response.status_code in _TOO_MANY:
                self._limiter.refused(level, sent)
            raise self._failure(response)
        try:
            value = msgspec.json.decode(response.content, type=into)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = server_message(response.content, self._key)
            raise _Retryable(f"the answer is truncated or invalid ({error}): {message}") from None
        self._limiter.answered()
        return Answer(value, self._last_response - sent)

    async def _response(self, method: str, url: str, content: bytes, level: int) -> httpx2.Response:
        """Return the complete response, including its body, within the timeout."""
        sent = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await self._http.request(method, url, content=content)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _Retryable(f"cannot connect: {error or type(error).__name__}", unreachable=True) from None
        except (TimeoutError, httpx2.TimeoutException):
            self._limiter.refused(level, sent)
            raise _Retryable(f"no complete answer within {self._settings.timeout:g} s") from None
        except httpx2.RequestError as error:
            raise _Retryable(f"the connection broke: {type(error).__name__}: {error}") from None

    def _failure(self, response: httpx2.Response) -> Exception:
        status, message = response.status_code, server_message(response.content, self._key)
        refused = Refused(status, message)
        retried = status in _RETRIED_CLIENT_ERRORS or (status >= 500 and status not in _FINAL_SERVER_ERRORS)
        if refused.for_all or not retried:
            return refused
        if (wait := retry_after(response.headers, time.time())) > _MAX_PAUSE_S:
            return UserError(
                f"the server asks to wait {wait / 60:.0f} minutes (HTTP {status}: {message}). "
                "Replies so far are saved; repeat the command then to continue"
            )
        if wait > _LOGGED_PAUSE_S:
            log.info("the server asks to wait %.0f s (HTTP %d)", wait, status)
        self._limiter.pause(wait)
        return _Retryable(f"HTTP {status}: {message}")
