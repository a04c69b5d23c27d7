"""inotify: a descriptor that polls readable when something happens to a path, as the kernel tells (inotify(7)).

Rules of this file
- Where there is none (another system, or fs.inotify.max_user_instances is used up) the answer is -1, no error: whoever
  waits looks again from time to time then.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

MODIFY: Final = 0x2  # linux/inotify.h
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_TO: Final = 0x80
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
OVERFLOW: Final = 0x4000


def inotify_of(path: Path, events: int) -> int:
    """A descriptor, the caller's from now on, that never blocks; -1 where there is none to have.

    >>> inotify_of(Path("/nowhere"), MODIFY)
    -1
    """
    libc = _libc()
    if libc is None:
        return -1
    descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor >= 0 and libc.inotify_add_watch(descriptor, os.fsencode(path), events) < 0:
        os.close(descriptor)
        return -1
    return descriptor


@cache
def _libc() -> Any:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    return libc if hasattr(libc, "inotify_init1") else None
