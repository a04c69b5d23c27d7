"""A kernel lock (flock) on an open file, waited for with a deadline, between programs and between threads of one.

Rules of this file
- The kernel lets go of it when its holder dies, however it dies: nothing is ever broken by age.
- The kernel cannot wait with a deadline, so the wait looks again and again, soon at first and then more seldom.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tincans.errors import WaitTimeoutError

FIRST_PAUSE = 0.00005
LAST_PAUSE = 0.005
PATIENCE = 30.0
"""Seconds that a wait without a timeout lasts at most: holders work for milliseconds."""


@contextmanager
def locked(guard: threading.Lock, descriptor: Callable[[], int], timeout: float | None, what: str) -> Iterator[int]:
    """Hold both locks: `guard` among our threads, flock on `descriptor()` among programs; it gives the descriptor.

    WaitTimeoutError when another one holds it all the time.

    >>> import tempfile
    >>> with tempfile.TemporaryFile() as file, locked(threading.Lock(), file.fileno, 1.0, "it"):
    ...     pass
    """
    patience = PATIENCE if timeout is None else max(0.0, timeout)
    deadline = time.monotonic() + patience
    if not guard.acquire(True, patience):
        raise _busy(what, patience)
    try:
        fd = descriptor()
        _lock(fd, deadline, patience, what)
        try:
            yield fd
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        guard.release()


def _lock(fd: int, deadline: float, patience: float, what: str) -> None:
    pause = FIRST_PAUSE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                raise _busy(what, patience) from None
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LAST_PAUSE)


def _busy(what: str, patience: float) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"Another program has held the lock on {what} for {patience:g} s. Nothing was changed. If it is stopped, let it"
        " go on or end it."
    )
