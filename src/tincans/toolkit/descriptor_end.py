"""One file descriptor that one thread at a time uses and any thread may close.

Rules of this file
- The user sets `busy`, then looks at `closed`, does its system calls, clears `busy`, and calls `leave` if closed by
  then. `close` sets `closed`, then looks at `busy`. So one of the two, and only one, closes the descriptor, when nobody
  is inside: its number is never reused under a thread. (A lock says the same for four times the price.)
- The doorbell that ends a wait is made by the first wait: an end that never sleeps costs one descriptor.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.fork_guard import abandon_in_child


class DescriptorEnd:
    """A descriptor, made non-blocking, that belongs to this object from now on. `events` is what `wait` waits for.

    >>> there, here = os.pipe()
    >>> end = DescriptorEnd(there, select.POLLIN)
    >>> end.wait(0)
    False
    >>> end.close(), os.close(here)
    (True, None)
    """

    __slots__ = ("__weakref__", "_bell", "_events", "_guard", "_open", "_poll", "busy", "closed", "fd")

    def __init__(self, fd: int, events: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.busy = False
        self.closed = False
        self._open = True
        self._events = events
        self._guard = threading.RLock()  # reentrant: a signal's handler may close what its own thread is closing
        self._bell: Doorbell | None = None
        self._poll: Callable[[float | None], list[tuple[int, int]]] | None = None
        abandon_in_child(self)

    def wait(self, timeout: float | None) -> bool:
        """Sleep until the descriptor is ready or this end is closed; False when `timeout` seconds have passed.

        Called by the one who made it `busy`. True is a hint: the system call may still find nothing.
        """
        poll = self._poll or self._prepare()
        if self.closed:
            return True
        return bool(poll(None if timeout is None else timeout * 1000))

    def _prepare(self) -> Callable[[float | None], list[tuple[int, int]]]:
        poll = select.poll()
        poll.register(self.fd, self._events)
        bell = Doorbell()
        poll.register(bell.fileno(), select.POLLIN)
        with self._guard:
            self._bell = bell
            if self.closed:
                bell.ring()
        self._poll = poll.poll
        return poll.poll

    def close(self) -> bool:
        """End the waits; close the descriptor now, or when the thread inside leaves. False when it was closed."""
        with self._guard:
            if self.closed:
                return False
            self.closed = True
            if self._bell is not None:
                self._bell.ring()
        self.leave()
        return True

    def leave(self) -> None:
        """Close the descriptor if this end is closed and no thread is inside. Called after clearing `busy`."""
        with self._guard:
            if self.closed and not self.busy and self._open:
                self._open = False
                os.close(self.fd)
                if self._bell is not None:
                    self._bell.close()

    def abandon(self) -> None:
        """In a forked child: close our copy, whatever the parent's threads were doing with theirs at the fork."""
        self._guard = threading.RLock()
        self.busy = False
        self.close()
