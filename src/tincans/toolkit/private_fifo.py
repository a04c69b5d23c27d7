"""Named pipes that only this user can have made: opened without following links and without waiting, and checked.

Rules of this file
- What is checked is what is open (fstat), never a name that could have been exchanged meanwhile.
- Something planted is never opened for good, written to or removed: DeniedError says what stands there.
- Nothing here blocks: a FIFO without its other end is told by ENXIO, not by waiting for one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from tincans.errors import AddressError, DeniedError, NameInUseError
from tincans.toolkit.files.private_file import FILE_MODE, refused

_FLAGS = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def make_fifo(path: Path) -> None:
    """Make a FIFO that only this user can open. NameInUseError when something stands there already.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     make_fifo(Path(place, "a.fifo"))
    ...     both = open_fifo(Path(place, "a.fifo"), os.O_RDWR)
    ...     os.close(both)
    """
    try:
        os.mkfifo(path, FILE_MODE)
    except FileExistsError:
        raise NameInUseError(f"{path} was made by somebody else just now. Try again.", temporary=True) from None
    except FileNotFoundError:
        raise AddressError(f"There is no directory {path.parent} to keep {path.name} in. Make it first.") from None
    except OSError as error:
        raise refused(path, error) from error


def open_fifo(path: Path, mode: int) -> int:
    """Open a FIFO of this user, non-blocking. `mode` is os.O_RDONLY, os.O_WRONLY or os.O_RDWR.

    FileNotFoundError when nothing is there, BrokenPipeError when it is opened to write and nobody reads it,
    DeniedError for a link, a file, a directory or a FIFO that others made or may open.
    """
    try:
        _check(path, path.lstat())  # before the open too: opening a device may do something
        descriptor = os.open(path, mode | _FLAGS)
    except (FileNotFoundError, DeniedError):
        raise
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise BrokenPipeError(error.errno, "nobody reads it", str(path)) from None
        raise refused(path, error) from error
    try:
        _check(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def remove_fifo(path: Path) -> None:
    """Remove a FIFO of this user; anything else stays, and nothing there is fine."""
    with contextlib.suppress(FileNotFoundError, DeniedError):
        _check(path, path.lstat())
        path.unlink()


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISFIFO(status.st_mode):
        raise _planted(path, "not a named pipe")
    if status.st_uid != os.geteuid():
        raise _planted(path, f"a named pipe of user {status.st_uid}")
    if status.st_mode & 0o077:
        raise _planted(path, "a named pipe that other users may open")


def _planted(path: Path, what: str) -> DeniedError:
    return DeniedError(
        f"{path} is {what}, and was not used. Remove it if it is not needed, or choose another name or place."
    )
