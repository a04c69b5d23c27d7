"""A kernel lock (flock) on an open file, waited for with a deadline, between programs and between threads of one.

Rules of this file
- The kernel lets go of it when its holder dies, however it dies: nothing is ever broken by age.
- The kernel cannot wait with a deadline, so the wait looks again and again, soon at first and then more seldom.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tincans.errors import ClosedError, WaitTimeoutError

FIRST_PAUSE = 0.00005
LAST_PAUSE = 0.005
PATIENCE = 30.0
"""Seconds that a wait without a timeout lasts at most: holders work for milliseconds."""


class LockedFile:
    """An open file of one program among several, with the lock that each takes to write. It closes `fd`, once.

    Any thread may use it. `fd` is -1 after the end; `descriptor` says so by ClosedError.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     file = LockedFile(Path(place), os.open(place, os.O_RDONLY))
    ...     with file.locked(timeout=1.0) as fd:
    ...         print(fd == file.fd)
    ...     file.close()
    True
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.guard = threading.Lock()
        """Among our threads, what the kernel's lock is among programs."""

    @property
    def descriptor(self) -> int:
        """The open descriptor; ClosedError after the end."""
        if self.fd < 0:
            raise ClosedError(f"{self.path} was closed here. Open it again to use it.")
        return self.fd

    @contextmanager
    def locked(self, *, timeout: float | None) -> Iterator[int]:
        """Hold both locks; gives the descriptor. WaitTimeoutError when another one holds one all the time."""
        patience = PATIENCE if timeout is None else max(0.0, timeout)
        deadline = time.monotonic() + patience
        if not self.guard.acquire(True, patience):
            raise held_by_another(self.path, patience)
        try:
            fd = self.descriptor
            _lock(fd, deadline, patience, self.path)
            try:
                yield fd
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            self.guard.release()

    def close(self) -> None:
        """Wait for who writes here, then let go of the file. May be called twice."""
        with self.guard:
            self.abandon()

    def abandon(self) -> None:
        """Close the descriptor only (see fork_guard)."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def _lock(fd: int, deadline: float, patience: float, path: Path) -> None:
    pause = FIRST_PAUSE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                raise held_by_another(path, patience) from None
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LAST_PAUSE)


def held_by_another(path: Path, patience: float) -> WaitTimeoutError:
    """The lock of a file was not to be had in time."""
    return WaitTimeoutError(
        f"Another program has held the lock on {path} for {patience:g} s. Nothing was changed. If it is stopped, let it"
        " go on or end it."
    )
