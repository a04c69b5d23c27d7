"""A client's two private FIFOs beside a server's rendezvous: made by the client, joined by the server, then nameless.

Rules of this file
- `<rendezvous>.<token>.down` (to the client) is made, opened and locked before `.up` (to the server) is made; so a
  pair whose `down` is not locked, or an `up` without a `down`, belongs to a program that died.
- The token is 128 bits of chance and names nothing but a pair beside the rendezvous.
- Names go when both ends are open: after that a kill leaves nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from tincans.errors import DeniedError, UnreachableError
from tincans.toolkit.private_fifo import make_fifo, open_fifo, remove_fifo

_TOKEN_BYTES = 16
_PAIR = re.compile(r"\.([0-9a-f]{32})\.(down|up)")


def _paths(place: Path, token: str) -> tuple[Path, Path]:
    return place.with_name(f"{place.name}.{token}.down"), place.with_name(f"{place.name}.{token}.up")


@dataclass
class FifoPair:
    """The client's side. Its owner calls `remove`, and `take` or `close`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     place = Path(directory, "alice.fifo")
    ...     pair = FifoPair.make(place)
    ...     there = join_pair(place, pair.token)
    ...     pair.remove()
    ...     print(sorted(Path(directory).iterdir()))
    ...     here = pair.take()
    ...     written = os.write(here[1], b"hello")
    ...     print(os.read(there[0], written))
    ...     for descriptor in (*there, *here):
    ...         os.close(descriptor)
    []
    b'hello'
    """

    place: Path
    token: str
    read_fd: int
    write_fd: int
    _stand_in: int
    """Reads `up` until the server does: a FIFO can be opened for writing only while somebody reads it."""

    @classmethod
    def make(cls, place: Path) -> FifoPair:
        """Two new FIFOs beside `place`, both open. DeniedError, AddressError or OSError leave nothing behind."""
        token = secrets.token_hex(_TOKEN_BYTES)
        down, up = _paths(place, token)
        with contextlib.ExitStack() as undo:
            undo.callback(_remove_pair, place, token)
            make_fifo(down)
            read_fd = _opened(undo, down, os.O_RDONLY)
            _lock(read_fd, down)
            make_fifo(up)
            stand_in = _opened(undo, up, os.O_RDONLY)
            write_fd = _opened(undo, up, os.O_WRONLY)
            undo.pop_all()
        return cls(place, token, read_fd, write_fd, stand_in)

    def remove(self) -> None:
        """Take the names away. May be called twice, and after the server has done so."""
        _remove_pair(self.place, self.token)

    def take(self) -> tuple[int, int]:
        """The descriptors to read from and to write to, once the server has joined: now they are the caller's."""
        os.close(self._stand_in)
        return self.read_fd, self.write_fd

    def close(self) -> None:
        """Give up instead."""
        for descriptor in (self.read_fd, self.write_fd, self._stand_in):
            os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    """Mark the pair as a living program's. A server that swept it up just before is seen here."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        swept = os.fstat(descriptor).st_nlink == 0
    except BlockingIOError:
        swept = True
    if swept:
        raise UnreachableError(f"{path} was taken for a dead program's and removed while it was made. Try again.")


def _opened(undo: contextlib.ExitStack, path: Path, mode: int) -> int:
    descriptor = open_fifo(path, mode)
    undo.callback(os.close, descriptor)
    return descriptor


def join_pair(place: Path, token: str) -> tuple[int, int]:
    """The server's side: the descriptors to read from and to write to. The names are taken away.

    OSError (FileNotFoundError, BrokenPipeError) when the client is gone, DeniedError for something planted.
    """
    down, up = _paths(place, token)
    with contextlib.ExitStack() as undo:
        try:
            write_fd = _opened(undo, down, os.O_WRONLY)  # first: it fails when the client is gone
        except BrokenPipeError:
            _remove_pair(place, token)
            raise
        read_fd = _opened(undo, up, os.O_RDONLY)
        _remove_pair(place, token)
        undo.pop_all()
    return read_fd, write_fd


def remove_dead_pairs(place: Path) -> None:
    """Remove what killed clients of the rendezvous `place` left. Living ones' pairs, and everything else, stay."""
    try:
        entries = list(os.scandir(place.parent))
    except PermissionError:  # a directory that we may not list was never one that we could sweep
        return
    for entry in entries:
        found = _PAIR.fullmatch(entry.name.removeprefix(place.name)) if entry.name.startswith(place.name) else None
        if found is not None:
            _remove_if_dead(place, found[1])


def _remove_if_dead(place: Path, token: str) -> None:
    with contextlib.ExitStack() as undo:
        try:
            descriptor = _opened(undo, _paths(place, token)[0], os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass  # only `up` is left, which is never so while the client lives
        except (DeniedError, BlockingIOError):
            return
        _remove_pair(place, token)  # still locked: a client that is about to lock it will see what happened


def _remove_pair(place: Path, token: str) -> None:
    down, up = _paths(place, token)
    remove_fifo(up)
    remove_fifo(down)
