"""Locks by name, all in one file: a kernel lock on one byte for each name (byte_lock.py).

Rules of this file
- The kernel lets go when the holder dies, however it dies. Nothing is ever written to the file.
- A name's byte is chosen by its hash, from 2^62 of them: two names on one byte would only wait for each other.
"""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

from tincans.errors import ClosedError
from tincans.toolkit.deadline import deadline_of
from tincans.toolkit.files.byte_lock import ByteLock
from tincans.toolkit.files.private_file import open_private, same_file
from tincans.toolkit.fork_guard import abandon_in_child

FIRST_PAUSE = 0.0005
LAST_PAUSE = 0.01


class RangeLocks:
    """The locks of one file that this object holds. Any thread may use it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     locks = RangeLocks(Path(place, "locks"))
    ...     first, second = locks.acquire("a", timeout=0), locks.acquire("a", timeout=0)
    ...     print(first is None, second is None)
    ...     locks.close()
    False True
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.Lock()
        self._held: set[ByteLock] = set()
        self._closed = False
        abandon_in_child(self)

    def acquire(self, name: str, *, timeout: float | None) -> ByteLock | None:
        """A grant to give to `release`, None when others hold it for `timeout` seconds."""
        deadline = deadline_of(timeout)
        pause = FIRST_PAUSE
        while True:
            if self._closed:
                raise ClosedError(f"{self.path} was closed here.")
            grant = self._tried(name)
            if grant is not None:
                return grant
            if deadline is not None:
                pause = min(pause, deadline - time.monotonic())
                if pause <= 0:
                    return None
            time.sleep(pause)
            pause = min(pause * 1.5, LAST_PAUSE)

    def _tried(self, name: str) -> ByteLock | None:
        descriptor = open_private(self.path, create=True)
        lock = ByteLock(descriptor)
        try:
            if lock.take(_place(name)):
                with self._guard:
                    if not self._closed and same_file(self.path, descriptor):
                        self._held.add(lock)
                        return lock
        except BaseException:
            lock.close()
            raise
        lock.close()
        return None

    def release(self, grant: ByteLock) -> None:
        """Let others have it."""
        with self._guard:
            if grant in self._held:
                self._held.remove(grant)
                grant.close()

    def close(self) -> None:
        """Give back all. May be called twice."""
        with self._guard:
            self._closed = True
            while self._held:
                self._held.pop().close()

    def abandon(self) -> None:
        """In a forked child: each lock lets go of its copy by itself; what they lock is the parent's."""
        self._guard = threading.Lock()
        self._closed = True
        self._held = set()


def _place(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 2
