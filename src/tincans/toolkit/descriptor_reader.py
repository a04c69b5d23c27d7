"""The receiving half of a DescriptorStream: bytes from one descriptor into messages.

Rules of this file
- The common case is one system call: a non-blocking read that finds the message there.
- A receiver looks again and again for at most `spin` seconds, then sleeps in poll. Waking a sleeper costs ten times
  what a look costs; looking that does not pay is left off, soon, and an idle program uses no processor.
- Every message that arrived is handed out before the end of the stream, or garbage, is told.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from io import FileIO
from time import monotonic, perf_counter
from types import SimpleNamespace
from typing import Any, Final

from tincans.contracts import Buffer, Framing
from tincans.errors import ClosedError, DisconnectedError, ProtocolError, TincansError
from tincans.toolkit.descriptor_end import DescriptorEnd
from tincans.toolkit.looking import take_apart

CHUNK = 65536
"""Bytes asked for at a time: the usual capacity of a pipe (pipe(7))."""

_UNKNOWN: Final = SimpleNamespace(idle=False)
"""The state of a decoder that does not tell: it may hold a message."""

MOST_LATE = 16
"""Rounds that a receiver goes on after its time while bytes keep coming: about a megabyte."""

MOST_MISSES = 6
"""After this many vain spins in a row, only one wait in 2**6 spins."""


def useful_spin(wanted: float) -> float:
    """`wanted` seconds, or 0 when this program may use one processor only: the other end could not run meanwhile."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return wanted if processors > 1 else 0.0


class DescriptorReader:
    """Receives from `fd`, which belongs to this object from now on. `gone()` makes the error for the end of the stream.

    >>> from tincans.core.framing import Lines
    >>> there, here = os.pipe()
    >>> reader = DescriptorReader(there, Lines(), max_message=1000, spin=0, gone=DisconnectedError)
    >>> os.write(here, b"hello")
    5
    >>> reader.receive(timeout=0) is None
    True
    >>> os.write(here, b" there\\n")
    7
    >>> reader.receive(timeout=0)
    [b'hello there']
    >>> reader.end.close(), os.close(here)
    (True, None)
    """

    __slots__ = (
        "_ahead", "_gone", "_misses", "_next", "_read", "_skips", "_spin", "_state", "_stream", "_take",
        "decoder", "end", "ready",
    )  # fmt: skip

    def __init__(
        self, fd: int, framing: Framing, *, max_message: int, spin: float, gone: Callable[[], DisconnectedError]
    ) -> None:
        self.end = DescriptorEnd(fd, select.POLLIN)
        self.decoder = framing.decoder(max_message)
        # A FileIO says "nothing yet" by None, for less than the exception that os.read raises.
        self._stream = FileIO(fd, "rb", closefd=False)
        self._read, self._next = self._stream.read, self.decoder.next
        # What our own decoders have beyond the contract saves two calls for each message.
        self._take: Callable[[bytes], list[Buffer] | None] = getattr(self.decoder, "take", self._feed_and_next)
        self._state: Any = self.decoder if hasattr(self.decoder, "idle") else _UNKNOWN
        self._ahead: list[Buffer] | ProtocolError | None = None
        self.ready: deque[bytes] = getattr(self.decoder, "ready", deque())
        """Messages that have come along with the last one. Who receives may take them here; they are next."""
        take_apart(self.decoder)
        self._gone = gone
        self._spin, self._misses, self._skips = useful_spin(spin), 0, 0

    def _feed_and_next(self, chunk: bytes) -> list[Buffer] | None:
        self.decoder.feed(chunk)
        return self._next()

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        end = self.end
        end.busy = True
        try:
            if self.ready and self._ahead is None and not end.closed:
                return [self.ready.popleft()]
            deadline = None if timeout is None else monotonic() + timeout
            message = None
            if self._state.idle and self._ahead is None and not end.closed:
                chunk = self._arrival(timeout)
                if chunk:
                    message = self._take(chunk)
                elif chunk is not None:
                    raise self._gone()  # idle, so nothing is cut
                elif timeout == 0:
                    return None
            if message is None:
                message = self._receive_until(deadline)
            if not self._state.idle and not self.ready:
                self._look_ahead()
            return message
        except OSError as error:  # a terminal that was hung up, a socket that was reset
            if isinstance(error, TincansError):
                raise
            raise self._gone() from None
        finally:
            end.busy = False
            if end.closed:
                end.leave()

    def _receive_until(self, deadline: float | None) -> list[Buffer] | None:
        """The general case. After the deadline it still takes what is there, within bounds, but waits no more."""
        end, late = self.end, 0
        while not end.closed:
            message = self._whole()
            if message is not None:
                return message
            left = None if deadline is None else max(0.0, deadline - monotonic())
            late += left == 0
            came = late <= MOST_LATE and self._take_in(left)
            if came is None:
                gone = self._gone()
                gone.cut = not getattr(self._state, "idle", True)
                raise gone
            if not came and left == 0:
                return None
        raise ClosedError("This connection was closed on this side; connect again to go on.")

    def _whole(self) -> list[Buffer] | None:
        """A whole message that has been taken in. ProtocolError when garbage comes next."""
        ahead, self._ahead = self._ahead, None
        if isinstance(ahead, ProtocolError):
            raise ahead
        return ahead or self._next()

    def _look_ahead(self) -> None:
        """So that `pending`, which any thread may ask, only looks."""
        if self._ahead is None:
            try:
                self._ahead = self._next()
            except ProtocolError as error:
                self._ahead = error
            if self.ready and isinstance(self._ahead, list):  # what was set aside is the first of several
                self.ready.extendleft(self._ahead)  # type: ignore[arg-type]  # bytes, alone in their message
                self._ahead = None

    def _take_in(self, timeout: float | None) -> bool | None:
        """Whether bytes came within `timeout`, None at the end of the stream. A large part's go straight to it."""
        space = self.decoder.space()
        if space is None:
            chunk = self._arrival(timeout)
            if chunk:
                self.decoder.feed(chunk)
            return chunk is not None and (len(chunk) > 0 or None)
        count = self._stream.readinto(space)
        if count is None and timeout != 0 and self.end.wait(timeout) and not self.end.closed:
            count = self._stream.readinto(space)
        if count:
            self.decoder.filled(count)
        return count is not None and (count > 0 or None)

    def _arrival(self, timeout: float | None) -> bytes | None:
        """The next bytes, b"" at the end of the stream, None when none came within `timeout`, or for nothing.

        It looks for `spin` seconds, then sleeps. After each vain spin the next 1, 3, 7, ... are left out.
        """
        read, end = self._read, self.end
        if timeout == 0:
            return read(CHUNK)
        if self._skips:
            self._skips -= 1
        else:
            until = perf_counter() + self._spin
            while True:
                chunk = read(CHUNK)
                if chunk is not None:
                    self._misses = 0
                    return chunk
                if perf_counter() > until:
                    break
            self._misses = min(self._misses + 1, MOST_MISSES)
            self._skips = (1 << self._misses) - 1
        if end.wait(timeout) and not end.closed:
            return read(CHUNK)
        return None

    def pending(self) -> bool:
        """See contracts.Connection."""
        return self._ahead is not None or bool(self.ready)
