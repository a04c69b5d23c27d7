"""Sleeping until something may have changed: a bell of this program, and a descriptor by which the kernel tells.

Rules of this file
- A wake-up is a hint, and so is its absence: file systems over a network, and programs that write through a mapping,
  tell nobody. So nobody sleeps longer than `look` seconds before looking again.
- One thread at a time waits; anyone may ring, and close, which ends the wait.
- Where the kernel does not tell (inotify.py) that is no error: the looks are more frequent then.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.files import inotify
from tincans.toolkit.fork_guard import abandon_in_child

T = TypeVar("T")
FILE_EVENTS = inotify.MODIFY | inotify.ATTRIB | inotify.DELETE_SELF
DIRECTORY_EVENTS = inotify.CLOSE_WRITE | inotify.MOVED_TO | inotify.DELETE
LOOK = 1.0
"""Seconds between two looks where somebody tells of changes."""

LOOK_UNTOLD = 0.02
"""Seconds between two looks where nobody does."""


class ChangeWatch:
    """One who waits. `descriptor` is readable after a change and belongs to this object from now on; -1 for none."""

    def __init__(self, descriptor: int = -1, *, look: float = LOOK) -> None:
        self.closed = False
        self._fd = descriptor
        self._look = look
        self._bell = Doorbell()
        self._guard = threading.RLock()
        self._busy = self._given_back = False
        self._poll = select.poll()
        self._poll.register(self._bell.fileno(), select.POLLIN)
        if self._fd >= 0:
            self._poll.register(self._fd, select.POLLIN)
        abandon_in_child(self)

    def fileno(self) -> int | None:
        """A descriptor that polls readable after a change, until the next `wait`; None where there is none."""
        return self._fd if self._fd >= 0 else None

    def ring(self) -> None:
        """Something may have changed."""
        with self._guard:
            if not self._given_back:
                self._bell.ring()

    def wait(self, *, timeout: float | None) -> bool:
        """Until something may have changed. False when `timeout` seconds have passed first, or at the end."""
        deadline = deadline_of(timeout)
        with self._guard:
            if self.closed:
                return False
            self._busy = True
        try:
            left = self._look if timeout is None else min(timeout, self._look)
            changed = bool(self._poll.poll(left * 1000))
            self._drain()
            return changed or deadline is None or time.monotonic() < deadline
        finally:
            self._busy = False
            if self.closed:
                self._give_back()

    def silence(self) -> None:
        """Forget what has changed up to now: called before a look, so that what comes after it is told."""
        with self._guard:
            if not self._given_back:
                self._drain()

    def _drain(self) -> None:
        self._bell.silence()
        try:
            while self._fd >= 0 and len(os.read(self._fd, 65536)) > 32768:
                continue
        except BlockingIOError:
            pass  # the bell rang, or nobody

    def close(self) -> None:
        """End the wait of another thread. May be called twice."""
        self.closed = True
        self.ring()
        self._give_back()

    def _give_back(self) -> None:
        with self._guard:
            if self._busy or self._given_back:
                return
            self._given_back = True
            self._bell.close()
            if self._fd >= 0:
                os.close(self._fd)

    def abandon(self) -> None:
        """In a forked child (see fork_guard)."""
        self._guard = threading.RLock()
        self._busy = False
        self.closed = True
        self._give_back()


def watch_path(path: Path, *, look: float = LOOK) -> ChangeWatch:
    """Notices changes of the file at `path`, or, for a directory, of what is in it.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     watch = watch_path(Path(file.name))
    ...     quiet = watch.wait(timeout=0)
    ...     _ = file.write(b"news"), file.flush()
    ...     print(quiet, watch.wait(timeout=1.0))
    ...     watch.close()
    False True
    """
    descriptor = inotify.inotify_of(path, DIRECTORY_EVENTS if path.is_dir() else FILE_EVENTS)
    return ChangeWatch(descriptor, look=look if descriptor >= 0 else min(look, LOOK_UNTOLD))


def until(
    attempt: Callable[[], T | None],
    path: Path,
    *,
    timeout: float | None,
    pause: Callable[[], float] = lambda: LOOK,
) -> T | None:
    """What `attempt` gives, tried now, after each change at `path` and after `pause()` seconds without one.

    None when it gives nothing within `timeout` seconds.
    """
    found = attempt()
    if found is not None or timeout == 0:
        return found
    deadline = deadline_of(timeout)
    watch = watch_path(path)
    try:
        while (found := attempt()) is None:
            left = left_of(deadline)
            if left is not None and left <= 0:
                return None
            watch.wait(timeout=max(0.001, pause() if left is None else min(left, pause())))
    finally:
        watch.close()
    return found
