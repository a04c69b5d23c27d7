"""A serving program's HTTP port for tests, and plain ways to knock at it: a request, or raw bytes.

Rules of this file
- The server is in this program; whoever must be another program is started as one (test_http_interop.py).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from interop.alice import add, echo, join

import tincans

PATIENCE = 10.0


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Stage:
    """One server and its port."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.url: str = server.url
        self.port = int(server.url.partition("?")[0].rpartition(":")[2].strip("/"))
        self.closed: list[str] = []

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own; `body` is sent as JSON unless it is bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        if body is not None:
            named.setdefault("Content-Type", "application/json")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, named)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def connected(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def raw(self, data: bytes) -> bytes:
        """Send bytes; all that comes until the server closes, or falls silent."""
        with self.connected() as stream:
            stream.sendall(data)
            return until_silent(stream)


def until_silent(stream: socket.socket, seconds: float = 0.5) -> bytes:
    """What comes until the end, or until nothing has come for a while."""
    stream.settimeout(seconds)
    pieces = []
    with contextlib.suppress(TimeoutError, ConnectionError):
        while piece := stream.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)


def is_closed_within(stream: socket.socket, seconds: float) -> bool:
    """Whether the server ends the connection in time."""
    stream.settimeout(seconds)
    try:
        while stream.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


@contextlib.contextmanager
def serving(url: str = "http://127.0.0.1:0", **options: Any) -> Iterator[Stage]:
    """A server with a few functions."""
    with tincans.serve(url, **options) as server:
        stage = Stage(server)
        expose(stage)
        yield stage


def expose(stage: Stage) -> None:
    """What can be called."""
    server = stage.server

    server.expose(add, safe=True)
    server.expose(echo)

    @server.expose
    def fail(text: str) -> None:
        """Raise."""
        raise ValueError(text)

    @server.expose
    def sleep(seconds: float) -> str:
        """Take long."""
        time.sleep(seconds)
        return "awake"

    @server.expose
    def count(n: int) -> Iterator[int]:
        """0, 1, ... n-1."""
        try:
            yield from range(n)
        finally:
            stage.closed.append("count")

    server.expose(join, safe=True)
