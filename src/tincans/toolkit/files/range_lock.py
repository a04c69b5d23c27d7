"""Locks by name, all in one file: a kernel lock (fcntl's OFD lock) on one byte for each name.

Rules of this file
- Each grant has a descriptor of its own, so that threads exclude each other as programs do; the kernel lets go when the
  holder dies, however it dies. Nothing is ever written to the file.
- A name's byte is chosen by its hash, from 2^63 of them: two names on one byte would only wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
import time
from pathlib import Path

from tincans.errors import ClosedError
from tincans.toolkit.deadline import deadline_of
from tincans.toolkit.files.private_file import open_private, same_file
from tincans.toolkit.fork_guard import abandon_in_child

_LOCK = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, pid
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
        self._held: set[int] = set()
        self._closed = False
        abandon_in_child(self)

    def acquire(self, name: str, *, timeout: float | None) -> int | None:
        """A grant to give to `release`, None when others hold it for `timeout` seconds."""
        deadline = deadline_of(timeout)
        pause = FIRST_PAUSE
        while True:
            if self._closed:
                raise ClosedError(f"{self.path} was closed here.")
            fd = self._tried(name)
            if fd is not None:
                return fd
            if deadline is not None:
                pause = min(pause, deadline - time.monotonic())
                if pause <= 0:
                    return None
            time.sleep(pause)
            pause = min(pause * 1.5, LAST_PAUSE)

    def _tried(self, name: str) -> int | None:
        fd = open_private(self.path, create=True)
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _place(name), 1, 0))
        except (BlockingIOError, PermissionError):  # the two ways in which POSIX lets a system say that it is taken
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        with self._guard:
            if self._closed or not same_file(self.path, fd):
                os.close(fd)
                return None
            self._held.add(fd)
        return fd

    def release(self, grant: int) -> None:
        """Let others have it."""
        with self._guard:
            if grant in self._held:
                self._held.remove(grant)
                os.close(grant)

    def close(self) -> None:
        """Give back all. May be called twice."""
        with self._guard:
            self._closed = True
            while self._held:
                os.close(self._held.pop())

    def abandon(self) -> None:
        """In a forked child: its copies of the descriptors would keep the parent's locks (see fork_guard)."""
        self._guard = threading.Lock()
        self.close()


def _place(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) >> 2
