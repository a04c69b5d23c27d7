"""Messages on a byte stream: `Frames` (binary, many parts), `Lines` (text, for people and foreign programs), and
`Chunks` (no messages at all: bytes as they come).

Rules of this file
- No I/O, no state: a framing is shared by all connections; what a connection has begun lives in its decoder.
- Buffers are handed on, not copied, unless they are so small that one copy is cheaper than one more buffer.

A frame: 8 bytes (magic 0xCA, version 1, number of further parts u16, envelope length u32, little-endian), one u64
length for each further part, the envelope, the parts. A length with its highest bit set stands for a part that
travels beside the stream as a descriptor (`Passed`). Such a frame has, after its lengths, one u64 offset for each
of those parts, padding up to RECEIVE_AT_MOST bytes in all, and one byte which carries the descriptors. A receiver
takes at most so many bytes of one frame before it knows its lengths; so a plain `recv`, which would lose descriptors,
never reaches that byte unknowingly.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from tincans.contracts import Buffer, Framing
from tincans.core.deframing import (
    HEADER,
    MAGIC_AND_VERSION,
    MAX_FURTHER_PARTS,
    MAX_PASSED,
    PASSED_BIT,
    RECEIVE_AT_MOST,
    ChunkReader,
    FrameReader,
    LineReader,
    Passed,
)
from tincans.errors import AddressError, UnsendableError

_PLAIN_HEADER = struct.Struct("<II").pack  # of a frame without further parts: their number is 0
SMALL: Final = 16 * 1024  # below this one copy is cheaper than handing the kernel several buffers
_ENVELOPE_LIMIT = (1 << 32) - 1


def flat(part: Buffer) -> Buffer:
    """`part` itself, or a view of its bytes, so that `len` is its size. UnsendableError when it is not bytes in a row.

    >>> len(flat(memoryview(b"12345678").cast("I")))
    8
    """
    if isinstance(part, bytes | bytearray):
        return part
    try:
        view = memoryview(part)
        if view.ndim == 1 and view.itemsize == 1 and view.c_contiguous:
            return view
        return view.cast("B") if view.nbytes else b""
    except (TypeError, ValueError, NotImplementedError) as error:
        raise UnsendableError(
            f"A part of a message must be bytes, or a contiguous buffer, not this {type(part).__name__} ({error})."
            " Pass bytes(part) or make it contiguous."
        ) from None


class Frames:
    """Binary frames of several parts: what two Tincans programs speak.

    >>> reader = Frames().decoder(1000)
    >>> reader.feed(b"".join(Frames().encode([b"envelope", b"part"])))
    >>> reader.next(), reader.next()
    ([b'envelope', b'part'], None)
    """

    name = "frames"

    def frame(self, envelope: bytes) -> bytes:
        """The frame of a small message of one part, in one piece."""
        return _PLAIN_HEADER(MAGIC_AND_VERSION, len(envelope)) + envelope

    def encode(self, parts: Sequence[Buffer | Passed]) -> list[Buffer]:
        """The buffers of one frame, small ones joined. With `Passed` parts the second buffer is the byte that
        carries the descriptors."""
        if len(parts) == 1 and type(envelope := parts[0]) is bytes and len(envelope) <= SMALL:
            return [self.frame(envelope)]
        if not 1 <= len(parts) <= MAX_FURTHER_PARTS + 1:
            raise UnsendableError(
                f"A message has 1 envelope and at most {MAX_FURTHER_PARTS} further parts, not {len(parts)} in all."
                " Send fewer, larger buffers."
            )
        return _encode_parts(parts)

    def decoder(self, max_message: int) -> FrameReader:
        return FrameReader(max_message)


def _encode_parts(parts: Sequence[Buffer | Passed]) -> list[Buffer]:
    flats = [part if isinstance(part, Passed) else flat(part) for part in parts]
    passed = [part for part in flats if isinstance(part, Passed)]
    inline = [part for part in flats if not isinstance(part, Passed)]
    if isinstance(flats[0], Passed) or len(flats[0]) > _ENVELOPE_LIMIT or len(passed) > MAX_PASSED:
        raise UnsendableError("A message's envelope must be bytes of at most 4 GiB, with at most 253 passed parts.")
    lengths = [part.length | PASSED_BIT if isinstance(part, Passed) else len(part) for part in flats[1:]]
    offsets = [part.offset for part in passed]
    head = HEADER.pack(MAGIC_AND_VERSION, len(lengths), len(flats[0]))
    head += struct.pack(f"<{len(lengths) + len(offsets)}Q", *lengths, *offsets)
    if passed:
        return [head + bytes(RECEIVE_AT_MOST - len(head)), b"\0", *inline]
    if sum(map(len, inline)) <= SMALL:
        return [b"".join((head, *inline))]
    if len(inline[0]) <= SMALL:
        return [head + inline[0], *inline[1:]]
    return [head, *inline]


class Lines:
    r"""One line of UTF-8 text for each message, without its line end; `\r\n` is understood too.

    >>> reader = Lines().decoder(1000)
    >>> reader.feed(b"add 2 5\r\nadd 3")
    >>> reader.next(), reader.next()
    ([b'add 2 5'], None)
    """

    name = "lines"

    def encode(self, parts: Sequence[Buffer]) -> list[Buffer]:
        if len(parts) != 1:
            raise UnsendableError(
                f"A line is one part, not {len(parts)}: buffers beside a message need framing=frames."
            )
        line = bytes(parts[0])
        if b"\n" in line or line.endswith(b"\r"):
            raise UnsendableError("A line cannot hold a line break or end in a carriage return: use framing=frames.")
        try:
            line.decode()
        except UnicodeDecodeError as error:
            raise UnsendableError(f"A line must be UTF-8 text ({error}): use framing=frames for bytes.") from None
        return [line + b"\n"]

    def decoder(self, max_message: int) -> LineReader:
        return LineReader(max_message)


class Chunks:
    """No framing: each message is bytes as they came, and what is sent may arrive in other pieces.

    >>> reader = Chunks().decoder(1000)
    >>> reader.feed(b"any bytes")
    >>> reader.next(), reader.next()
    ([b'any bytes'], None)
    """

    name = "none"

    def encode(self, parts: Sequence[Buffer]) -> list[Buffer]:
        if len(parts) != 1:
            raise UnsendableError(f"Bytes as they come are one part, not {len(parts)}: several need framing=frames.")
        return [flat(parts[0])]

    def decoder(self, max_message: int) -> ChunkReader:
        return ChunkReader(max_message)


FRAMES = Frames()
LINES = Lines()
CHUNKS = Chunks()


def framing(name: str) -> Framing:
    """The framing of a name, "frames", "lines" or "none"; AddressError for another.

    >>> framing("lines").name
    'lines'
    """
    for known in (FRAMES, LINES, CHUNKS):
        if known.name == name:
            return known
    raise AddressError(f"There is no framing {name!r}. Use frames, lines or none.")
