"""A letter: one whole message as one piece of bytes, framed as the wire would have it on a stream.

Rules of this file
- With the framing `lines` a letter is a line that people and foreign programs can read in the file.
"""

from __future__ import annotations

from tincans.contracts import Buffer, Framing, Parts
from tincans.core.sizes import size_of, too_large
from tincans.errors import ProtocolError

LARGEST = 990_000_000
"""Bytes: what SQLite takes in one value (SQLITE_MAX_LENGTH, a thousand millions), less a little."""


def bytes_in(column: object) -> bytes:
    """What stands in a column for bytes: other programs write texts there, and SQLite takes anything. ProtocolError.

    >>> bytes_in("[5]"), bytes_in(b"[5]")
    (b'[5]', b'[5]')
    """
    if isinstance(column, bytes):
        return column
    if isinstance(column, str):
        return column.encode()
    raise ProtocolError(f"In the file stands a {type(column).__name__} where bytes belong. Another program wrote it.")


def letter_of(parts: Parts, framing: Framing, limit: int = LARGEST) -> bytes:
    """The letter. TooLargeError before anything is joined.

    >>> from tincans.core.framing import FRAMES
    >>> parts_in(letter_of([b"envelope", b"part"], FRAMES), FRAMES)
    [b'envelope', b'part']
    """
    if (total := size_of(parts)) > limit:
        raise too_large(total, limit)
    return b"".join(framing.encode(parts))


def parts_in(letter: bytes, framing: Framing, limit: int = LARGEST) -> list[Buffer]:
    """The message's parts. ProtocolError for what is no letter, or too large."""
    reader = framing.decoder(limit)
    reader.feed(bytes_in(letter))
    parts = reader.next()
    if parts is None:
        raise ProtocolError("A letter in the file is not whole.")
    return parts
