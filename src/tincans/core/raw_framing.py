"""A framing of a user's own: two methods, `encode` and `decode`, and the buffer that they need.

Rules of this file
- No I/O: chunks come in as the method brought them, messages go out as the framing reads them.
- What a framing of somebody else's says is checked: a wrong answer is a ProtocolError that names it.
- At most `max_message` bytes, and one chunk, are held back for one message.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from tincans.contracts import Buffer
from tincans.core.sizes import too_large
from tincans.errors import ProtocolError, TincansError, UnsendableError

NOTHING: Final = object()
"""What `Unpacking.next` gives when there is no whole message; a message may be anything, None too."""
_WORTH_WAITING = 64 * 1024
"""Bytes: from here on a message that was not whole is looked at again when it has grown by an eighth."""


class Framing(Protocol):
    r"""How messages look as bytes on a string to a program that is not ours.

    >>> class Sentences:
    ...     def encode(self, message: str) -> bytes:
    ...         return message.encode() + b"."
    ...     def decode(self, buffer: bytes) -> tuple[str, int] | None:
    ...         end = buffer.find(b".")
    ...         return None if end < 0 else (buffer[:end].decode(), end + 1)
    >>> unpacking = Unpacking(Sentences(), 1000)
    >>> unpacking.feed(b"Hello. How ar")
    >>> unpacking.next(), unpacking.next() is NOTHING
    ('Hello', True)
    """

    def encode(self, message: Any) -> bytes:
        """The bytes of one message. Raise ValueError for what cannot be said."""
        ...

    def decode(self, buffer: bytes) -> tuple[Any, int] | None:
        """The first message in `buffer` and how many bytes it took, at least 1; None when it is not whole yet.

        Raise ValueError when this cannot become a message: the connection then ends with a ProtocolError.
        """
        ...


class Unpacking:
    """The receiving half of one connection with a framing of a user's own."""

    def __init__(self, framing: Framing, max_message: int) -> None:
        self._decode = framing.decode
        self._name = type(framing).__name__
        self._most = max_message
        self._data = b""
        self._look_at = 1
        self.idle = True

    def feed(self, chunk: Buffer) -> None:
        """Take in bytes as they came."""
        self._data = self._data + chunk if self._data else bytes(chunk)
        self.idle = not self._data

    def next(self) -> Any:
        """The next message, or NOTHING. ProtocolError when there will never be one."""
        if len(self._data) < self._look_at:
            return NOTHING
        found = self._decoded()
        if found is None:
            if len(self._data) > self._most:
                raise ProtocolError(
                    f"{len(self._data)} bytes came without a whole message; the limit is {self._most} (max_message)."
                )
            self._look_at = len(self._data) + (len(self._data) // 8 if len(self._data) > _WORTH_WAITING else 1)
            return NOTHING
        message, used = found
        self._data = self._data[used:]
        self._look_at = 1
        self.idle = not self._data
        return message

    def hurry(self) -> None:
        """Nothing more is there at the moment: look at what has come, however little."""
        self._look_at = min(self._look_at, len(self._data) or 1)

    def _decoded(self) -> tuple[Any, int] | None:
        try:
            found = self._decode(self._data)
        except TincansError:
            raise
        except Exception as error:
            raise ProtocolError(f"{self._name}.decode cannot read what the other end sent: {error!r}.") from error
        if found is None:
            return None
        if not isinstance(found, tuple) or len(found) != 2 or type(found[1]) is not int:
            raise ProtocolError(f"{self._name}.decode must give (message, bytes used) or None, not {found!r:.60}.")
        if not 0 < found[1] <= len(self._data):
            raise ProtocolError(
                f"{self._name}.decode says that a message took {found[1]} of {len(self._data)} bytes: it must be at"
                " least 1 and at most what there is."
            )
        return found


def packed(framing: Framing | None, message: Any, max_message: int, hint: str = "") -> bytes:
    """One message as bytes: by a user's framing, or as it is (bytes, or a text as UTF-8).

    >>> packed(None, "hello", 1000)
    b'hello'
    """
    data: Any
    if framing is not None:
        data = framing.encode(message)
        if not isinstance(data, bytes | bytearray | memoryview):
            raise UnsendableError(f"{type(framing).__name__}.encode must give bytes, not {type(data).__name__}.")
    elif isinstance(message, str):
        data = message.encode()
    elif isinstance(message, bytes | bytearray | memoryview):
        data = message
    else:
        raise UnsendableError(
            f"A raw string carries bytes, not {type(message).__name__}: encode it, or pass framing= with an object that"
            f" does.{hint}"
        )
    whole = bytes(data)
    if len(whole) > max_message:
        raise too_large(len(whole), max_message)
    return whole
