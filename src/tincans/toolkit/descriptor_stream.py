"""A Connection over a pair of file descriptors, one to read from and one to write to: FIFOs, pipes, a terminal.

Rules of this file
- It joins a reader and a writer; neither knows of the other, so that each may be used by a thread of its own.
- `receive` and `send` are theirs, bound once: no call in between on the hot path.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Literal

from tincans.contracts import Framing, Identity
from tincans.errors import DisconnectedError
from tincans.toolkit.descriptor_reader import DescriptorReader
from tincans.toolkit.descriptor_writer import DescriptorWriter

SPIN = 50e-6
"""Seconds that a receiver looks before it sleeps: longer than it takes to wake a sleeping other end."""


def _nothing() -> str:
    return ""


class DescriptorStream:
    """Messages over two descriptors that belong to this object from now on.

    `why_gone` is asked, when the other end has left, for a sentence about why; `closed` is told once of the end on
    this side. Both may be called by any thread.

    >>> import os
    >>> from tincans.core.framing import Frames
    >>> there, here = os.pipe()
    >>> loop = DescriptorStream(there, here, framing=Frames())
    >>> loop.send([b"hello", b"buffer"], timeout=1)
    >>> loop.receive(timeout=1)
    [b'hello', b'buffer']
    >>> loop.close()
    """

    __slots__ = (
        "__weakref__", "_closed", "_reader", "_writer", "flush", "identity", "pending", "ready", "receive", "send",
        "send_many",
    )  # fmt: skip

    def __init__(
        self,
        read_fd: int,
        write_fd: int,
        *,
        framing: Framing,
        identity: Identity | None = None,
        max_message: int = 1024**3,
        spin: float = SPIN,
        why_gone: Callable[[], str] = _nothing,
        closed: Callable[[], object] = _nothing,
    ) -> None:
        self.identity = identity or Identity()
        self._closed = closed
        # Not bound methods: the two halves must not keep this object alive, for its end closes them.
        gone, unsent = (partial(_gone, self.identity.address, why_gone, what) for what in (None, "not_sent"))
        self._reader = DescriptorReader(read_fd, framing, max_message=max_message, spin=spin, gone=gone)
        self._writer = DescriptorWriter(write_fd, framing, max_message=max_message, gone=unsent)
        self.receive, self.pending, self.ready = self._reader.receive, self._reader.pending, self._reader.ready
        self.send, self.send_many, self.flush = self._writer.send, self._writer.send_many, self._writer.flush

    @property
    def max_message(self) -> int:
        """The largest message in bytes, both ways."""
        return self._writer.max_message

    @max_message.setter
    def max_message(self, limit: int) -> None:
        self._writer.limit(limit)
        self._reader.decoder.max_message = limit

    def fileno(self) -> int | None:
        """The descriptor that is read. Stop watching it before `close`, which gives it back at once."""
        return self._reader.end.fd

    def finish(self) -> None:
        """Tell the other end that nothing more comes, and go on receiving."""
        self._writer.end.close()

    def close(self) -> None:
        """See contracts.Connection."""
        self._writer.end.close()
        if self._reader.end.close():
            self._closed()

    def abandon(self) -> None:
        """See contracts.Connection."""
        self._writer.end.abandon()
        self._reader.end.abandon()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # a constructor that was refused its descriptors
            self.close()


def _gone(where: str, why_gone: Callable[[], str], outcome: Literal["not_sent"] | None) -> DisconnectedError:
    place = f" at {where}" if where else ""
    return DisconnectedError(f"The other end{place} is gone.{why_gone()}", outcome=outcome)
