"""Sleeping until somebody changes a file, or files in a directory: by inotify on Linux, else by looking now and then.

Rules of this file
- A wake-up is a hint, and so is its absence: file systems over a network, and programs that write through a mapping,
  tell nobody. So nobody sleeps longer than `look` seconds before looking again.
- One thread at a time waits; anyone may close, which ends the wait.
- An inotify that cannot be had (its number is bounded for each user) is no error: then the looks are more frequent.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

from tincans.toolkit.deadline import deadline_of
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.fork_guard import abandon_in_child

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8  # linux/inotify.h
_MOVED_TO, _DELETE, _DELETE_SELF = 0x80, 0x200, 0x400
FILE_EVENTS = _MODIFY | _ATTRIB | _DELETE_SELF
DIRECTORY_EVENTS = _CLOSE_WRITE | _MOVED_TO | _DELETE
LOOK = 1.0
"""Seconds between two looks where the kernel tells of changes."""

LOOK_UNTOLD = 0.02
"""Seconds between two looks where it does not."""


class ChangeWatch:
    """Notices changes of the file at `path`, or, for a directory, of what is in it.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     watch = ChangeWatch(Path(file.name))
    ...     quiet = watch.wait(0)
    ...     _ = file.write(b"news"), file.flush()
    ...     print(quiet, watch.wait(1.0))
    ...     watch.close()
    False True
    """

    def __init__(self, path: Path, *, look: float = LOOK) -> None:
        self._bell = Doorbell()
        self._guard = threading.RLock()
        self._fd = _opened(path)
        self._look = look if self._fd >= 0 else min(look, LOOK_UNTOLD)
        self._busy = False
        self._given_back = False
        self.closed = False
        self._poll = select.poll()
        self._poll.register(self._bell.fileno(), select.POLLIN)
        if self._fd >= 0:
            self._poll.register(self._fd, select.POLLIN)
        abandon_in_child(self)

    def fileno(self) -> int | None:
        """A descriptor that polls readable after a change, until the next `wait`; None without inotify."""
        return self._fd if self._fd >= 0 else None

    def wait(self, timeout: float | None) -> bool:
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
        try:
            while self._fd >= 0 and len(os.read(self._fd, 65536)) > 32768:
                continue
        except BlockingIOError:
            pass  # the bell rang, or nobody

    def close(self) -> None:
        """End the wait of another thread. May be called twice."""
        with self._guard:
            self.closed = True
            if not self._given_back:
                self._bell.ring()
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


def _opened(path: Path) -> int:
    """An inotify descriptor that watches `path`; -1 where there is none to have."""
    libc = _libc()
    if libc is None:
        return -1
    fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        return -1
    events = DIRECTORY_EVENTS if path.is_dir() else FILE_EVENTS
    if libc.inotify_add_watch(fd, os.fsencode(path), events) < 0:
        os.close(fd)
        return -1
    return fd


@cache
def _libc() -> Any:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return libc if hasattr(libc, "inotify_init1") else None
