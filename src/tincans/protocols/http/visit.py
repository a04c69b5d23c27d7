"""One request on its way through the application: what came, and the ways to answer it.

Rules of this file
- ASGI in, ASGI out; nothing is known of functions here. See https://asgi.readthedocs.io/en/latest/specs/www.html.
- A body is bounded in bytes and in time before it is believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from tincans.contracts import Identity
from tincans.protocols.http.events import ALIVE, ALIVE_EVERY
from tincans.protocols.http.events import CONTENT_TYPE as EVENTS
from tincans.protocols.http.flow import Flow
from tincans.protocols.http.problems import CONTENT_TYPE, Problem, problem_text

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

JSON = b"application/json"
MOST_SECONDS = 3600.0
_SAFE = (b"x-content-type-options", b"nosniff")


class Settings(Struct, frozen=True):
    """How an application behaves. Sizes in bytes, times in seconds.

    `cors`: the origins whose pages may call, "*" for all. `hosts`: the names by which it may be addressed, None for
    any. `keys`: those that callers may show; empty when anybody may call.
    """

    max_message: int = 16 * 1024 * 1024
    call_timeout: float = 30.0
    client_timeout: float = 20.0
    cors: tuple[str, ...] = ()
    hosts: frozenset[str] | None = None
    keys: Mapping[str, bytes] = {}


class Gone(Exception):
    """The client has gone away: nobody wants an answer."""


class Visit:
    """One request."""

    __slots__ = ("_more", "_receive", "_send", "base", "caller", "headers", "method", "path", "query", "settings")

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings) -> None:
        self.method: str = scope["method"]
        self.base: str = scope.get("root_path", "")
        path: str = scope["path"]
        self.path = path[len(self.base) :] if self.base and path.startswith(self.base) else path
        self.query: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.settings = settings
        client = scope.get("client")
        self.caller = Identity(address=f"{client[0]}:{client[1]}" if client else "")
        self._receive = receive
        self._send = send
        self._more: list[tuple[bytes, bytes]] = [_SAFE]

    def add_header(self, name: bytes, value: bytes) -> None:
        """To whatever the answer will be."""
        self._more.append((name, value))

    def content_type(self) -> bytes:
        """The media type of the body, without its parameters, in small letters."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()

    def has_body(self) -> bool:
        """Whether the head announces one."""
        return self.headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in self.headers

    def timeout(self) -> float:
        """Seconds for a call: what the header `Tincans-Timeout` says, else the server's own."""
        told = self.headers.get(b"tincans-timeout")
        if told is None:
            return self.settings.call_timeout
        try:
            return min(max(0.001, float(told)), MOST_SECONDS)
        except ValueError:
            raise Problem(400, "The header Tincans-Timeout is a number of seconds.") from None

    async def body(self) -> bytes:
        """The whole body. Problem 413 when it is too large, 408 when it takes too long."""
        most = self.settings.max_message
        length = self.headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > most:
            raise self._too_large(most)
        try:
            async with asyncio.timeout(self.settings.client_timeout + most / MIN_RATE):
                message = await self._receive()
                data: bytes = message.get("body", b"")
                if message.get("more_body"):
                    return await self._rest(data, most)
        except TimeoutError:
            raise Problem(408, "The body did not arrive in time.", connection="close") from None
        if len(data) > most:
            raise self._too_large(most)
        return data

    async def _rest(self, data: bytes, most: int) -> bytes:
        pieces, size, more = [data], len(data), True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > most:
                raise self._too_large(most)
            more = message.get("more_body", False)
        return b"".join(pieces)

    def _too_large(self, most: int) -> Problem:
        # What is left of the body is not worth receiving.
        return Problem(
            413, f"The body is larger than {most} bytes, this server's limit.", "too_large", connection="close"
        )

    async def gone(self) -> None:
        """Returns when the client has gone away; to be awaited after the body was taken."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def answer(self, status: int, body: bytes, content_type: bytes = JSON, headers: Headers = ()) -> None:
        """The whole response."""
        told = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *self._more, *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": told})
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, problem: Problem) -> None:
        """The response for a request that is not even tried."""
        body = problem_text(problem.status, problem.code, problem.detail)
        await self.answer(problem.status, body, CONTENT_TYPE, problem.headers)

    async def nothing(self, status: int, headers: Headers = ()) -> None:
        """A response without a body."""
        await self._send({"type": "http.response.start", "status": status, "headers": [*self._more, *headers]})
        await self._send({"type": "http.response.body", "body": b""})

    async def stream(self, flow: Flow) -> None:
        """Server-sent events until the last, or until the client has gone."""
        told = [(b"content-type", EVENTS), (b"cache-control", b"no-store"), *self._more]
        gone = asyncio.ensure_future(self.gone())
        taking: asyncio.Future[bytes | None] | None = None
        try:
            await self._send({"type": "http.response.start", "status": 200, "headers": told})
            while not gone.done():
                taking = taking or asyncio.ensure_future(flow.take())
                both: set[asyncio.Future[Any]] = {taking, gone}
                await asyncio.wait(both, timeout=ALIVE_EVERY, return_when=asyncio.FIRST_COMPLETED)
                data: bytes | None = ALIVE
                if taking.done():
                    data, taking = taking.result(), None
                if data is None or gone.done():
                    break
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
            await self._send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            if taking is not None:
                taking.cancel()
            flow.close()


MIN_RATE = 16 * 1024
"""Bytes per second: who sends a body more slowly is cut."""
