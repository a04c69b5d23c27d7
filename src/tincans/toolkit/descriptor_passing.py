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
from tincans.toolkit.memory_pool import POOL
from tincans.toolkit.socket_platform import RECEIVE_DESCRIPTOR_FLAGS

PASS_FROM: Final = 1024 * 1024
"""Bytes. Below this a copy through the socket is about as quick as mapping memory."""
_MOST_PASSED = 64  # parts of one message; more are rare, and descriptors are scarce
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
        if all(_size(part) < PASS_FROM for part in parts):
            return parts, []
        replaced: list[Buffer | Passed] = [parts[0]]
        descriptors: list[int] = []
        try:
            for part in parts[1:]:
                if _size(part) < PASS_FROM or len(descriptors) == _MOST_PASSED:
                    replaced.append(part)
                else:
                    descriptor, passed = self._pass(part)
                    descriptors.append(descriptor)
                    replaced.append(passed)
        except BaseException as error:
            _close(descriptors)
            if isinstance(error, OSError):
                raise FullError(f"A large buffer cannot be passed on: {error.strerror}. Nothing was sent.") from error
            raise
        return replaced, descriptors

    def _pass(self, part: Buffer) -> tuple[int, Passed]:
        part = flat(part)
        found = sealed_memory.segment_of(part)
        if found is not None and (self.trusted or sealed_memory.is_frozen(found[0])):
            descriptor, offset, length = found
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3), Passed(length, offset)
        return (POOL.lend(part) if self.trusted else sealed_memory.frozen_copy(part)), Passed(len(part), 0)

    def incoming(self, reader: FrameReader, stream: Any, flags: int) -> None:
        """Receive the byte that carries the descriptors, and give the reader the memory behind them.

        What comes with that byte is taken along: a receive ends where descriptors came (unix(7)), so it cannot reach
        those of another message.
        """
        wanted = reader.wanted()
        data, ancillary, message_flags, _address = stream.recvmsg(
            RECEIVE_AT_MOST, _ROOM, flags | RECEIVE_DESCRIPTOR_FLAGS
        )
        descriptors = array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        if not data:
            _close(descriptors)
            raise ConnectionResetError("in the middle of a message")
        if message_flags & socket.MSG_CTRUNC or len(descriptors) != len(wanted):
            _close(descriptors)
            raise ProtocolError(
                f"{len(wanted)} descriptors were announced and {len(descriptors)} arrived. If this program is at its"
                " limit of open files, raise it (ulimit -n) or drop some shared arrays."
            )
        reader.give(self._attach(list(descriptors), wanted))
        reader.feed(data[1:])

    def _attach(self, descriptors: list[int], wanted: Sequence[Passed]) -> list[memoryview]:
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
            _close(descriptors)
            raise
        return views


def _size(part: Buffer) -> int:
    return part.nbytes if isinstance(part, memoryview) else len(part)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
