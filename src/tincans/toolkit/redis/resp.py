r"""The protocol of Redis: commands into bytes, bytes into replies (RESP2 and RESP3).

Rules of this file
- No I/O. A length is checked against `max_message` before anything is kept for it.
- An error reply is a value here (`Refused`); `Replies.next` raises it, for nobody reads on after one.
"""

from __future__ import annotations

from typing import Any

from tincans.contracts import Buffer
from tincans.errors import (
    DeniedError,
    DisconnectedError,
    FullError,
    ProtocolError,
    TincansError,
    UnreachableError,
    VersionError,
)

SLACK = 64 * 1024
"""Bytes that a reply may be longer than the message in it."""

DEEPEST = 8
OLDEST = (6, 2)
"""The oldest Redis that has what is used here (BLMOVE, RESP3). Valkey began later."""

_NUMBERS = frozenset(b":(,")
_LISTS = frozenset(b"*~>")
_BULKS = frozenset(b"$=!")


class Refused(str):
    """What Redis answered instead of doing it."""

    __slots__ = ()


def command(*words: bytes | str | int) -> bytes:
    r"""One command.

    >>> command("LPUSH", "jobs", b"x")
    b'*3\r\n$5\r\nLPUSH\r\n$4\r\njobs\r\n$1\r\nx\r\n'
    """
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


class Replies:
    r"""Replies out of the bytes of one stream (a `Deframer`). A reply that is no list is a list of one.

    >>> replies = Replies(1000)
    >>> replies.feed(b"*2\r\n$4\r\njobs\r\n$1\r\nx\r\n:7\r\n")
    >>> replies.next(), replies.next(), replies.next()
    ([b'jobs', b'x'], [7], None)
    """

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        self._data: bytes | bytearray = b""
        self._at = 0
        self._need = 0

    @property
    def idle(self) -> bool:
        """Whether nothing has been taken in that is not handed out yet."""
        return self._at == len(self._data)

    def feed(self, data: Buffer) -> None:
        if self._at == len(self._data):
            self._data, self._at, self._need = data if type(data) is bytes else bytes(data), 0, 0
        else:
            if not isinstance(self._data, bytearray):
                self._data = bytearray(memoryview(self._data)[self._at :])
                self._need -= self._at
                self._at = 0
            self._data += data

    def take(self, data: bytes) -> list[Any] | None:
        """`feed` and `next` in one."""
        self.feed(data)
        return self.next()

    def next(self) -> list[Any] | None:
        if len(self._data) < self._need or self._at == len(self._data):
            return None
        found = self._value(self._at, 0)
        if found is None:
            return None
        value, self._at = found
        self._need = 0
        if isinstance(self._data, bytearray) and self._at > SLACK:
            del self._data[: self._at]
            self._at = 0
        if isinstance(value, Refused):
            raise refusal(value)
        return value if isinstance(value, list) else [value]

    def _value(self, at: int, depth: int) -> tuple[Any, int] | None:
        """The reply that begins at `at` and where it ends; None when not all of it is here."""
        data = self._data
        end = data.find(b"\r\n", at, at + SLACK)
        if end < 0:
            if len(data) - at >= SLACK:
                raise ProtocolError("Redis sent an endless line. Is this the port of a Redis?")
            return None
        kind, text = data[at], bytes(data[at + 1 : end])
        at = end + 2
        if kind in _BULKS:
            return self._bulk(kind, self._number(text), at)
        if kind in _LISTS:
            return self._list(self._number(text), at, depth)
        if kind == 0x25:  # %: a map, as a list of keys and values
            return self._list(2 * self._number(text), at, depth)
        if kind in _NUMBERS:
            return (self._number(text) if kind == 0x3A else text), at
        if kind == 0x2D:  # -
            return Refused(text.decode(errors="replace")), at
        if kind in b"+#_":
            return (None if kind == 0x5F else text), at
        raise ProtocolError(f"This is no reply of a Redis: {bytes([kind]) + text[:40]!r}. Check host and port.")

    def _number(self, text: bytes) -> int:
        try:
            return int(text)
        except ValueError:
            raise ProtocolError(f"This is no reply of a Redis: {text[:40]!r}. Check host and port.") from None

    def _bulk(self, kind: int, size: int, at: int) -> tuple[Any, int] | None:
        if size < 0:
            return None, at
        if size > self.max_message + SLACK:
            raise ProtocolError(f"A message of {size} bytes came through Redis; the limit here is {self.max_message}.")
        if len(self._data) < at + size + 2:
            self._need = at + size + 2
            return None
        value = bytes(memoryview(self._data)[at : at + size])
        return (Refused(value.decode(errors="replace")) if kind == 0x21 else value), at + size + 2

    def _list(self, count: int, at: int, depth: int) -> tuple[Any, int] | None:
        if depth > DEEPEST:
            raise ProtocolError("Redis sent lists within lists without end.")
        if count < 0:
            return None, at
        values: list[Any] = []
        for _ in range(count):
            found = self._value(at, depth + 1)
            if found is None:
                return None
            values.append(found[0])
            at = found[1]
        return values, at

    def space(self) -> memoryview | None:
        return None

    def filled(self, count: int) -> None:
        raise ProtocolError(f"A reader was told of {count} bytes in a space that it never gave.")


def refusal(text: str, url: str | None = None) -> TincansError:
    """The error for what Redis said instead of doing it.

    >>> refusal("WRONGPASS invalid username-password pair").code
    'denied'
    """
    word = text.partition(" ")[0]
    if word in ("NOAUTH", "WRONGPASS", "NOPERM") or "AUTH" in text.partition("called without")[0]:
        return DeniedError(f"Redis does not let us in: {text}. Check user and password in the URL.", url=url)
    if word == "NOPROTO" or "unknown command" in text:
        return VersionError(too_old(text), url=url)
    if word == "OOM":
        return FullError(f"Redis is out of memory and took nothing: {text}", url=url)
    if word in ("LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN"):
        return UnreachableError(f"Redis is not ready: {text}", url=url)
    if word in ("READONLY", "UNBLOCKED", "MISCONF"):
        return DisconnectedError(f"Redis refused: {text}", outcome="unknown", url=url)
    return ProtocolError(f"Redis refused: {text}", url=url)


def too_old(what: str) -> str:
    """The sentence about a Redis that lacks something."""
    return f"This Redis is too old ({what}). Use Redis {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey."
