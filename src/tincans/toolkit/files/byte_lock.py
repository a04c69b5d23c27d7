"""One byte of a file as a lock (open file description locks): held until it is let go, or its holder dies.

Rules of this file
- Every lock has a descriptor of its own, so that two holders in one program exclude each other too.
- Programs that are started do not inherit it (close-on-exec), forked ones let go of their copy (fork_guard).
- Who watches the file (file_watch.py) is told of a close just before the kernel frees the lock. So a lock whose
  holder's death others wait for stands between two more descriptors of the file: whatever the order in which a dead
  program's are closed, one of them follows it.
- Nothing is written: bytes far behind a file's end can be locked as well.
"""

from __future__ import annotations

import fcntl
import os
import struct

from tincans.errors import UnsupportedError
from tincans.toolkit.fork_guard import abandon_in_child

_SET = getattr(fcntl, "F_OFD_SETLK", None)
_GET = getattr(fcntl, "F_OFD_GETLK", None)
_FLOCK = struct.Struct("hhqqi")  # of the system's struct flock on 64 bits: type, whence, start, length, pid


class ByteLock:
    """A descriptor with which one byte of its file can be locked. It, and its `heralds`, are this object's from now on.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     first, second = (ByteLock(os.open(file.name, os.O_RDWR)) for _ in range(2))
    ...     print(first.take(7), second.take(7), is_held(file.fileno(), 7))
    ...     first.close()
    ...     print(second.take(7))
    ...     second.close()
    True False True
    True
    """

    def __init__(self, descriptor: int, *heralds: int) -> None:
        self._descriptor, *self._heralds = descriptor, *heralds
        abandon_in_child(self)

    def take(self, byte: int) -> bool:
        """Lock a byte; False when somebody else has it. Never waits."""
        try:
            fcntl.fcntl(self._descriptor, _word(_SET), _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def close(self) -> None:
        """Let go. May be called twice."""
        if self._descriptor >= 0:
            fcntl.fcntl(self._descriptor, _word(_SET), _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))
        self.abandon()

    def abandon(self) -> None:
        """In a forked child: close its copies only; what they lock is the parent's."""
        mine, self._descriptor, self._heralds = [self._descriptor, *self._heralds], -1, []
        for descriptor in mine:
            if descriptor >= 0:
                os.close(descriptor)

    def __del__(self) -> None:
        if hasattr(self, "_heralds"):
            self.close()


def held_between(descriptors: list[int], byte: int) -> ByteLock | None:
    """The byte's lock, with three descriptors of the file, so that its holder's death is noticed; None when it is held.

    The descriptors are the lock's, or closed.
    """
    low, middle, high = sorted(descriptors)
    lock = ByteLock(middle, low, high)
    if lock.take(byte):
        return lock
    lock.close()
    return None


def is_held(descriptor: int, byte: int) -> bool:
    """Whether anybody holds the byte by another descriptor of the same file."""
    answer = fcntl.fcntl(descriptor, _word(_GET), _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    return bool(_FLOCK.unpack(answer[: _FLOCK.size])[0] != fcntl.F_UNLCK)


def _word(word: int | None) -> int:
    if word is None:
        raise UnsupportedError(
            "This system has no locks of open file descriptions. Use a method that needs none: unix."
        )
    return word
