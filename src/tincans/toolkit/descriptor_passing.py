"""Large parts beside a Unix socket: sealed memory goes by descriptor, the bytes stay where they are.

Rules of this file
- What lies in sealed memory already is not copied at all; anything else is copied once, into the pool.
- The peer is believed in nothing: seals, size and number are checked, what was not announced is closed, and
  descriptors never survive an exec.
- With another user at the other end memory is never used again (it could still be looking), and must be frozen.
"""

from __future__ import annotations

import fcntl
import os
import socket
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tincans.contracts import Buffer, Identity, Parts
from tincans.core.deframing import MAX_PASSED, RECEIVE_AT_MOST, FrameReader, Passed
from tincans.core.framing import flat
from tincans.errors import FullError, ProtocolError
from tincans.toolkit import sealed_memory
from tincans.toolkit.live_memory import LIVE, is_writable, segment_of
from tincans.toolkit.memory_pool import POOL
from tincans.toolkit.outgoing import close_all
from tincans.toolkit.socket_platform import RECEIVE_DESCRIPTOR_FLAGS
from tincans.toolkit.stream import BATCH_BYTES

PASS_FROM: Final = 1024 * 1024
"""Bytes. Below this a copy through the socket is about as quick as mapping memory."""
_NONE: list[int] = []
_ONE = [1]
_MOST_PASSED = 64  # parts of one message; more are rare, and descriptors are scarce
_FLAGS = int(RECEIVE_DESCRIPTOR_FLAGS)
_RIGHTS = (int(socket.SOL_SOCKET), int(socket.SCM_RIGHTS))
_CUT_OFF = int(socket.MSG_CTRUNC)
_ROOM = socket.CMSG_SPACE(MAX_PASSED * array("i").itemsize)


def passing_for(identity: Identity) -> DescriptorPassing | None:
    """How large parts travel to this peer; None where the system has no sealed memory."""
    return DescriptorPassing(trusted=identity.uid == os.geteuid()) if sealed_memory.available() else None


@dataclass(frozen=True)
class DescriptorPassing:
    """`trusted`: the other end is of the same user, who could look into our memory anyway."""

    trusted: bool

    def outgoing(self, parts: Parts) -> tuple[Sequence[Buffer | Passed], list[int]]:
        """The parts with the large ones replaced, and their descriptors, which the caller closes."""
        wanted = self._wanted(parts)
        if not wanted:
            return parts, []
        replaced: list[Buffer | Passed] = list(parts)
        descriptors: list[int] = []
        try:
            for number in wanted:
                descriptor, replaced[number] = self._pass(parts[number])
                if descriptor is not None:
                    descriptors.append(descriptor)
        except BaseException as error:
            close_all(descriptors)
            if isinstance(error, OSError):
                raise FullError(f"A large buffer cannot be passed on: {error.strerror}. Nothing was sent.") from error
            raise
        return replaced, descriptors

    def _wanted(self, parts: Parts) -> list[int]:
        """Which parts go by descriptor: the large ones, and those that are to be written to by both programs."""
        if len(parts) == 2 and not LIVE.any_writable():  # nearly always
            return _ONE if _size(parts[1]) >= PASS_FROM else _NONE
        wanted = [number for number, part in enumerate(parts) if number and _size(part) >= PASS_FROM]
        if self.trusted and LIVE.any_writable():
            small = [n for n, part in enumerate(parts) if n and type(part) is memoryview and _size(part) < PASS_FROM]
            wanted = sorted([*wanted, *(number for number in small if is_writable(parts[number]))])
        return wanted[:_MOST_PASSED]

    def weigh(self, parts: Parts) -> tuple[int, int]:
        """How many bytes go through the socket, and how many are copied before, when these parts are sent."""
        wanted = self._wanted(parts)
        passed = [parts[number] for number in wanted]
        copied = sum(_size(part) for part in passed if segment_of(part) is None)
        return sum(map(_size, parts)) - sum(map(_size, passed)), copied

    def in_place(self, part: Buffer) -> tuple[int, int, int] | None:
        """Where a large part lies that needs no copy (`segment_of`), in memory that this program does not write to."""
        return segment_of(part) if _size(part) >= PASS_FROM and not LIVE.any_writable() else None

    def _pass(self, part: Buffer) -> tuple[int | None, Buffer | Passed]:
        part = flat(part)
        found = segment_of(part)
        if found is not None and (self.trusted or _all_of_it_is_frozen(*found)):
            descriptor, offset, length = found
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3), Passed(length, offset)
        lent = POOL.lend(part) if self.trusted else sealed_memory.frozen_copy(part)
        return lent, (part if lent is None else Passed(len(part), 0))

    def incoming(self, reader: FrameReader, stream: Any, flags: int) -> None:
        """Receive the byte that carries the descriptors, and give the reader the memory behind them.

        What comes with that byte is taken along: a receive ends where descriptors came (unix(7)), so it cannot reach
        those of another message.
        """
        wanted = reader.wanted()
        data, descriptors = _receive(stream, RECEIVE_AT_MOST, len(wanted), flags)
        reader.give(self.attach(descriptors, wanted))
        reader.feed(data[1:])

    def receive_batch(self, stream: Any, number: int, wanted: Sequence[Passed], flags: int) -> list[memoryview]:
        """The memory of the batch with this number (UnixStream.send_batch). An earlier one that is still there belongs
        to a message that was given up, and is closed."""
        while True:
            data, descriptors = _receive(stream, BATCH_BYTES, None, flags)
            came = int.from_bytes(data, "little")
            if came == number and len(descriptors) == len(wanted):
                return self.attach(descriptors, wanted)
            close_all(descriptors)
            if came >= number or len(data) != BATCH_BYTES:
                raise ProtocolError(_too_few(len(wanted), len(descriptors)))

    def attach(self, descriptors: list[int], wanted: Sequence[Passed]) -> list[memoryview]:
        """Views of the memory behind descriptors, which are taken over. ProtocolError for what cannot be trusted."""
        views = []
        try:
            for passed in wanted:
                views.append(
                    sealed_memory.attach(
                        descriptors.pop(0), offset=passed.offset, length=passed.length, frozen=not self.trusted
                    )
                )
        except BaseException:
            views.clear()
            close_all(descriptors)
            raise
        return views


def _receive(stream: Any, most: int, count: int | None, flags: int) -> tuple[bytes, list[int]]:
    """Bytes and the descriptors that came with them: `count` of them, if that is known."""
    data, ancillary, message_flags, _address = stream.recvmsg(most, _ROOM, flags | _FLAGS)
    descriptors = array("i")
    for level, kind, content in ancillary:
        if (level, kind) == _RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    if not data:
        close_all(descriptors)
        raise ConnectionResetError("in the middle of a message")
    if message_flags & _CUT_OFF or (count is not None and len(descriptors) != count):
        close_all(descriptors)
        raise ProtocolError(_too_few(count, len(descriptors)))
    return data, list(descriptors)


def _too_few(announced: int | None, arrived: int) -> str:
    return (
        f"{'Some' if announced is None else announced} descriptors were announced and {arrived} arrived. If this"
        " program is at its limit of open files, raise it (ulimit -n) or drop some shared arrays."
    )


def _all_of_it_is_frozen(descriptor: int, offset: int, length: int) -> bool:
    """Whether another user may get this memory: it never changes, and there is nothing else behind the descriptor."""
    return sealed_memory.is_frozen(descriptor) and offset == 0 and os.fstat(descriptor).st_size == length


def _size(part: Buffer) -> int:
    return part.nbytes if isinstance(part, memoryview) else len(part)
