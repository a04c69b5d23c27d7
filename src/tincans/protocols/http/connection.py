"""One HTTP/1.1 connection of a client: a request out, its response in, all of it before a deadline.

Rules of this file
- httptools parses; here are the socket, the clock, the limits. One thread at a time; `close` may be called by any.
- What broke is told apart: "not_sent" when the request never left whole, so that nobody can have run it, "unknown"
  after that.
"""

from __future__ import annotations

import select
import socket
from time import monotonic
from typing import Any

from msgspec import Struct

from tincans.errors import CallTimeoutError, DisconnectedError, MissingLibraryError, ProtocolError
from tincans.toolkit.deadline import left_of

CHUNK = 256 * 1024
MOST_HEAD = 64 * 1024
NO_LIMIT = 3600.0 * 24


class Response(Struct):
    """What came back. `headers` by their names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type, without its parameters, in small letters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class _Reading:
    """The parser's callbacks, for one response."""

    def __init__(self, limit: int) -> None:
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.size = 0
        self.head_size = 0
        self.head_done = False
        self.done = False
        self._limit = limit

    def on_header(self, name: bytes, value: bytes) -> None:
        self.head_size += len(name) + len(value) + 4
        if self.head_size > MOST_HEAD:
            raise ProtocolError(f"The head of the response is larger than {MOST_HEAD} bytes.")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.head_done = True

    def on_body(self, piece: bytes) -> None:
        self.size += len(piece)
        if self.size > self._limit:
            raise ProtocolError(f"The response is larger than {self._limit} bytes. The option max_message allows more.")
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        self.done = True


class HttpConnection:
    """A connected socket that speaks HTTP/1.1."""

    def __init__(self, stream: Any, url: str, limit: int) -> None:
        self.last_used = monotonic()
        self.reusable = True
        self._stream = stream
        self._url = url
        self._limit = limit
        self._reading: _Reading = _Reading(limit)
        self._parser: Any = None
        self._poll = select.poll()
        self._poll.register(stream.fileno(), select.POLLIN)

    def is_fresh(self, most_idle: float) -> bool:
        """Whether the other end still waits for our next request."""
        return monotonic() - self.last_used < most_idle and not self._poll.poll(0)

    def send(self, request: bytes, deadline: float | None, operation: str) -> None:
        """The whole request."""
        self._parser = None
        self._reading = _Reading(self._limit)
        self.reusable = False
        try:
            self._stream.settimeout(left_of(deadline, least=0.001))
            self._stream.sendall(request)
        except TimeoutError:
            raise CallTimeoutError(f"{operation}: {self._url} took no request in time.", operation=operation) from None
        except (OSError, ValueError) as error:
            raise DisconnectedError(
                f"{self._url} closed the connection before it had the request.",
                outcome="not_sent",
                url=self._url,
                operation=operation,
            ) from error

    def response(self, deadline: float | None, operation: str) -> Response:
        """The whole response."""
        head = self.head(deadline, operation)
        if self._reading.done or not self.is_stream(head):
            while not self._reading.done:
                self._more(deadline, operation)
            self.reusable = self._parser.should_keep_alive()
            self.last_used = monotonic()
            head.body = b"".join(self._reading.pieces)
        return head

    @staticmethod
    def is_stream(head: Response) -> bool:
        """Whether what follows are events, to be taken one by one."""
        return head.content_type == "text/event-stream"

    def head(self, deadline: float | None, operation: str) -> Response:
        """The status and the headers."""
        status = 0
        while status < 200:
            while not self._reading.head_done:
                self._more(deadline, operation)
            status = self._parser.get_status_code()
            if status < 200:  # an interim response; the real one follows
                self._reading, self._parser = _Reading(self._limit), None
        return Response(status, self._reading.headers, b"")

    def piece(self, timeout: float) -> bytes | None:
        """What has arrived of an open body; None at the timeout, b"" at its end."""
        reading = self._reading
        if not reading.pieces and not reading.done:
            if not self._poll.poll(max(0.0, timeout) * 1000) and not self._has_pending():
                return None
            self._more(monotonic() + NO_LIMIT, "")
        data = b"".join(reading.pieces)
        reading.pieces, reading.size = [], 0
        return data if data or reading.done else None

    def _has_pending(self) -> bool:
        pending = getattr(self._stream, "pending", None)  # TLS may have decrypted more than it gave
        return bool(pending and pending())

    def _more(self, deadline: float | None, operation: str) -> None:
        """Receive once and parse."""
        try:
            self._stream.settimeout(left_of(deadline, least=0.001))
            data = self._stream.recv(CHUNK)
        except TimeoutError:
            raise CallTimeoutError(f"{operation} got no answer in time.", operation=operation) from None
        except (OSError, ValueError) as error:
            raise self._lost(operation) from error
        if not data:
            self._ended(operation)
            return
        if self._parser is None:
            self._parser = _parser(self._reading)
        try:
            self._parser.feed_data(data)
        except Exception as error:
            cause = error.__context__ if isinstance(error.__context__, ProtocolError) else error
            raise ProtocolError(f"{self._url} did not answer in HTTP/1.1: {cause}", url=self._url) from None

    def _ended(self, operation: str) -> None:
        reading = self._reading
        until_the_end = not {"content-length", "transfer-encoding"} & reading.headers.keys()
        if not reading.head_done or not until_the_end:
            raise self._lost(operation)
        reading.done = True

    def _lost(self, operation: str) -> DisconnectedError:
        text = f"{self._url} closed the connection before it answered."
        return DisconnectedError(text, outcome="unknown", url=self._url, operation=operation or None)

    def close(self) -> None:
        """Wakes whoever waits. Never blocks."""
        self.reusable = False
        try:
            self._stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._stream.close()

    def abandon(self) -> None:
        """In a forked child: let go of the descriptor without a word to the other end."""
        self.reusable = False
        self._stream.close()

    def interrupt(self) -> None:
        """Wake the thread that uses it; that one closes it."""
        try:
            self._stream.shutdown(socket.SHUT_RDWR)
        except (OSError, ValueError):
            pass


def _parser(reading: _Reading) -> Any:
    try:
        import httptools
    except ImportError as error:
        raise MissingLibraryError("HTTP needs the library 'httptools': pip install 'tincans[http]'") from error
    return httptools.HttpResponseParser(reading)
