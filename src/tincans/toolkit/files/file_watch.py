"""Who writes to a file, and who closes it, as the kernel tells: a descriptor to poll.

Rules of this file
- The kernel closes the descriptors of a program that dies, so its death is told like a close.
- Where the kernel does not tell, `watch` gives None: the caller looks again from time to time.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from tincans.toolkit.files import inotify

_HEAD = struct.Struct("iIII")  # struct inotify_event: watch, mask, cookie, length of the name behind it


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
                closed = closed or bool(mask & (inotify.CLOSE_WRITE | inotify.OVERFLOW))
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
    descriptor = inotify.inotify_of(path, inotify.MODIFY | inotify.CLOSE_WRITE)
    return None if descriptor < 0 else FileWatch(descriptor)
