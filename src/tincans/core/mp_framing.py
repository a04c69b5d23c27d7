"""Messages as Python's `multiprocessing.connection` frames them: a length, then so many bytes.

Rules of this file
- The length is 4 bytes, signed, big-endian; -1 says that 8 unsigned bytes follow (multiprocessing/connection.py).
- A length is checked before memory is taken, and memory grows as bytes arrive.
- Inside stands what the inner framing makes of a message: a frame, so that its parts stay apart; or just its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from tincans.contracts import Buffer, Framing
from tincans.core.deframing import HEADER, MAX_FURTHER_PARTS
from tincans.core.framing import SMALL, flat
from tincans.errors import ProtocolError, UnsendableError

_SHORT: Final = struct.Struct("!i")
_LONG: Final = struct.Struct("!iQ")
_MOST_SHORT: Final = 0x7FFFFFFF
_FRAME_HEAD: Final = HEADER.size + 8 * MAX_FURTHER_PARTS
"""Bytes that a frame may have besides its parts (core/framing.py)."""


def header(size: int) -> bytes:
    """What stands before a message of `size` bytes.

    >>> header(5), header(2**31)
    (b'\\x00\\x00\\x00\\x05', b'\\xff\\xff\\xff\\xff\\x00\\x00\\x00\\x00\\x80\\x00\\x00\\x00')
    """
    return _SHORT.pack(size) if size <= _MOST_SHORT else _LONG.pack(-1, size)


class LengthFraming:
    """contracts.Framing around another one.

    >>> from tincans.core.framing import CHUNKS
    >>> reader = LengthFraming(CHUNKS).decoder(1000)
    >>> reader.feed(b"".join(LengthFraming(CHUNKS).encode([b"hello"])))
    >>> reader.next(), reader.next()
    ([b'hello'], None)
    """

    name = "mp"

    def __init__(self, inner: Framing) -> None:
        self._inner = inner
        self._frames = inner.name == "frames"

    def encode(self, parts: Sequence[Buffer]) -> list[Buffer]:
        if self._frames:
            body = self._inner.encode(parts)
        elif len(parts) == 1:
            body = [flat(parts[0])]
        else:
            raise UnsendableError(f"This message has {len(parts)} parts, and only one can travel here.")
        head = header(sum(map(len, body)))
        return [head + body[0], *body[1:]] if len(body[0]) <= SMALL else [head, *body]

    def decoder(self, max_message: int) -> LengthReader:
        return LengthReader(self._inner if self._frames else None, max_message)


class LengthReader:
    """contracts.Deframer. `idle` says that nothing has been taken in that is not handed out yet."""

    __slots__ = ("_body", "_data", "_inner", "_size", "idle", "max_message")

    def __init__(self, inner: Framing | None, max_message: int) -> None:
        self.max_message = max_message
        self.idle = True
        self._inner = inner
        self._data = b""
        self._size: int | None = None
        self._body = bytearray()

    def feed(self, data: Buffer) -> None:
        self._data = self._data + data if self._data else bytes(data)
        self.idle = False

    def take(self, data: bytes) -> list[Buffer] | None:
        """`feed` and `next` in one."""
        self.feed(data)
        return self.next()

    def next(self) -> list[Buffer] | None:
        if self._size is None and not self._read_size():
            self.idle = not self._data
            return None
        size = self._size or 0
        missing = size - len(self._body)
        if not self._body and len(self._data) >= size:
            body, self._data = self._data[:size], self._data[size:]
        else:
            self._body += self._data[:missing]
            self._data = self._data[missing:]
            if len(self._body) < size:
                return None
            body = bytes(self._body)
            self._body = bytearray()
        self._size = None
        self.idle = not self._data
        return self._opened(body)

    def _read_size(self) -> bool:
        if len(self._data) < _SHORT.size:
            return False
        (size,) = _SHORT.unpack_from(self._data)
        used = _SHORT.size
        if size == -1:
            if len(self._data) < _LONG.size:
                return False
            size = _LONG.unpack_from(self._data)[1]
            used = _LONG.size
        limit = self.max_message + (_FRAME_HEAD if self._inner is not None else 0)
        if not 0 <= size <= limit:
            raise ProtocolError(f"The other end announces a message of {size} bytes; the limit here is {limit}.")
        self._data, self._size = self._data[used:], size
        return True

    def _opened(self, body: bytes) -> list[Buffer]:
        if self._inner is None:
            return [body]
        reader = self._inner.decoder(self.max_message)
        reader.feed(body)
        message = reader.next()
        if message is None or not getattr(reader, "idle", True):
            raise ProtocolError("The other end sent a message that is not one whole Tincans frame.")
        return message

    def space(self) -> memoryview | None:
        return None

    def filled(self, count: int) -> None:
        raise ProtocolError(f"A reader of lengths was told of {count} bytes in a space that it never gave.")
