"""The server of our own: uvicorn's HTTP/1.1 on an event loop of its own, and what it leaves to others: limits.

Rules of this file
- A request's head is bounded in bytes, lines and time, a body in time; who does not read an answer is cut. One sweep a
  second looks after all connections; without connections nothing runs.
- When there are too many connections, the one goes that has waited longest without a request: strangers who come in
  crowds shut nobody out.
- What could be read in two ways (Content-Length beside Transfer-Encoding, say) is refused by the parser, and the
  connection closed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from tincans.errors import MissingLibraryError
from tincans.protocols.http.visit import MIN_RATE
from tincans.toolkit.daemon_threads import spawn
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.tcp_socket import tune

MOST_HEAD = 64 * 1024
MOST_HEADERS = 100
MOST_CONNECTIONS = 4000
HEAD_SECONDS = 5.0
"""For a TLS handshake, and then for a head: as for the greeting of our own clients (core/handshake.py)."""
KEEP_ALIVE = 75.0
"""Seconds that an idle connection is kept, as nginx does."""
SWEEP = 1.0
DRAIN = 5.0
BACKLOG = 1024

_HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Engine:
    """One listening socket, served until `close`."""

    def __init__(self, listening: socket.socket, application: Any, *, tls: Any, client_timeout: float) -> None:
        self._socket = listening
        self._application = application
        self._tls = tls
        self._client_timeout = client_timeout
        self._started: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: set[Any] = set()
        abandon_in_child(self)

    def begin(self) -> None:
        """Serve on a thread; returns when it does."""
        spawn(self._run, "tincans-http")
        self._started.result(30)

    def _run(self) -> None:
        try:
            loop = _new_loop()
            self._loop = loop
            try:
                loop.run_until_complete(self._serve())
            finally:
                loop.close()
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
        finally:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        make, state = guarded(self._application, self._client_timeout)
        self._connections = state.connections
        patience = None if self._tls is None else HEAD_SECONDS
        server = await loop.create_server(
            make, sock=self._socket, ssl=self._tls, backlog=BACKLOG, ssl_handshake_timeout=patience
        )
        self._started.set_result(None)
        await self._stopping.wait()
        server.close()
        self._application.end_waits()
        await _drained(state)

    def abandon(self) -> None:
        """In a forked child, which has no thread of ours: let go of the descriptors."""
        self._loop = None
        held = [connection.transport.get_extra_info("socket") for connection in list(self._connections)]
        for each in [self._socket, *held]:
            try:
                os.close(each.fileno())  # `close` would wait for the loop, which is not here
            except (OSError, AttributeError):
                pass  # it was ending just now

    def close(self) -> None:
        """Stop listening, let what runs end, within a bounded time."""
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None and not self._ended.done():
            try:
                loop.call_soon_threadsafe(stopping.set)
            except RuntimeError:
                pass  # it has ended just now
            self._ended.result(DRAIN + 5)
        self._socket.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    """The faster loop, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _drained(state: Any) -> None:
    """No new requests; those that run may end within DRAIN seconds, and are cut then."""
    for connection in list(state.connections):
        connection.shutdown()
    deadline = asyncio.get_running_loop().time() + DRAIN
    while (state.tasks or state.connections) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
    for connection in list(state.connections):
        connection.transport.abort()
    for task in list(state.tasks):
        task.cancel()
    if state.tasks:
        await asyncio.wait(list(state.tasks), timeout=1)


_PLAIN: Mapping[str, Any] = {
    "log_config": None,
    "access_log": False,
    "lifespan": "off",
    "ws": "none",
    "proxy_headers": False,
    "interface": "asgi3",
    "limit_concurrency": MOST_CONNECTIONS + BACKLOG,
}
"""uvicorn without what is not needed here."""


def guarded(application: Any, client_timeout: float) -> tuple[Callable[[], Any], Any]:
    """What makes the protocol of each connection, and the state that they share.

    Its class stands in here, for what it is made from is loaded when a server starts.
    """
    try:
        from uvicorn.config import Config
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
        from uvicorn.server import ServerState
    except ImportError as error:
        raise MissingLibraryError(f"HTTP needs the library {error.name!r}: pip install 'tincans[http]'") from error

    config = Config(application, http=HttpToolsProtocol, timeout_keep_alive=int(KEEP_ALIVE), **_PLAIN)
    config.load()
    state = ServerState()
    sweeper = Sweeper(state.connections, client_timeout)

    class Guarded(HttpToolsProtocol):
        """One connection, within limits."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            tune(transport.get_extra_info("socket"))
            self.logger = _quiet
            self.head_size = self.head_lines = self.taken = 0
            self.in_head = True
            self.begun: float | None = self.loop.time()
            self.unread_since: tuple[float, int] | None = None
            self.waits_since = self.begun
            sweeper.begin(self.loop)
            sweeper.make_room()

        def data_received(self, data: bytes) -> None:
            if self.begun is None:
                self.begun, self.taken = self.loop.time(), 0
            self.taken += len(data)
            self.head_size += len(data)
            super().data_received(data)
            if self.in_head and self.head_size > MOST_HEAD and not self.transport.is_closing():
                self.transport.write(_HEAD_TOO_LARGE)
                self.transport.close()

        def on_message_begin(self) -> None:
            self.in_head, self.head_lines = True, 0
            self.begun = self.begun or self.loop.time()
            super().on_message_begin()

        def on_header(self, name: bytes, value: bytes) -> None:
            self.head_lines += 1
            if self.head_lines <= MOST_HEADERS:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self.in_head = False
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MOST_HEAD or self.head_lines > MOST_HEADERS:
                self.transport.write(_HEAD_TOO_LARGE)
                self.transport.close()
                raise ValueError("the head is too large")
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self.begun = None
            self.waits_since = self.loop.time()
            self.in_head, self.head_size = True, 0
            super().on_message_complete()

        def send_400_response(self, msg: str) -> None:
            if not self.transport.is_closing():
                super().send_400_response(msg)

    return lambda: Guarded(config, state, {}, asyncio.get_running_loop()), state


_quiet = logging.getLogger("tincans.http")
"""A stranger's garbage is no news for the log of the program."""
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


class Sweeper:
    """Cuts those who take too long to say or to hear something."""

    def __init__(self, connections: set[Any], client_timeout: float) -> None:
        self._connections = connections
        self._timeout = client_timeout
        self._head_timeout = min(client_timeout, HEAD_SECONDS)
        self._most = most_connections()
        self._running = False

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on, as long as there are connections."""
        if not self._running:
            self._running = True
            loop.call_later(SWEEP, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._connections):
            if self._is_late(connection, now):
                connection.transport.abort()
        self._running = False
        if self._connections:
            self.begin(loop)

    def make_room(self) -> None:
        """One has come; when there are too many, the one that has waited longest goes. Who is being served stays."""
        if len(self._connections) <= self._most:
            return
        waiting = [each for each in self._connections if _waits(each)]
        if len(waiting) > 1:
            min(waiting, key=lambda each: each.waits_since).transport.abort()

    def _is_late(self, connection: Any, now: float) -> bool:
        begun = connection.begun
        most = self._head_timeout if connection.in_head else self._timeout
        if begun is not None and now - begun > most + connection.taken / MIN_RATE:
            return True
        cycle = connection.cycle
        answered = cycle is None or cycle.response_complete
        if not answered or not connection.transport.get_write_buffer_size():
            connection.unread_since = None
            return False
        unread = connection.transport.get_write_buffer_size()
        if connection.unread_since is None or unread < connection.unread_since[1]:
            connection.unread_since = (now, unread)
        return bool(now - connection.unread_since[0] > self._timeout)


def most_connections() -> int:
    """As many as may be, with descriptors left for the rest of the program."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(MOST_CONNECTIONS, soft * 3 // 4))


def _waits(connection: Any) -> bool:
    """Whether it has no request under way, of which more than the head is here."""
    cycle = connection.cycle
    served = cycle is not None and not cycle.response_complete
    return bool(connection.in_head and not served and not connection.transport.is_closing())
