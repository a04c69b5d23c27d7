"""A Connection through two rings in shared memory, beside the Unix socket over which they were agreed on.

Rules of this file
- Messages go through the ring. The memory of large parts goes over the socket, by descriptor, before the message that
  needs it, so it is always here when that is read; both have the same number.
- Who passes memory on, or was passed some, expects the next message soon: the system calls for it keep the other side
  longer than a usual message, but not nearly as long as falling asleep over it does.
- The socket is proof of life and credentials; while it is open, the ring is trusted to have an end.
- Who polls `fileno()` calls `prepare_wait()` first, for a writer rings only for a reader that said it sleeps.

A message with passed parts is, in the ring: an empty part, a table (the batch's number, then for each passed part its
place among all the parts, its length and its offset, u64 each, little-endian), and the parts that were not passed. A
message that begins with an empty part itself has such a table as well.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from typing import Any

from tincans._speed.ring import Ring
from tincans.contracts import Buffer, Identity, Parts
from tincans.core.deframing import MAX_PASSED, Passed
from tincans.errors import ProtocolError, WaitTimeoutError
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.unix_stream import UnixStream

_ROW = struct.Struct("<3Q")
_ONE_ROW = struct.Struct("<4Q")
_NO_ENVELOPE = "The other end sent a message without its envelope, or with a table that is none."
_WRONG_PLACE = "The other end sent a message whose parts cannot be in the places that it says."


class RingConnection:
    """contracts.Connection over a Ring and the stream beside it; both belong to this object from now on.

    `ring`, `owes_word` and `whole` are for who uses the ring directly (pump/quick.py): not for sending while a
    message is owed; and what the ring gives as several parts, or as an empty one, is made `whole` first.
    """

    sends_whole = True

    def __init__(self, ring: Ring, stream: UnixStream, *, max_message: int) -> None:
        self.identity: Identity = stream.identity
        self.ring = ring
        self._stream = stream
        self._ring_receive = ring.receive
        self._ring_send = ring.send
        self._numbers = itertools.count(1)
        self.pending = ring.pending
        self.prepare_wait = ring.prepare_wait
        self.weigh = stream.weigh
        self._owed: Parts = ()
        self.max_message = max_message
        abandon_in_child(self)

    @property
    def max_message(self) -> int:
        """The largest message in bytes, both ways."""
        return self._stream.max_message

    @max_message.setter
    def max_message(self, size: int) -> None:
        self.ring.max_message = self._stream.max_message = size

    @property
    def owes_word(self) -> bool:
        """Whether a message's memory has left, and the ring had no room for the message itself."""
        return self.ring.owed

    @property
    def shares_memory(self) -> bool:
        """See ByteStream."""
        return self._stream.shares_memory

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection."""
        if self.owes_word and not self._send_owed(timeout):
            raise _no_room()
        begun = False
        if len(parts) > 1 or not parts[0]:
            parts, begun = self._beside(parts, timeout)
        if not self._ring_send(parts, timeout):
            if not begun:
                raise _no_room()
            self._owed = [bytes(part) for part in parts]  # now or before anything else: its memory has left
            self.ring.owed = True

    def _beside(self, parts: Parts, timeout: float | None) -> tuple[Parts, bool]:
        """The message for the ring, and whether the memory of its large parts has left."""
        if len(parts) == 2 and parts[0] and (found := self._stream.lies_in_memory(parts)) is not None:
            number = next(self._numbers)
            if self._stream.send_one(number, found[0]):  # the shortest way; nearly always
                self.ring.expect()
                return [b"", _ONE_ROW.pack(number, 1, found[2], found[1]), parts[0]], True
        mixed, descriptors = self._stream.passed(parts)
        if not descriptors:
            return (parts if parts[0] else [b"", _table(0, []), *parts]), False
        number = next(self._numbers)
        self._stream.send_batch(number, descriptors, timeout=timeout)
        self.ring.expect()
        if len(mixed) == 2:  # nearly always
            return [b"", _ONE_ROW.pack(number, 1, mixed[1].length, mixed[1].offset), mixed[0]], True
        return [b"", _table(number, mixed), *(part for part in mixed if not isinstance(part, Passed))], True

    def _send_owed(self, timeout: float | None) -> bool:
        if self._ring_send(self._owed, timeout):
            self._owed, self.ring.owed = (), False
        return not self.owes_word

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        if self.owes_word and not self._send_owed(timeout):
            return False
        return self.ring.flush(timeout)

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        parts: list[Buffer] | None = self._ring_receive(timeout)  # type: ignore[assignment]
        return parts if parts is None or parts[0] else self.whole(parts)

    def whole(self, parts: list[Any]) -> list[Buffer]:
        """What the ring had, as the message that it was: its passed parts in their places."""
        if parts[0]:
            return parts
        number, rows = _read_table(parts)
        message: list[Buffer] = parts[2:]
        if rows:
            wanted = [Passed(length, offset) for _place, length, offset in rows]
            views = self._stream.receive_batch(number, wanted)
            self.ring.expect()
            for (place, _length, _offset), view in zip(rows, views, strict=True):
                message.insert(place, view)
        return message

    def close(self) -> None:
        """See contracts.Connection."""
        self.ring.close()
        self._stream.close()

    def abandon(self) -> None:
        """See contracts.Connection. The ring knows by itself that it is in another process."""
        self.ring.close()
        self._stream.abandon()

    def fileno(self) -> int | None:
        """See contracts.Connection."""
        return self.ring.fileno()


def _no_room() -> WaitTimeoutError:
    return WaitTimeoutError("The other end took nothing within the timeout. It may be busy or stopped.")


def _table(number: int, parts: Sequence[Any]) -> bytes:
    passed = [(place, part) for place, part in enumerate(parts) if isinstance(part, Passed)]
    return number.to_bytes(8, "little") + b"".join(_ROW.pack(place, part.length, part.offset) for place, part in passed)


def _read_table(parts: list[Any]) -> tuple[int, list[tuple[int, int, int]]]:
    """The number, and (place, length, offset) of each passed part, in order. ProtocolError for anything else."""
    table = parts[1] if len(parts) > 2 else b""
    if len(table) == _ONE_ROW.size:
        number, *row = _ONE_ROW.unpack(table)
        if not 0 < row[0] < len(parts) - 1:
            raise ProtocolError(_WRONG_PLACE)
        return number, [(row[0], row[1], row[2])]
    count, rest = divmod(len(table) - 8, _ROW.size)
    if not 0 <= count <= MAX_PASSED or rest:
        raise ProtocolError(_NO_ENVELOPE)
    rows = list(_ROW.iter_unpack(table[8:]))
    places = [place for place, _length, _offset in rows]
    if places != sorted(set(places)) or (places and not 0 < places[0] <= places[-1] < len(parts) - 2 + count):
        raise ProtocolError(_WRONG_PLACE)
    return int.from_bytes(table[:8], "little"), rows
