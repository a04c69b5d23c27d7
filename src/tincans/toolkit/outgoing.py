"""What of one message has not left yet: scatter/gather, partial writes, and the descriptors that go with it.

Rules of this file
- Nothing here waits: each `write` is one system call, BlockingIOError means "not now".
- Buffers are views of the sender's until `keep`, which copies what is left so that the sender may go on.
- Descriptors belong to this object and are closed once they have left, or by `close`.
"""

from __future__ import annotations

import errno
import os
import socket
from array import array
from collections.abc import Sequence
from typing import Any, Final, Protocol

from tincans.contracts import Buffer
from tincans.core.deframing import Passed
from tincans.toolkit.socket_platform import SEND_FLAGS

_IOV_MAX: Final = 1024
"""The most buffers in one sendmsg (limits.h: UIO_MAXIOV on Linux, IOV_MAX on macOS)."""


class MessageBegun(BlockingIOError):
    """Nothing can leave now, but the message counts as begun: the same bytes must come again (TLS records)."""


class Sender(Protocol):
    """What is needed of a socket here."""

    def sendmsg(self, buffers: Any, ancillary: Any = ..., flags: int = ...) -> int: ...


class Outgoing:
    """The rest of one message. With descriptors, the first buffer goes alone before the byte that carries them, unless
    there is no `head`.

    `begun` says that some of it has left, so that all of it must.

    >>> here, there = socket.socketpair()
    >>> rest = Outgoing([b"hello, ", b"world"])
    >>> rest.write(here), there.recv(100)
    (True, b'hello, world')
    >>> here.close(); there.close()
    """

    __slots__ = ("_at", "_buffers", "_descriptors", "_head_left", "begun")

    def __init__(
        self,
        buffers: Sequence[Buffer],
        descriptors: Sequence[int] = (),
        *,
        begun: bool = False,
        head: bool = True,
    ) -> None:
        self.begun = begun
        self._buffers = [memoryview(buffer) for buffer in buffers if len(buffer)]
        self._at = 0
        self._descriptors = list(descriptors)
        self._head_left = len(self._buffers[0]) if descriptors and head else 0

    def write(self, stream: Sender) -> bool:
        """One system call; True when nothing is left. BlockingIOError when nothing can leave now."""
        try:
            if self._head_left:
                sent = stream.sendmsg(self._buffers[self._at : self._at + 1], (), SEND_FLAGS)
                self._head_left -= sent
            elif self._descriptors:
                sent = self._write_descriptors(stream)
            else:
                sent = stream.sendmsg(self._buffers[self._at : self._at + _IOV_MAX], (), SEND_FLAGS)
        except MessageBegun:
            self.begun = True
            raise
        self.begun = True
        self._advance(sent)
        return self._at == len(self._buffers)

    def _write_descriptors(self, stream: Sender) -> int:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", self._descriptors))
        try:
            sent = stream.sendmsg(self._buffers[self._at : self._at + _IOV_MAX], [rights], SEND_FLAGS)
        except OSError as error:
            if error.errno == errno.ETOOMANYREFS:  # too many are on their way to slow readers: like a full pipe
                raise BlockingIOError(errno.EAGAIN, "too many descriptors in flight") from error
            raise
        self.close()
        return sent

    def _advance(self, sent: int) -> None:
        buffers, at = self._buffers, self._at
        while sent and sent >= len(buffers[at]):
            sent -= len(buffers[at])
            at += 1
        if sent:
            buffers[at] = buffers[at][sent:]
        self._at = at

    def keep(self) -> None:
        """Copy what is left; the views of the sender's buffers are let go."""
        self._buffers = [memoryview(bytes(buffer)) for buffer in self._buffers[self._at :]]
        self._at = 0
        self.begun = True

    def close(self) -> None:
        """Close the descriptors that have not been closed yet."""
        descriptors, self._descriptors = self._descriptors, []
        close_all(descriptors)


def size_of(part: Any) -> int:
    """Bytes of one part; none of one that travels as memory."""
    if isinstance(part, Passed):
        return 0
    return part.nbytes if isinstance(part, memoryview) else len(part)


def close_all(descriptors: Sequence[int]) -> None:
    """Give descriptors back."""
    for descriptor in descriptors:
        os.close(descriptor)
