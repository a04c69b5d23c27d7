"""A program that runs only once: a lock file in the runtime directory, which says who has it.

Rules of this file
- The lock is a kernel lock (name_lock.py): it ends with its holder, however that ends, and a file that a killed program
  left means nothing.
- The same object serves both faces, for nothing here waits longer than it is asked to.
"""

from __future__ import annotations

import shlex
import sys
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from tincans.errors import NameInUseError
from tincans.toolkit.files import name_lock
from tincans.toolkit.files.runtime_directory import path_of

SUFFIX = ".single.lock"
_PAUSE = 0.02
_LONGEST_COMMAND = 300


class SingleInstance:
    """The right to be the only one, from `single` until `release` or the end of the program."""

    def __init__(self, name: str, lock: name_lock.NameLock) -> None:
        self.name = name
        self.path = lock.path
        self._lock = lock

    def release(self) -> None:
        """Let another instance start. May be called twice."""
        self._lock.release()

    def __enter__(self) -> SingleInstance:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.release()

    async def __aenter__(self) -> SingleInstance:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<SingleInstance {self.name}>"


def single(name: str) -> SingleInstance:
    """Be the only program of this user that holds `name`; `with tincans.single("backup"): ...`, or call it and stay so.

    NameInUseError says who holds it: pid, start and command. The kernel lets go of it when the program ends, also by
    kill -9. A forked child does not hold it. AddressError for a name that is none, DeniedError for a planted file.

    >>> with single("example") as only:
    ...     try:
    ...         single("example")
    ...     except NameInUseError as error:
    ...         print(str(error).partition(" pid ")[0])
    'example' runs already:
    """
    path = path_of(name, SUFFIX)
    about = {"name": name, "started": time.time(), "command": _command()}
    try:
        return SingleInstance(name, name_lock.acquire(path, about))
    except NameInUseError:
        raise _in_use(name, path) from None


def _in_use(name: str, path: Path) -> NameInUseError:
    record: dict[str, Any] = name_lock.holder(path) or {}
    pid, command = record.get("pid"), record.get("command")
    if not isinstance(pid, int):
        return NameInUseError(f"{name!r} runs already, or is just ending ({path}). Try again.", temporary=True)
    return NameInUseError(
        f"{name!r} runs already: pid {pid}, started {_time(record.get('started'))}, command: {command}."
        f" Let it run, end it (kill {pid}), or use another name. The lock is {path}; to remove that file does not help."
    )


def _time(started: Any) -> str:
    if not isinstance(started, (int, float)):
        return "at an unknown time"
    return datetime.fromtimestamp(started).astimezone().isoformat(" ", "seconds")


def _command() -> str:
    """How this program was started, for people."""
    words = sys.orig_argv or sys.argv
    command = shlex.join([Path(words[0]).name, *words[1:]]) if words else "unknown"
    return command if len(command) <= _LONGEST_COMMAND else f"{command[:_LONGEST_COMMAND]}..."
