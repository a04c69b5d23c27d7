"""Server-sent events: elements of a stream as text/event-stream, and back.

Rules of this file
- Pure. An element is an event whose data is one line of JSON; `event: end` closes a stream, `event: error` says why it
  broke, and a line that begins with ":" is only a sign of life. See https://html.spec.whatwg.org, server-sent events.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from tincans.errors import ProtocolError

CONTENT_TYPE = b"text/event-stream"
END = b"event: end\ndata: null\n\n"
ALIVE = b":\n\n"
ALIVE_EVERY = 15.0
"""Seconds without news after which a sign of life is sent; a reader waits three times as long."""


class Event(Struct):
    """One event. `name` is "message" unless it was told."""

    data: bytes
    name: str = "message"


def event_text(data: bytes, name: str = "") -> bytes:
    r"""The text of one event; `data` and `name` hold no line break.

    >>> event_text(b"7"), event_text(b"{}", "error")
    (b'data: 7\n\n', b'event: error\ndata: {}\n\n')
    """
    if name:
        return b"event: %b\ndata: %b\n\n" % (name.replace("\n", " ").replace("\r", " ").encode(), data)
    return b"data: %b\n\n" % data


class EventReader:
    r"""Takes in the bytes of a stream as they come.

    >>> reader = EventReader(limit=1000)
    >>> list(reader.feed(b"data: 7\n\nda")), list(reader.feed(b"ta: 8\r\n\r\n"))
    ([Event(data=b'7', name='message')], [Event(data=b'8', name='message')])
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._data: list[bytes] = []
        self._name = ""
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that are whole now. ProtocolError for one that is larger than the limit."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) + self._size > self._limit:
            raise ProtocolError(f"An event is larger than {self._limit} bytes.")
        for line in lines:
            event = self._line(line.rstrip(b"\r"))
            if event is not None:
                yield event

    def _line(self, line: bytes) -> Event | None:
        if not line:
            return self._whole()
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            self._size += len(value)
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        return None

    def _whole(self) -> Event | None:
        data, name = self._data, self._name
        self._data, self._name, self._size = [], "", 0
        return Event(b"\n".join(data), name or "message") if data else None
