"""A descriptor that a thread makes readable to end another thread's wait in poll.

Rules of this file
- Ringing twice is ringing once; nothing here ever blocks.
- An eventfd where the system has one (one descriptor), a pipe elsewhere (two).
"""

from __future__ import annotations

import contextlib
import os


class Doorbell:
    """Readable from `ring` until `silence`.

    >>> import select
    >>> bell = Doorbell()
    >>> bell.ring()
    >>> select.select([bell.fileno()], [], [], 0)[0] == [bell.fileno()]
    True
    >>> bell.close()
    """

    __slots__ = ("_read_fd", "_write_fd")

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self._read_fd = self._write_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._read_fd, self._write_fd = os.pipe()
            os.set_blocking(self._read_fd, False)
            os.set_blocking(self._write_fd, False)

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._read_fd

    def ring(self) -> None:
        """Make it readable."""
        with contextlib.suppress(BlockingIOError):  # it rings already
            os.write(self._write_fd, b"\1\0\0\0\0\0\0\0")

    def silence(self) -> None:
        """Make it unreadable again."""
        with contextlib.suppress(BlockingIOError):  # it was silent
            os.read(self._read_fd, 4096)

    def close(self) -> None:
        """Give the descriptors back. The owner sees to it that nobody polls or rings any more."""
        for fd in {self._read_fd, self._write_fd}:
            os.close(fd)
