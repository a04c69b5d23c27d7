"""The sending half of a DescriptorStream: messages into one descriptor.

Rules of this file
- The common case is one system call: a write that takes the whole frame.
- Large buffers are handed to the kernel where they are, several at a time; nothing is joined.
- What the kernel did not take of a message is kept, goes first, and is never given up: a message is never sent half.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from tincans.contracts import Buffer, Framing, Parts
from tincans.core.framing import SMALL
from tincans.core.sizes import size_of, too_large
from tincans.errors import ClosedError, DisconnectedError, UnsendableError, WaitTimeoutError
from tincans.toolkit.descriptor_end import DescriptorEnd
from tincans.toolkit.looking import joining

MOST_BUFFERS = 1024
"""Buffers in one writev: IOV_MAX on Linux and macOS."""

USUAL = 65536
WIDE = 262144
"""The capacity asked for when a message does not fit: more gains little, and counts against the user (pipe(7))."""

_writev = os.writev
_SET_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", 1031)


class DescriptorWriter:
    """Sends to `fd`, which belongs to this object from now on. `gone()` makes the error for an end without a reader.

    >>> from tincans.core.framing import Lines
    >>> there, here = os.pipe()
    >>> writer = DescriptorWriter(here, Lines(), max_message=1000, gone=DisconnectedError)
    >>> writer.send([b"hello"], timeout=1)
    >>> os.read(there, 100)
    b'hello\\n'
    >>> writer.end.close(), os.close(there)
    (True, None)
    """

    __slots__ = (
        "_encode",
        "_frame",
        "_framed_up_to",
        "_gone",
        "_join",
        "_kept",
        "_small",
        "_wide",
        "end",
        "max_message",
    )

    def __init__(self, fd: int, framing: Framing, *, max_message: int, gone: Callable[[], DisconnectedError]) -> None:
        self.end = DescriptorEnd(fd, select.POLLOUT)
        self._encode = framing.encode
        # What our own Frames has beyond the contract saves two lists for each small message.
        self._frame: Callable[[bytes], bytes] = getattr(framing, "frame", bytes)
        self._framed_up_to = SMALL if hasattr(framing, "frame") else -1
        self._join = joining(framing)
        self.limit(max_message)
        self._gone = gone
        self._kept: deque[memoryview] = deque()
        self._wide = False

    def limit(self, max_message: int) -> None:
        """Refuse larger messages from now on."""
        self.max_message = max_message
        self._small = min(self._framed_up_to, max_message)

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection."""
        end = self.end
        end.busy = True
        try:
            envelope = parts[0] if len(parts) == 1 else None
            if type(envelope) is not bytes or len(envelope) > self._small or self._kept or end.closed:
                self._send(self._framed(parts), timeout)
                return
            frame = self._frame(envelope)
            sent = self._write((frame,))
            if sent < len(frame):
                self._send_rest(deque([memoryview(frame)]), sent, timeout)
        finally:
            end.busy = False
            if end.closed:
                end.leave()

    def send_many(self, messages: Sequence[Parts], *, timeout: float | None) -> None:
        """Send several messages in as few system calls as they fit in. Together they are like one for `send`."""
        end = self.end
        end.busy = True
        try:
            small = self._small
            if all(len(parts) == 1 and type(parts[0]) is bytes and len(parts[0]) <= small for parts in messages):
                self._send([self._join(tuple([parts[0] for parts in messages]))], timeout)
            else:
                self._send([buffer for parts in messages for buffer in self._framed(parts)], timeout)
        finally:
            end.busy = False
            if end.closed:
                end.leave()

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        end = self.end
        end.busy = True
        try:
            return self._push(self._kept, timeout)
        finally:
            end.busy = False
            if end.closed:
                end.leave()

    def _framed(self, parts: Parts) -> list[Buffer]:
        total = size_of(parts)
        if total > self.max_message:
            raise too_large(total, self.max_message)
        try:
            return self._encode(parts)
        except ValueError as error:
            if isinstance(error, UnsendableError):
                raise
            raise UnsendableError(f"This message cannot be framed: {error}. Nothing was sent.") from None

    def _send(self, buffers: list[Buffer], timeout: float | None) -> None:
        if self._kept and not self._push(self._kept, timeout):
            raise _no_room(timeout)
        self._send_rest(deque(memoryview(buffer).cast("B") for buffer in buffers if len(buffer)), 0, timeout)

    def _send_rest(self, rest: deque[memoryview], sent: int, timeout: float | None) -> None:
        """Send on after the first `sent` bytes; what has begun and cannot end now is kept."""
        whole = size_of(rest)
        _drop(rest, sent)
        self._widen(whole)
        begun = False
        try:
            done = self._push(rest, timeout)
        finally:  # also when a signal's handler raises in the middle
            begun = size_of(rest) < whole
            if begun and not self.end.closed:
                self._kept = deque(memoryview(bytes(view)) for view in rest)
        if not done and not begun:
            raise _no_room(timeout)

    def _push(self, rest: deque[memoryview], timeout: float | None) -> bool:
        """Write until `rest` is empty; False when the time is up before."""
        end, deadline = self.end, None
        while not end.closed:
            if not rest:
                return True
            sent = self._write(list(islice(rest, MOST_BUFFERS)))
            if sent:
                _drop(rest, sent)
                continue
            if timeout is not None:
                deadline = deadline or time.monotonic() + timeout
                timeout = max(0.0, deadline - time.monotonic())
            if not end.wait(timeout):
                return False
        raise ClosedError("This connection was closed on this side; connect again to go on.")

    def _write(self, buffers: Sequence[Buffer]) -> int:
        """How many bytes the kernel took: 0 when it is full."""
        try:
            return _writev(self.end.fd, buffers)
        except BlockingIOError:
            return 0
        except OSError:
            raise self._gone() from None

    def _widen(self, wanted: int) -> None:
        """Ask once for a larger pipe when a message does not fit. The kernel may refuse; then it takes more rounds."""
        if wanted > USUAL and not self._wide and not self.end.closed:
            self._wide = True
            with contextlib.suppress(OSError):  # not a pipe, or more than this user may have
                fcntl.fcntl(self.end.fd, _SET_PIPE_SIZE, WIDE)


def _drop(rest: deque[memoryview], count: int) -> None:
    """Drop the first `count` bytes."""
    while count:
        first = rest.popleft()
        if count < first.nbytes:
            rest.appendleft(first[count:])
            return
        count -= first.nbytes


def _no_room(timeout: float | None) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"The other end took nothing for {timeout or 0:g} s: its buffer is full. Nothing of this message was sent."
    )
