"""The private directory where programs of one user find each other by name, and the list of those that serve.

Rules of this file
- $TINCANS_RUNTIME_DIR, else $XDG_RUNTIME_DIR/tincans, else <tmp>/tincans-<uid>; 0700, ours, not a symlink.
- Nothing planted is followed, repaired or removed: DeniedError says what to do.
- An entry in the list lives as long as its program holds a kernel lock on it; a dead one is removed when seen.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tincans.errors import AddressError, DeniedError
from tincans.toolkit.files import name_lock
from tincans.toolkit.files.private_directory import private_directory

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")
_counter = itertools.count(1)
_ADVICE = "or set TINCANS_RUNTIME_DIR to a directory of your own, for both programs"


def runtime_directory() -> Path:
    """The directory, made when it is not there yet. DeniedError when it is not safely ours.

    >>> runtime_directory().is_dir()
    True
    """
    return _private(_wanted())


def path_of(name: str, suffix: str) -> Path:
    """Where the thing called `name` is kept: `path_of("alice", ".sock")`. AddressError for a name that is none."""
    if not _NAME.fullmatch(name):
        raise AddressError(
            f"{name!r} is not a name: 1 to 100 letters, digits, '_', '-', '.', not beginning with '-' or '.'."
            " For a file of your own give its whole path, such as unix:/run/alice.sock."
        )
    return runtime_directory() / (name + suffix)


def sweep() -> int:
    """Remove the sockets and FIFOs of killed programs, each with its lock file; how many. Those of live ones stay.

    Every server that starts here by a name does this, so one clean start is enough after any number of kills.
    """
    locks = runtime_directory().glob("*.lock")
    return sum(name_lock.discard(lock, partial(name_lock.remove_endpoint, lock.with_suffix(""))) for lock in locks)


def _wanted() -> Path:
    if chosen := os.environ.get("TINCANS_RUNTIME_DIR"):
        return Path(chosen).absolute()
    if (session := os.environ.get("XDG_RUNTIME_DIR")) and Path(session).is_dir():
        return Path(session) / "tincans"
    return Path(os.environ.get("TMPDIR") or "/tmp") / f"tincans-{os.geteuid()}"


def _private(path: Path) -> Path:
    return private_directory(path, "The runtime directory", _ADVICE)


@dataclass(frozen=True)
class Service:
    """A program that serves now. `started` is in seconds since 1970; `functions` is None when not told."""

    name: str
    pid: int
    urls: tuple[str, ...]
    started: float
    functions: int | None = None


class Registration:
    """One entry in the list of services, until `close` or the end of the program."""

    def __init__(self, lock: name_lock.NameLock) -> None:
        self._lock = lock

    def close(self) -> None:
        """Take the entry out. May be called twice."""
        self._lock.release()


def register(name: str, urls: Sequence[str], functions_count: int | None = None) -> Registration:
    """Put this program into the list that `services` gives.

    >>> entry = register("example", ["unix:example"], 3)
    >>> [service.urls for service in services() if service.pid == os.getpid() and service.name == "example"]
    [('unix:example',)]
    >>> entry.close()
    """
    services()  # what killed programs left in the list goes
    about = {"name": name, "urls": list(urls), "started": time.time(), "functions": functions_count}
    place = _private(runtime_directory() / "services")
    return Registration(name_lock.acquire(place / f"{os.getpid()}-{next(_counter)}", about))


def services() -> list[Service]:
    """The programs of this user that serve now, by name. Entries of dead ones are removed."""
    place = _private(runtime_directory() / "services")
    found = [service for path in place.iterdir() if (service := _service(path)) is not None]
    return sorted(found, key=lambda service: (service.name, service.started))


def _service(path: Path) -> Service | None:
    try:
        record = name_lock.holder(path)
        if record is None:
            return None
        urls = tuple(str(url) for url in record["urls"])
        return Service(str(record["name"]), int(record["pid"]), urls, float(record["started"]), record["functions"])
    except (KeyError, TypeError, ValueError):  # its program has locked it and is about to write it
        return None
    except DeniedError:  # planted, or not ours to judge: not a service, and no reason to hide the others
        return None
