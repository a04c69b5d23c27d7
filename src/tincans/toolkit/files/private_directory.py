"""A directory that only this user can enter, made when it is missing, refused when it is not safely ours.

Rules of this file
- What is checked is what is open, never a name. Nothing planted is followed, repaired or removed.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tincans.errors import DeniedError


def private_directory(path: Path, what: str, advice: str) -> Path:
    """`path`, made with mode 0700. `what` it is and an `advice` what else could be used go into the DeniedError.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     private_directory(Path(place, "mine"), "The directory", "or choose another").stat().st_mode & 0o777 == 0o700
    True
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise _unsafe(path, f"cannot be made ({error.strerror})", what, advice) from error
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unsafe(path, f"is not a directory that can be entered ({error.strerror})", what, advice) from error
    try:
        fault = _fault(descriptor)
    finally:
        os.close(descriptor)
    if fault:
        raise _unsafe(path, fault, what, advice)
    return path


def _fault(descriptor: int) -> str:
    status = os.fstat(descriptor)
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}, not to you ({os.geteuid()})"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by other users"
    if status.st_mode & 0o077:  # others could look, not change: safe to close
        os.fchmod(descriptor, 0o700)
    return ""


def _unsafe(path: Path, why: str, what: str, advice: str) -> DeniedError:
    return DeniedError(f"{what} {path} {why}. Remove it or mend it (chmod 700), {advice}.")
