"""Files that only this user can have made: opened without following links, and checked by their descriptor.

Rules of this file
- What is checked is what is open (fstat), never a name that could have been exchanged meanwhile.
- Something planted is never written to, truncated or removed: DeniedError says what stands there and what to do.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from tincans.errors import AddressError, DeniedError, TincansError

FILE_MODE = 0o600
_LINK_ERRORS = (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR, errno.ENOTDIR)


def open_private(path: Path, *, create: bool, write: bool = True) -> int:
    """Open `path` for reading, and writing if asked: a regular file of this user with one name, made with mode 0600.

    FileNotFoundError only when `create` is false; DeniedError for a link, pipe, directory or another's file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     descriptor = open_private(Path(place, "a.lock"), create=True)
    ...     os.close(descriptor)
    """
    flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags | (os.O_CREAT if create else 0), FILE_MODE)
    except FileNotFoundError:
        if create:
            raise AddressError(f"There is no directory {path.parent} to keep {path.name} in. Make it first.") from None
        raise
    except OSError as error:
        raise refused(path, error) from error
    try:
        check_private(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def refused(path: Path, error: OSError) -> TincansError:
    """The operating system's refusal to open or make `path`, as an error that says what to do."""
    if error.errno in _LINK_ERRORS:
        return _planted(path, "a link, a directory or a pipe, where Tincans keeps a plain file")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DeniedError(f"This user may not open {path} ({error.strerror}). Check who owns it and its directory.")
    return TincansError(f"{path} cannot be opened: {error.strerror}.", temporary=True)


def check_private(path: Path, status: os.stat_result) -> None:
    """DeniedError unless it is a plain file of this user with one name."""
    if not stat.S_ISREG(status.st_mode):
        raise _planted(path, "not a plain file")
    if status.st_uid != os.geteuid():
        raise _planted(path, f"a file of user {status.st_uid}")
    if status.st_nlink > 1:
        raise _planted(path, "a file with a second name (a hard link)")


def _planted(path: Path, what: str) -> DeniedError:
    return DeniedError(
        f"{path} is {what}, and was not used. Remove it if it is not needed, or choose another place"
        " (TINCANS_RUNTIME_DIR)."
    )


def same_file(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the file that is open as `descriptor`."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
