"""Messages out of the bytes of a stream: the reading half of `core/framing.py`, which describes the format.

Rules of this file
- No I/O: bytes come in by `feed`, or by `space` and `filled`; messages come out of `next`.
- Every length is checked against `max_message` before memory is taken, and memory grows as bytes arrive.
  What is passed beside the stream does not count: it is the sender's memory, and has been taken already.
- A reader that raised ProtocolError is finished: its owner closes the connection.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from tincans.contracts import Buffer
from tincans.errors import ProtocolError

HEADER = struct.Struct("<HHI")
MAGIC_AND_VERSION: Final = 0x01CA
RECEIVE_AT_MOST: Final = 16 * 1024
"""The most that may be asked of a stream in one go, except into `space()`. Part of the protocol (core/framing.py)."""
MAX_FURTHER_PARTS: Final = 1024
MAX_PASSED: Final = 253
"""SCM_MAX_FD: the most descriptors that Linux passes in one message (include/net/scm.h)."""
PASSED_BIT: Final = 1 << 63
PASSING_FROM: Final = 1024 * 1024
"""Bytes of `max_message` from which memory may be passed beside the stream: a stranger, who may say little, may not."""

_PLAIN_HEADER = struct.Struct("<II").unpack_from  # of a frame without further parts: their number is 0
_FIRST_SPACE = 64 * 1024
_GROWTH = 4 * 1024 * 1024
_ZEROS = memoryview(bytes(_GROWTH))  # kept: fresh zeros would fault in new pages each time


class Passed(Struct, frozen=True):
    """In place of a part for `Frames.encode`: `length` bytes at `offset` of the memory behind a descriptor."""

    length: int
    offset: int


class FrameReader:
    """Frames out of the bytes of one stream (a `Deframer`).

    Where descriptors can travel the owner sets `passing`, asks `limit` how much it may receive next, and when
    that is 0 receives the byte with `wanted()`'s descriptors and hands their memory to `give`. `idle` says that nothing
    has been taken in that is neither handed out yet nor in `ready`: the messages of one part that came along with the
    last one. These go first; the owner may take them himself. They are found by `split` (C), where the owner sets it.
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
        "idle",
        "max_message",
        "passing",
        "ready",
        "split",
    )

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        self.passing = False
        self.ready: deque[bytes] = deque()
        self.split: Callable[[bytes, int, int], tuple[list[bytes], int]] | None = None
        self._data = b""
        self._at = 0
        self._view: memoryview | None = None
        self._restart()

    def _restart(self) -> None:
        self._head = bytearray()
        self._need = HEADER.size
        self._sizes: list[int] = []
        self._parts: list[Buffer] = []
        self._wanted: list[Passed] = []
        self._padding = 0
        self._given: list[Buffer] = []
        self._target: bytearray | None = None
        self._have = 0
        self.idle = self._at == len(self._data)

    def feed(self, data: Buffer) -> None:
        data = data if type(data) is bytes else bytes(data)
        self._data = data if self._at == len(self._data) else self._data[self._at :] + data
        self._at = 0
        self.idle = not self._data and not self._head

    def take(self, data: bytes) -> list[Buffer] | None:
        """`feed` and `next` in one, quicker for an idle reader and exactly one small frame."""
        if len(data) >= 8 and self.idle:
            start, size = _PLAIN_HEADER(data)
            if size == len(data) - 8 and start == MAGIC_AND_VERSION and size <= self.max_message:
                return [data[8:]]
        self.feed(data)
        return self.next()

    def next(self) -> list[Buffer] | None:
        if self.ready:
            return [self.ready.popleft()]
        if self.idle:
            return None
        data, at = self._data, self._at
        if len(data) - at >= 8 and not self._head:
            if self.split is not None:
                messages, self._at = self.split(data, at, self.max_message)
                if messages:
                    self.idle = self._at == len(data)
                    self.ready.extend(messages[1:])
                    return [messages[0]]
            start, size = _PLAIN_HEADER(data, at)
            end = at + 8 + size
            if end <= len(data) and start == MAGIC_AND_VERSION and size <= self.max_message:
                self._at = end
                self.idle = end == len(data)
                return [data[at + 8 : end]]
        if self._read_head() and self._skip_padding() and self._read_parts():
            message = self._parts
            self._restart()
            return message
        return None

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
        magic, further, envelope = HEADER.unpack_from(head)
        if magic != MAGIC_AND_VERSION or further > MAX_FURTHER_PARTS:
            raise ProtocolError(f"The other end sent {bytes(head[:8])!r}, which does not begin a Tincans frame.")
        need = HEADER.size + 8 * further
        if len(head) < need:
            return need
        lengths = struct.unpack_from(f"<{further}Q", head, HEADER.size)
        self._sizes = [envelope, *lengths]
        self._check_size(sum(size for size in self._sizes if not size & PASSED_BIT))
        passed = [size & ~PASSED_BIT for size in lengths if size & PASSED_BIT]
        if passed and (not self.passing or len(passed) > MAX_PASSED or self.max_message < PASSING_FROM):
            raise ProtocolError(f"The other end announces {len(passed)} descriptors, which cannot travel here.")
        need += 8 * len(passed)
        if passed and len(head) == need:
            offsets = struct.unpack_from(f"<{len(passed)}Q", head, need - 8 * len(passed))
            self._wanted = [Passed(length, offset) for length, offset in zip(passed, offsets, strict=True)]
            self._padding = RECEIVE_AT_MOST - need
        return need

    def _check_size(self, size: int) -> None:
        if size > self.max_message:
            raise ProtocolError(
                f"The other end announces a message of {size} bytes; the limit here is {self.max_message}."
            )

    def limit(self) -> int:
        """How many bytes may be received next into a `feed`; 0 when the next byte carries descriptors.

        To be asked after `next` has returned None.
        """
        if self._wanted:
            return self._padding
        return RECEIVE_AT_MOST - len(self._head) if len(self._head) < self._need else RECEIVE_AT_MOST

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
            if size & PASSED_BIT:
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
        target += _ZEROS[:more]

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


class LineReader:
    """Lines out of the bytes of one stream (a `Deframer`). A last line without its line end is not a message.

    `idle` says that nothing has been taken in that is not handed out yet.
    """

    __slots__ = ("_at", "_begun", "_data", "idle", "max_message")

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        self.idle = True
        self._begun = bytearray()
        self._data = b""
        self._at = 0

    def feed(self, data: Buffer) -> None:
        data = data if type(data) is bytes else bytes(data)
        self._data = data if self._at == len(self._data) else self._data[self._at :] + data
        self._at = 0
        self.idle = not self._data and not self._begun

    def take(self, data: bytes) -> list[Buffer] | None:
        """`feed` and `next` in one."""
        self.feed(data)
        return self.next()

    def next(self) -> list[Buffer] | None:
        end = self._data.find(b"\n", self._at)
        stop = len(self._data) if end < 0 else end
        if len(self._begun) + stop - self._at > self.max_message + 1:  # one more may be a carriage return
            raise self._too_long()
        if end < 0:
            self._begun += self._data[self._at :]
            self._at = len(self._data)
            self.idle = not self._begun
            return None
        line = bytes(self._begun) + self._data[self._at : end]
        self._at = end + 1
        self._begun.clear()
        self.idle = self._at == len(self._data)
        return [self._checked(line.removesuffix(b"\r"))]

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


class ChunkReader:
    """Bytes as they come, without any messages in them (a `Deframer`)."""

    __slots__ = ("_data", "idle", "max_message")

    def __init__(self, max_message: int) -> None:
        self.max_message = max_message
        self.idle = True
        self._data = b""

    def feed(self, data: Buffer) -> None:
        self._data += bytes(data)
        self.idle = not self._data

    def take(self, data: bytes) -> list[Buffer] | None:
        """`feed` and `next` in one."""
        self.feed(data)
        return self.next()

    def next(self) -> list[Buffer] | None:
        chunk, self._data = self._data, b""
        self.idle = True
        return [chunk] if chunk else None

    def space(self) -> memoryview | None:
        return None

    def filled(self, count: int) -> None:
        raise ProtocolError(f"A reader of bytes was told of {count} in a space that it never gave.")
