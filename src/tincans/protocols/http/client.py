"""An HTTP client for many threads: connections kept and used again, requests bounded in time and size.

Rules of this file
- A thread takes a connection that waits, or makes one; it puts it back when the response was whole.
- A connection that was left alone for a while is not trusted: its server may close it just now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import Any

from tincans.core.address import Address
from tincans.errors import ClosedError, DisconnectedError, TincansError, TooLargeError, UnreachableError
from tincans.protocols.http.connection import HttpConnection, Response
from tincans.toolkit.deadline import deadline_of
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.tcp_socket import DEFAULT_HOST, connect, tls_of, tune

MOST_IDLE = 20.0
"""Seconds; servers keep idle connections for 60 s or more, some for 5 s only: those are seen to be closed."""
MOST_KEPT = 32
CONNECT_TIMEOUT = 5.0


class HttpClient:
    """The requests of one peer."""

    def __init__(self, address: Address, settings: Mapping[str, Any], key: bytes | None) -> None:
        self.url = str(address)
        self.max_message: int = settings["max_message"]
        self._address = address
        self._tls = tls_of(settings, self.url, serving=False)
        self._idle: deque[HttpConnection] = deque()
        self._busy: set[HttpConnection] = set()
        self._closed = False
        abandon_in_child(self)
        host = f"[{address.host}]" if ":" in address.host else address.host or DEFAULT_HOST
        lines = [f"Host: {host}:{address.port}", "User-Agent: tincans", "Accept: */*"]
        self._common = "\r\n".join(lines).encode("ascii") + b"\r\n"
        if key is not None:
            self._common += b"Authorization: Bearer " + key + b"\r\n"

    def head_of(self, method: str, target: str, content_type: str = "", **headers: str) -> bytes:
        """The head of a request, but for its length; to be made once and used often."""
        lines = [f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items()]
        if content_type:
            lines.append(f"Content-Type: {content_type}\r\n")
        start = f"{method} {target} HTTP/1.1\r\n".encode("ascii")
        return start + self._common + "".join(lines).encode("latin-1") + b"Content-Length: "

    def send(
        self, head: bytes, body: bytes, *, operation: str, timeout: float | None
    ) -> tuple[Response, HttpConnection]:
        """One request, and its response. When that is a stream of events, the connection is the caller's from now on.

        DisconnectedError with its outcome, CallTimeoutError, TooLargeError, ClosedError.
        """
        if len(body) > self.max_message:
            raise TooLargeError(
                f"{operation} is larger than {self.max_message} bytes; nothing was sent. The option max_message allows"
                " more.",
                operation=operation,
            )
        deadline = deadline_of(timeout)
        connection = self._take(deadline, operation)
        try:
            connection.send(b"%b%d\r\n\r\n%b" % (head, len(body), body), deadline, operation)
            response = connection.response(deadline, operation)
        except BaseException as error:
            self.drop(connection)
            if self._closed and isinstance(error, TincansError):
                raise self._closed_error() from None
            raise
        if not connection.is_stream(response):
            self._put_back(connection)
        return response, connection

    def _take(self, deadline: float | None, operation: str) -> HttpConnection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._made(deadline, operation)
            self._busy.add(connection)
            if self._closed:
                self.drop(connection)
                raise self._closed_error()
            if connection.is_fresh(MOST_IDLE):
                return connection
            self.drop(connection)

    def _made(self, deadline: float | None, operation: str) -> HttpConnection:
        if self._closed:
            raise self._closed_error()
        try:
            connection = self.dial(timeout=CONNECT_TIMEOUT if deadline is None else max(0.001, deadline - monotonic()))
        except UnreachableError as error:
            raise DisconnectedError(str(error), outcome="not_sent", url=self.url, operation=operation) from error
        self._busy.add(connection)
        if self._closed:
            self.drop(connection)
            raise self._closed_error()
        return connection

    def dial(self, *, timeout: float) -> HttpConnection:
        """A new connection. UnreachableError."""
        stream: Any = connect(self._address, monotonic() + min(timeout, CONNECT_TIMEOUT))
        try:
            tune(stream)
            if self._tls is not None:
                stream = self._tls.context.wrap_socket(stream, server_hostname=self._address.host or DEFAULT_HOST)
        except OSError as error:
            stream.close()
            raise UnreachableError(f"TLS could not be agreed upon: {error}", url=self.url) from error
        return HttpConnection(stream, self.url, self.max_message)

    def try_out(self, *, timeout: float) -> None:
        """UnreachableError when nobody serves there."""
        self._idle.append(self.dial(timeout=timeout))

    def _put_back(self, connection: HttpConnection) -> None:
        self._busy.discard(connection)
        if connection.reusable and not self._closed and len(self._idle) < MOST_KEPT:
            self._idle.append(connection)
            if self._closed:
                self._close_idle()
        else:
            connection.close()

    def drop(self, connection: HttpConnection) -> None:
        """It is of no use any more."""
        self._busy.discard(connection)
        connection.close()

    def _closed_error(self) -> ClosedError:
        return ClosedError(f"This peer of {self.url} was closed.", url=self.url)

    @property
    def closed(self) -> bool:
        return self._closed

    def _close_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def abandon(self) -> None:
        """In a forked child: the parent's connections are not ours; what we call next makes new ones."""
        for connection in [*self._idle, *self._busy]:
            connection.abandon()
        self._idle.clear()
        self._busy.clear()

    def close(self) -> None:
        """Wake whoever waits (ClosedError). May be called twice."""
        self._closed = True
        self._close_idle()
        for connection in list(self._busy):
            connection.interrupt()
