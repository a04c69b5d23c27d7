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
import time
from collections.abc import Callable
from io import FileIO

from tincans.contracts import Buffer, Framing
from tincans.errors import ClosedError, DisconnectedError, ProtocolError
from tincans.toolkit.descriptor_end import DescriptorEnd

CHUNK = 65536
"""Bytes asked for at a time: the usual capacity of a pipe (pipe(7))."""

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
        "_ahead", "_feed", "_gone", "_misses", "_next", "_read", "_skips", "_space", "_spin", "_stream", "decoder",
        "end",
    )  # fmt: skip

    def __init__(
        self, fd: int, framing: Framing, *, max_message: int, spin: float, gone: Callable[[], DisconnectedError]
    ) -> None:
        self.end = DescriptorEnd(fd, select.POLLIN)
        self.decoder = framing.decoder(max_message)
        # A FileIO says "nothing yet" by None, for less than the exception that os.read raises.
        self._stream = FileIO(fd, "rb", closefd=False)
        self._read, self._feed, self._next = self._stream.read, self.decoder.feed, self.decoder.next
        self._space: memoryview | None = None
        self._ahead: list[Buffer] | None = None
        self._gone = gone
        self._spin, self._misses, self._skips = useful_spin(spin), 0, 0

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        end = self.end
        try:
            with end.lock:
                if self._ahead is not None:
                    message, self._ahead = self._ahead, None
                    return message
                return self._next() or self._receive(timeout)
        finally:
            if end.closed:
                end.leave()

    def _receive(self, timeout: float | None) -> list[Buffer] | None:
        end, deadline = self.end, None
        while not end.closed:
            came = self._take_in() if timeout == 0 else self._look()
            if came is None:
                if timeout == 0:
                    return None
                if timeout is not None:
                    deadline = deadline or time.monotonic() + timeout
                    timeout = max(0.0, deadline - time.monotonic())
                if not end.wait(timeout):
                    return None
                came = self._take_in()
            if came is False:
                raise self._gone()
            if came:
                message = self._next()
                if message is not None:
                    return message
                self._space = self.decoder.space()
        raise ClosedError("This connection was closed on this side; connect again to go on.")

    def _look(self) -> bool | None:
        """Take in what comes within `spin` seconds. After each vain time the next 1, 3, 7, ... looks are left out."""
        if self._skips:
            self._skips -= 1
            return None
        take_in, now = self._take_in, time.perf_counter
        until = now() + self._spin
        while (came := take_in()) is None:
            if now() > until:
                self._misses = min(self._misses + 1, MOST_MISSES)
                self._skips = (1 << self._misses) - 1
                return None
        self._misses = 0
        return came

    def _take_in(self) -> bool | None:
        """True when bytes came, None when there are none yet, False at the end of the stream."""
        try:
            if self._space is None:
                chunk = self._read(CHUNK)
                if chunk:
                    self._feed(chunk)
                    return True
                return None if chunk is None else False
            count = self._stream.readinto(self._space)
        except OSError:  # a terminal that was hung up, a socket that was reset
            return False
        if count:
            self.decoder.filled(count)
            self._space = self.decoder.space()
        return None if count is None else count > 0

    def pending(self) -> bool:
        """See contracts.Connection."""
        if self._ahead is None and self.end.lock.acquire(blocking=False):
            try:  # whoever holds the lock instead is receiving, and takes what is here
                if self._ahead is None:
                    self._ahead = self._next()
            except ProtocolError:
                return True  # `receive` will raise it
            finally:
                self.end.lock.release()
        return self._ahead is not None
