"""A name held by one live program at a time: a file under a kernel lock (flock), never "a file that is old".

Rules of this file
- The kernel releases the lock when its holder dies, however it dies; a file without a lock means nothing.
- After locking, the path must still name the locked file, else the lock is on a file that somebody removed.
- The holder writes who it is into the file, so that others can say so; the file goes when the lock goes.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tincans.errors import NameInUseError, TincansError
from tincans.toolkit.files.private_file import open_private, same_file
from tincans.toolkit.fork_guard import abandon_in_child

# Seconds. `holder` has the lock for microseconds, and must not pass for an owner, though it be put to sleep meanwhile:
_PATIENCE = 0.05  # when the file names a live program
_MORE_PATIENCE = 2.0  # when it does not


class NameLock:
    """A lock file held by this program until `release`, or until it dies. Forked children do not hold it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     lock = acquire(Path(place, "alice.lock"))
    ...     print(holder(lock.path)["pid"] == os.getpid())
    ...     lock.release()
    ...     print(holder(lock.path))
    True
    None
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        abandon_in_child(self)

    def release(self) -> None:
        """Remove the file and give up the lock. May be called twice."""
        if self._descriptor >= 0:
            if same_file(self.path, self._descriptor):
                self.path.unlink(missing_ok=True)
            self.abandon()

    def abandon(self) -> None:
        """Close the descriptor only (see fork_guard)."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def acquire(path: Path, about: dict[str, Any] | None = None) -> NameLock:
    """Hold `path`, with the pid and `about` (plain data) written into it.

    NameInUseError, naming the holder's pid, when another live program (or another part of this one) holds it.
    DeniedError for anything planted at `path`.
    """
    started = time.monotonic()
    while True:
        descriptor = open_private(path, create=True)
        try:
            if _locked(descriptor) and same_file(path, descriptor):
                _write(descriptor, {"pid": os.getpid(), **(about or {})})
                return NameLock(path, descriptor)
            record = _read_record(descriptor)
            if time.monotonic() - started > (_PATIENCE if _lives(record) else _MORE_PATIENCE):
                raise _in_use(path, record)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(0.001)


def holder(path: Path) -> dict[str, Any] | None:
    """What the live holder of `path` wrote, {} when it has not written yet, None when nobody holds it.

    The file of a dead holder is removed. DeniedError for anything planted there.
    """
    try:
        descriptor = open_private(path, create=False)
    except FileNotFoundError:
        return None
    try:
        if not _locked(descriptor):
            return _read_record(descriptor)
        if same_file(path, descriptor):
            path.unlink(missing_ok=True)
        return None
    finally:
        os.close(descriptor)


def discard(path: Path, remove: Callable[[], object]) -> bool:
    """Remove the lock file `path` and, by `remove`, what it guards, when no live program holds it; whether it was so.

    What is planted at `path` stays.
    """
    try:
        descriptor = open_private(path, create=False)
    except (FileNotFoundError, TincansError):
        return False
    try:
        if not _locked(descriptor) or not same_file(path, descriptor):
            return False
        remove()
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)


def remove_endpoint(guarded: Path) -> None:
    """Remove a socket or FIFO; anything else stays."""
    with suppress(FileNotFoundError):
        status = guarded.lstat()
        if stat.S_ISSOCK(status.st_mode) or stat.S_ISFIFO(status.st_mode):
            guarded.unlink()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(descriptor: int, record: dict[str, Any]) -> None:
    data = json.dumps(record).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)


def _read_record(descriptor: int) -> dict[str, Any]:
    try:
        record = json.loads(os.pread(descriptor, 1 << 20, 0))
    except ValueError:  # not written yet
        return {}
    return record if isinstance(record, dict) else {}


def _lives(record: dict[str, Any]) -> bool:
    """Whether the program that a lock file names is there (or another one that got its pid since)."""
    try:
        os.kill(int(record["pid"]), 0)
    except (KeyError, TypeError, ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _in_use(path: Path, record: dict[str, Any]) -> NameInUseError:
    who = f"the live program with pid {record['pid']}" if "pid" in record else "another live program"
    return NameInUseError(f"{path} is held by {who}. Choose another name, or end that program first.")
