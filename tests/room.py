"""The room that tests share when several run at the same time (`pytest -n 2`): who is to be `alone` waits, and is.

Rules of this file
- The locks are the kernel's: a worker that dies lets go of them.
- Who waits to be alone keeps the door shut meanwhile, or those who come and go would never leave the room empty.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class Room:
    """One for all workers of a run, in a directory that all of them know."""

    def __init__(self, place: Path) -> None:
        self._door, self._inside = (os.open(place / name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("door", "inside"))

    @contextlib.contextmanager
    def entered(self, *, alone: bool) -> Iterator[None]:
        """In the room during the block; with nobody else in it if `alone`."""
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._inside, fcntl.LOCK_UN)
