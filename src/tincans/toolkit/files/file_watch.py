"""Who writes to a file, and who closes it, as the kernel tells (inotify): a descriptor to poll.

Rules of this file
- The kernel closes the descriptors of a program that dies, so its death is told like a close.
- Where there is no inotify, or none is left (fs.inotify.max_user_instances), `watch` gives None: the caller looks again
  from time to time.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

IN_MODIFY, IN_CLOSE_WRITE, IN_Q_OVERFLOW = 0x2, 0x8, 0x4000  # linux/inotify.h
_HEAD = struct.Struct("iIII")


class FileWatch:
    """A descriptor that polls readable when somebody wrote to the file or closed it, until `drain`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._descriptor

    def drain(self) -> tuple[bool, bool]:
        """Whether anything happened since the last look, and whether it included a close. Never waits."""
        happened = closed = False
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except BlockingIOError:
                return happened, closed
            happened = True
            at = 0
            while at < len(data):
                _, mask, _, length = _HEAD.unpack_from(data, at)
                closed = closed or bool(mask & (IN_CLOSE_WRITE | IN_Q_OVERFLOW))
                at += _HEAD.size + length

    def close(self) -> None:
        """May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def watch(path: Path) -> FileWatch | None:
    """Begin to watch a file; None where that cannot be.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     watching = watch(Path(file.name))
    ...     os.pwrite(file.fileno(), b"x", 0) and (watching is None or watching.drain())
    (True, False)
    """
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        return None
    if library.inotify_add_watch(descriptor, os.fsencode(path), IN_MODIFY | IN_CLOSE_WRITE) < 0:
        os.close(descriptor)
        return None
    return FileWatch(descriptor)
