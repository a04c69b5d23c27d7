"""Messages on a byte stream: `Frames` (binary, many parts) and `Lines` (text, for people and foreign programs).

Rules of this file
- No I/O: bytes come in by `feed`, or by `space` and `filled`; messages come out of `next`.
- Every length is checked against `max_message` before memory is taken, and memory grows as bytes arrive.
- A reader that raised ProtocolError is finished: its owner closes the connection.

A frame: 8 bytes (magic 0xCA, version 1, number of further parts u16, envelope length u32, little-endian), one u64
length for each further part, the envelope, the parts. A length with its highest bit set stands for a part that
travels beside the stream as a descriptor (`Passed`). Such a frame has, after its lengths, one u64 offset for each
of those parts, RECEIVE_AT_MOST bytes of padding, and one byte which carries the descriptors. The padding is why a plain
`recv` of at most RECEIVE_AT_MOST bytes, which would lose descriptors, can never reach that byte unknowingly.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tincans.contracts import Buffer
from tincans.errors import ProtocolError, UnsendableError

RECEIVE_AT_MOST: Final = 16 * 1024
"""The most that may be asked of a stream in one go, except into `space()`. Part of the protocol, see above."""
MAX_FURTHER_PARTS: Final = 1024
MAX_PASSED: Final = 253
"""SCM_MAX_FD: the most descriptors that Linux passes in one message (include/net/scm.h)."""

_HEADER = struct.Struct("<HHI")
_MAGIC_AND_VERSION = 0x01CA
_JOIN = 16 * 1024  # below this one copy is cheaper than handing the kernel several buffers
_FIRST_SPACE = 64 * 1024
_GROWTH = 4 * 1024 * 1024
_ZEROS = bytes(_GROWTH)
_PASSED_BIT = 1 << 63
_ENVELOPE_LIMIT = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Passed:
    """In place of a part for `Frames.encode`: `length` bytes at `offset` of the memory behind a descriptor."""

    length: int
    offset: int


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

    def encode(self, parts: Sequence[Buffer | Passed]) -> list[Buffer]:
        """The buffers of one frame, small ones joined. With `Passed` parts the second buffer is the byte that
        carries the descriptors."""
        if len(parts) == 1 and type(envelope := parts[0]) is bytes and len(envelope) <= _JOIN:
            return [_HEADER.pack(_MAGIC_AND_VERSION, 0, len(envelope)) + envelope]
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
    lengths = [part.length | _PASSED_BIT if isinstance(part, Passed) else len(part) for part in flats[1:]]
    offsets = [part.offset for part in passed]
    head = _HEADER.pack(_MAGIC_AND_VERSION, len(lengths), len(flats[0]))
    head += struct.pack(f"<{len(lengths) + len(offsets)}Q", *lengths, *offsets)
    if passed:
        return [head + bytes(RECEIVE_AT_MOST), b"\0", *inline]
    if sum(map(len, inline)) <= _JOIN:
        return [b"".join((head, *inline))]
    if len(inline[0]) <= _JOIN:
        return [head + inline[0], *inline[1:]]
    return [head, *inline]


class FrameReader:
    """Frames out of the bytes of one stream (a `Deframer`).

    Where descriptors can travel the owner sets `passing`, asks `limit` how much it may receive next, and when
    that is 0 receives one byte with `wanted()`'s descriptors and hands their memory to `give`.
    """

    __slots__ = (
        "_at",
        "_data",
        "_given",
        "_have",
        "_head",
        "_need",
        "_padding",
        "_parts",
        "_sizes",
        "_target",
        "_view",
        "_wanted",
        "max_message",
        "passing",
    )

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        self.passing = False
        self._data = b""
        self._at = 0
        self._view: memoryview | None = None
        self._restart()

    def _restart(self) -> None:
        self._head = bytearray()
        self._need = _HEADER.size
        self._sizes: list[int] = []
        self._parts: list[Buffer] = []
        self._wanted: list[Passed] = []
        self._padding = 0
        self._given: list[Buffer] = []
        self._target: bytearray | None = None
        self._have = 0

    def feed(self, data: Buffer) -> None:
        data = data if type(data) is bytes else bytes(data)
        self._data = data if self._at == len(self._data) else self._data[self._at :] + data
        self._at = 0

    def next(self) -> list[Buffer] | None:
        data, at = self._data, self._at
        if len(data) - at >= 8 and not self._head:
            magic, further, size = _HEADER.unpack_from(data, at)
            end = at + 8 + size
            if not further and end <= len(data) and magic == _MAGIC_AND_VERSION and size <= self.max_message:
                self._at = end
                return [data[at + 8 : end]]
        elif at == len(data) and self._target is None:
            return None
        if self._read_head() and self._skip_padding() and self._read_parts():
            message = self._parts
            self._restart()
            return message
        return None

    @property
    def unfinished(self) -> bool:
        """Whether a message has begun and is not whole yet."""
        return bool(self._head) or self._at < len(self._data)

    def _read_head(self) -> bool:
        """Collect header, lengths and offsets; each step says how much the next one needs."""
        while len(self._head) < self._need:
            missing = self._need - len(self._head)
            got = self._data[self._at : self._at + missing]
            self._head += got
            self._at += len(got)
            if len(got) < missing:
                return False
            self._need = self._check_head()
        return True

    def _check_head(self) -> int:
        """How long the head is in all, as far as it can be known; ProtocolError when it cannot be right."""
        head = self._head
        magic: int
        further: int
        envelope: int
        magic, further, envelope = _HEADER.unpack_from(head)
        if magic != _MAGIC_AND_VERSION or further > MAX_FURTHER_PARTS:
            raise ProtocolError(f"The other end sent {bytes(head[:8])!r}, which does not begin a Tincans frame.")
        self._check_size(envelope)
        need = _HEADER.size + 8 * further
        if len(head) < need:
            return need
        lengths = struct.unpack_from(f"<{further}Q", head, _HEADER.size)
        self._sizes = [envelope, *lengths]
        self._check_size(sum(size & ~_PASSED_BIT for size in self._sizes))
        passed = [size & ~_PASSED_BIT for size in lengths if size & _PASSED_BIT]
        if passed and (not self.passing or len(passed) > MAX_PASSED):
            raise ProtocolError(f"The other end announces {len(passed)} descriptors, which cannot travel here.")
        need += 8 * len(passed)
        if passed and len(head) == need:
            offsets = struct.unpack_from(f"<{len(passed)}Q", head, need - 8 * len(passed))
            self._wanted = [Passed(length, offset) for length, offset in zip(passed, offsets, strict=True)]
            self._padding = RECEIVE_AT_MOST
        return need

    def _check_size(self, size: int) -> None:
        if size > self.max_message:
            raise ProtocolError(
                f"The other end announces a message of {size} bytes; the limit here is {self.max_message}."
            )

    def limit(self) -> int:
        """How many bytes may be received next into a `feed`; 0 when the next byte carries descriptors."""
        return self._padding if self._wanted else RECEIVE_AT_MOST

    def wanted(self) -> list[Passed]:
        """The parts whose descriptors come with the next byte."""
        return self._wanted

    def give(self, buffers: Sequence[Buffer]) -> None:
        """The memory of the `wanted` parts; the byte that carried them has been received."""
        self._given = list(buffers)
        self._wanted = []

    def _skip_padding(self) -> bool:
        if not self._wanted:
            return True
        skipped = min(self._padding, len(self._data) - self._at)
        self._at += skipped
        self._padding -= skipped
        if not self._padding and self._at < len(self._data):
            raise ProtocolError("The other end sent descriptors without the padding before them.")
        return False

    def _read_parts(self) -> bool:
        while len(self._parts) < len(self._sizes):
            size = self._sizes[len(self._parts)]
            if size & _PASSED_BIT:
                self._parts.append(self._given.pop(0))
            elif not self._read_part(size):
                return False
        return True

    def _read_part(self, size: int) -> bool:
        there = min(len(self._data) - self._at, size - self._have)
        if self._target is None:
            if there == size:
                self._parts.append(self._data[self._at : self._at + size])
                self._at += size
                return True
            self._target = bytearray(min(size, max(there, _FIRST_SPACE)))
        if there:
            while len(self._target) < self._have + there:
                self._grow(self._target, size)
            self._target[self._have : self._have + there] = self._data[self._at : self._at + there]
            self._have += there
            self._at += there
        if self._have < size:
            return False
        self._parts.append(self._target)
        self._target, self._have = None, 0
        return True

    @staticmethod
    def _grow(target: bytearray, size: int) -> None:
        """At most double it: memory follows the bytes that came, not what a header says."""
        more = min(size - len(target), len(target), _GROWTH)
        target += _ZEROS if more == _GROWTH else bytes(more)

    def space(self) -> memoryview | None:
        if self._target is None:
            return None
        size = self._sizes[len(self._parts)]
        if size - self._have < RECEIVE_AT_MOST:
            return None  # so little is better received together with what follows it
        if self._have == len(self._target):
            self._grow(self._target, size)
        self._view = memoryview(self._target)[self._have :]
        return self._view

    def filled(self, count: int) -> None:
        if self._view is not None:
            self._view.release()  # a bytearray with a view on it cannot grow
            self._view = None
        self._have += count


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


class LineReader:
    """Lines out of the bytes of one stream (a `Deframer`). A last line without its line end is not a message."""

    __slots__ = ("_at", "_begun", "_data", "max_message")

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        self._begun = bytearray()
        self._data = b""
        self._at = 0

    def feed(self, data: Buffer) -> None:
        data = data if type(data) is bytes else bytes(data)
        self._data = data if self._at == len(self._data) else self._data[self._at :] + data
        self._at = 0

    def next(self) -> list[Buffer] | None:
        end = self._data.find(b"\n", self._at)
        stop = len(self._data) if end < 0 else end
        if len(self._begun) + stop - self._at > self.max_message + 1:  # one more may be a carriage return
            raise self._too_long()
        if end < 0:
            self._begun += self._data[self._at :]
            self._at = len(self._data)
            return None
        line = bytes(self._begun) + self._data[self._at : end]
        self._at = end + 1
        self._begun.clear()
        return [self._checked(line.removesuffix(b"\r"))]

    @property
    def unfinished(self) -> bool:
        """Whether a line has begun and has no end yet."""
        return bool(self._begun) or self._at < len(self._data)

    def _checked(self, line: bytes) -> bytes:
        if len(line) > self.max_message:
            raise self._too_long()
        try:
            line.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError(f"The other end sent a line that is not UTF-8 text ({error}).") from None
        return line

    def _too_long(self) -> ProtocolError:
        return ProtocolError(
            f"The other end sent a line of more than {self.max_message} bytes, the limit here (max_message)."
        )

    def space(self) -> memoryview | None:
        return None

    def filled(self, count: int) -> None:
        raise ProtocolError(f"A line reader was told of {count} bytes in a space that it never gave.")
