"""Messages with a header, as language servers frame them: `Content-Length: 17`, an empty line, so many bytes.

Rules of this file
- No I/O. A header is bounded before it is kept, and a length is checked before memory is taken.
- Header names in any case; what a header other than Content-Length says is passed over. See the base protocol of
  https://microsoft.github.io/language-server-protocol/.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tincans.contracts import Buffer
from tincans.errors import ProtocolError, UnsendableError

_MOST_HEADER: Final = 4096
_END: Final = b"\r\n\r\n"
_MOST_DIGITS: Final = 15


class ContentLength:
    r"""contracts.Framing: a header with a length before each message.

    >>> reader = ContentLength().decoder(1000)
    >>> reader.feed(b"".join(ContentLength().encode([b"{}"])))
    >>> reader.next(), reader.next()
    ([b'{}'], None)
    """

    name = "content-length"

    def encode(self, parts: Sequence[Buffer]) -> list[Buffer]:
        if len(parts) != 1:
            raise UnsendableError(f"A message with a Content-Length is one part, not {len(parts)}.")
        return [b"Content-Length: %d\r\n\r\n" % len(parts[0]) + bytes(parts[0])]

    def decoder(self, max_message: int) -> ContentLengthReader:
        return ContentLengthReader(max_message)


class ContentLengthReader:
    """contracts.Deframer. `idle` says that nothing has been taken in that is not handed out yet."""

    __slots__ = ("_data", "_searched", "_size", "max_message")

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        self._data = bytearray()
        self._searched = 0
        self._size: int | None = None

    @property
    def idle(self) -> bool:
        return not self._data and self._size is None

    def feed(self, data: Buffer) -> None:
        self._data += data

    def next(self) -> list[Buffer] | None:
        if self._size is None:
            end = self._data.find(_END, max(0, self._searched - len(_END)))
            if end > _MOST_HEADER or (end < 0 and len(self._data) > _MOST_HEADER):
                raise ProtocolError(f"The other end sent a header of more than {_MOST_HEADER} bytes.")
            if end < 0:
                self._searched = len(self._data)
                return None
            self._size = self._length(bytes(self._data[:end]))
            del self._data[: end + len(_END)]
            self._searched = 0
        if len(self._data) < self._size:
            return None
        body = bytes(self._data[: self._size])
        del self._data[: self._size]
        self._size = None
        return [body]

    def _length(self, header: bytes) -> int:
        lengths = []
        for line in header.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if not colon or not name.strip():
                raise ProtocolError(f"The other end sent {line[:60]!r}, which is no header line.")
            if name.strip().lower() == b"content-length":
                lengths.append(value.strip(b" \t"))
        if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > _MOST_DIGITS:
            raise ProtocolError("The other end sent a header without one Content-Length in it.")
        size = int(lengths[0])
        if size > self.max_message:
            raise ProtocolError(
                f"The other end announces a message of {size} bytes; the limit here is {self.max_message}."
            )
        return size

    def space(self) -> memoryview | None:
        return None

    def filled(self, count: int) -> None:
        raise ProtocolError(f"A reader of headers was told of {count} bytes in a space that it never gave.")
