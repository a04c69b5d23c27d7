"""One file descriptor that one thread at a time uses and any thread may close.

Rules of this file
- A descriptor is closed only under its lock, so that its number is never reused under a thread that is inside.
- The user takes `lock`, looks at `closed`, does its system calls, releases, and calls `leave` if closed by then:
  whoever is last closes the descriptor.
- The doorbell that ends a wait is made by the first wait: an end that never sleeps costs one descriptor.
"""

from __future__ import annotations

import os
import select
import threading

from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.fork_guard import abandon_in_child


class DescriptorEnd:
    """A descriptor, made non-blocking, that belongs to this object from now on. `events` is what `wait` waits for.

    >>> there, here = os.pipe()
    >>> end = DescriptorEnd(there, select.POLLIN)
    >>> with end.lock:
    ...     end.wait(0)
    False
    >>> end.close(), os.close(here)
    (True, None)
    """

    __slots__ = ("__weakref__", "_bell", "_events", "_guard", "_open", "_poll", "closed", "fd", "lock")

    def __init__(self, fd: int, events: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.lock = threading.Lock()
        self.closed = False
        self._open = True
        self._events = events
        self._guard = threading.RLock()  # reentrant: a signal's handler may close what its own thread is opening
        self._bell: Doorbell | None = None
        self._poll: select.poll | None = None
        abandon_in_child(self)

    def wait(self, timeout: float | None) -> bool:
        """Sleep until the descriptor is ready or this end is closed; False when `timeout` seconds have passed.

        Called with `lock` held. True is a hint: the system call may still find nothing.
        """
        poll = self._poll or self._prepare()
        if self.closed:
            return True
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def _prepare(self) -> select.poll:
        poll = select.poll()
        poll.register(self.fd, self._events)
        bell = Doorbell()
        poll.register(bell.fileno(), select.POLLIN)
        with self._guard:
            self._bell = bell
            if self.closed:
                bell.ring()
        self._poll = poll
        return poll

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
        """Close the descriptor if this end is closed and no thread is inside. Called after releasing `lock`."""
        if not self.closed or not self.lock.acquire(blocking=False):
            return
        try:
            with self._guard:  # `close` may be about to ring the bell
                if self._open:
                    self._open = False
                    os.close(self.fd)
                    if self._bell is not None:
                        self._bell.close()
        finally:
            self.lock.release()

    def abandon(self) -> None:
        """In a forked child: close our copy, whatever the parent's threads were doing with theirs at the fork."""
        self.lock = threading.Lock()
        self._guard = threading.RLock()
        self.close()
