"""A real HTTP server with a chat completions API that fails on demand and counts its requests and answers.

A reply's text is a digest of the messages that it answers, so that a reply scored for another request is noticed.
"""

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


def digest(messages: Sequence[dict[str, str]]) -> str:
    """Return what the server answers to these messages."""
    return hashlib.sha256(json.dumps(messages, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Call:
    """A received request: its number, time and content. `digest` is empty for a GET."""

    number: int
    at: float
    path: str
    digest: str
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass(frozen=True)
class Does:
    """What the server does with a call: wait, then answer in full, answer half of the body, or reset the connection."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""  # empty: a completion, or an error of OpenAI's shape
    wait: float = 0.0
    cut: bool = False
    reset: bool = False


Behaviour = Callable[[Call], Does]


def completion(call: Call) -> dict[str, Any]:
    """A well-formed answer: a prompt token for each four characters, and eight completion tokens."""
    words = sum(len(message["content"]) for message in call.body["messages"]) // 4
    message = {"role": "assistant", "content": f"[GT] {call.digest}"}
    return {
        "model": call.body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": words, "completion_tokens": 8},
    }


class FaultServer:
    """Serves on a free port in its own thread, within a `with` block.

    It refuses more than `slots` calls at once with 429, and calls without its `key` with 401.
    """

    def __init__(
        self,
        does: Behaviour = lambda _call: Does(),
        *,
        slots: int = 10_000,
        key: str = "",
        models: Sequence[dict[str, Any]] = ({"id": "echo"},),
        answer: Callable[[Call], dict[str, Any]] = completion,
    ) -> None:
        self._does, self._slots, self._key, self._models, self._answer = does, slots, key, models, answer
        self.calls: list[Call] = []
        self.answered: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0

    @property
    def url(self) -> str:
        """The base URL for clients."""
        return f"http://127.0.0.1:{self._port}/v1"

    def asked(self) -> list[Call]:
        """The calls for completions, without the adapter's own short request at each start."""
        return [call for call in self.calls if call.digest and "word OK" not in call.body["messages"][-1]["content"]]

    def __enter__(self) -> "FaultServer":
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(ready)), daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_call(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone (killed, or timed out), or the server is stopping
        finally:
            writer.close()

    async def _serve_call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one call; return whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        body = json.loads(content) if content else {}
        method, path = head[0].split()[:2]
        about = digest(body["messages"]) if method == "POST" else ""
        call = Call(len(self.calls), time.monotonic(), path, about, body, headers)
        self.calls.append(call)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            does = self._decide(call)
            if does.wait:
                await asyncio.sleep(does.wait)
            return await self._respond(call, does, writer)
        finally:
            self.in_flight -= 1

    def _decide(self, call: Call) -> Does:
        if self._key and call.headers.get("authorization") != f"Bearer {self._key}":
            given = call.headers.get("authorization", "nothing")
            return Does(401, body=error(f"Incorrect API key provided: {given}", "invalid_api_key"))
        if self.in_flight > self._slots:
            return Does(429)
        return self._does(call)

    async def _respond(self, call: Call, does: Does, writer: asyncio.StreamWriter) -> bool:
        if does.reset:
            self.statuses["reset"] += 1
            writer.transport.abort()
            return False
        if does.body:
            body = does.body
        elif does.status != 200:
            body = error(f"told to fail with {does.status}", "told")
        else:
            listing = {"object": "list", "data": list(self._models)}
            body = json.dumps(self._answer(call) if call.digest else listing).encode()
        lines = [f"HTTP/1.1 {does.status} Status", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in does.headers.items()]
        half = body[: len(body) // 2]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (half if does.cut else body))
        await writer.drain()
        self.statuses["cut" if does.cut else str(does.status)] += 1
        if does.status == 200 and not does.cut and not does.body:
            self.answered[call.digest] += 1
        return not does.cut


def error(message: str, code: str) -> bytes:
    """An error as OpenAI writes it."""
    return json.dumps({"error": {"message": message, "type": "error", "code": code}}).encode()
