"""Server-sent events as they are received: the elements of a stream, or the news of a hub.

Rules of this file
- A stream owns its connection; closing the stream closes it, which the server notices.
- Signs of life come every few seconds; a server that is silent for three times as long is given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from tincans.core.streams import ENDED
from tincans.errors import ClosedError, DisconnectedError, TincansError
from tincans.protocols.http.client import HttpClient
from tincans.protocols.http.connection import HttpConnection
from tincans.protocols.http.events import ALIVE_EVERY, Event, EventReader
from tincans.toolkit.deadline import deadline_of

SILENCE = 3 * ALIVE_EVERY


class EventStream:
    """The events of one response. One thread at a time; `close` may be called by any."""

    def __init__(self, client: HttpClient, connection: HttpConnection) -> None:
        self._client = client
        self._connection = connection
        self._reader = EventReader(client.max_message)
        self._events: deque[Event] = deque()
        self._heard = monotonic()
        self._closed = False

    def receive(self, *, timeout: float | None) -> Event | None:
        """The next event; None at the timeout. DisconnectedError when the stream broke off, ClosedError."""
        deadline = deadline_of(timeout)
        while not self._events:
            if self._closed:
                raise ClosedError("This stream was closed.")
            left = SILENCE if deadline is None else deadline - monotonic()
            if not self._take_in(min(left, SILENCE)) and left <= 0:
                return None
        return self._events.popleft()

    def _take_in(self, timeout: float) -> bool:
        """Whether anything has come."""
        try:
            piece = self._connection.piece(timeout)
        except (TincansError, ValueError, OSError) as error:
            raise self._broken() from error
        if piece is None:
            if monotonic() - self._heard > SILENCE:
                self.close()
                raise DisconnectedError(f"{self._client.url} was silent for {SILENCE:g} s.", url=self._client.url)
            return False
        if not piece:
            raise self._broken()
        self._heard = monotonic()
        self._events.extend(self._reader.feed(piece))
        return True

    def _broken(self) -> TincansError:
        closed = self._closed
        self.close()
        if closed or self._client.closed:
            return ClosedError("This stream was closed.")
        return DisconnectedError(f"{self._client.url} broke the stream off.", url=self._client.url)

    def close(self) -> None:
        """Wakes whoever waits. May be called twice."""
        self._closed = True
        self._client.drop(self._connection)

    __del__ = close


class RemoteStream:
    """A stream as an iterator. `read` makes an element of an event, `fail` the error of one named "error"."""

    def __init__(
        self, events: EventStream, read: Callable[[bytes], Any], fail: Callable[[bytes], TincansError]
    ) -> None:
        self._events = events
        self._read = read
        self._fail = fail
        self._over = False

    def __iter__(self) -> RemoteStream:
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        event = self._events.receive(timeout=None)
        if event is not None and event.name == "message":
            return self._read(event.data)
        self.close()
        if event is None or event.name == "end":
            raise StopIteration
        raise self._fail(event.data)

    def close(self) -> None:
        """Nobody wants more: the generator over there is closed."""
        self._over = True
        self._events.close()


class RemoteNews:
    """News of a hub: contracts.protocol.Elements."""

    def __init__(
        self, events: EventStream, read: Callable[[bytes], Any], fail: Callable[[bytes], TincansError]
    ) -> None:
        self._events = events
        self._read = read
        self._fail = fail

    def receive(self, *, timeout: float | None) -> Any:
        """See contracts.protocol.Elements."""
        event = self._events.receive(timeout=timeout)
        if event is None:
            return None
        if event.name == "end":
            self.close()
            return ENDED
        if event.name == "error":
            self.close()
            raise self._fail(event.data)
        return self._read(event.data)

    def close(self) -> None:
        self._events.close()
