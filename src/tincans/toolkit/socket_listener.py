"""A `Listener` on a listening socket: Unix and TCP.

Rules of this file
- Nothing here waits for a stranger: a connection is taken, checked by what the kernel knows of it, and handed on.
- A connection that breaks while it is accepted, or that may not come in, is dropped and counted (`refused`).
- Out of descriptors: a reserved one is given up for a moment to take the waiting connection and drop it, so that its
  program is told at once, and a poller does not spin on a connection that nobody can take.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tincans.contracts import Connection
from tincans.errors import ClosedError, TincansError
from tincans.toolkit.deadline import deadline_of
from tincans.toolkit.fork_guard import abandon_in_child

BACKLOG: Final = 4096
_PAUSE = 0.05  # seconds without accepting, when even the reserved descriptor is gone
_MOST_WAIT = 3600.0
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
# accept(2) hands on errors that are already waiting on the new connection; they concern that one only.
_BROKEN_MEANWHILE = frozenset(
    getattr(errno, name, -1)
    for name in (
        "ECONNABORTED", "EPROTO", "ENOPROTOOPT", "ENETDOWN", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH", "ENONET",
        "EOPNOTSUPP", "EPERM", "ECONNRESET", "ETIMEDOUT",
    )
)  # fmt: skip

Admit = Callable[[socket.socket], Connection | None]
"""Turns an accepted socket into a connection; None when it may not come in (the socket is closed for it)."""


class SocketListener:
    """Accepts on `listening`, which belongs to this object from now on. `release` removes the method's own files.

    >>> from tincans.core.framing import FRAMES
    >>> from tincans.toolkit.byte_stream import ByteStream
    >>> listening = socket.create_server(("127.0.0.1", 0))
    >>> port = listening.getsockname()[1]
    >>> listener = SocketListener(listening, f"tcp://127.0.0.1:{port}", lambda one: ByteStream(one, FRAMES))
    >>> caller = socket.create_connection(("127.0.0.1", port))
    >>> connection = listener.accept(timeout=1)
    >>> listener.close(); connection.close(); caller.close()
    """

    def __init__(
        self, listening: socket.socket, address: str, admit: Admit, release: Callable[[], None] = lambda: None
    ) -> None:
        self.address = address
        self.refused = 0
        self._listening = listening
        self._admit = admit
        self._release = release
        self._closed = False
        self._accepting = 0
        self._reserve = _reserve()
        listening.setblocking(False)
        abandon_in_child(self)

    def accept(self, *, timeout: float | None) -> Connection | None:
        """The next connection that may come in; see contracts.Listener."""
        deadline = deadline_of(timeout)
        self._accepting += 1
        try:
            while not self._closed:
                accepted, waiting = self._take()
                if accepted is not None:
                    return accepted
                left = _MOST_WAIT if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return None
                if not waiting:
                    self._wait(left)
        finally:
            self._accepting -= 1
            if self._closed:
                self._dispose()
        raise ClosedError("This listener was closed. Serve again to go on.", url=self.address)

    def _take(self) -> tuple[Connection | None, bool]:
        """One attempt: the connection that came in, and whether more may be waiting."""
        try:
            stream, _address = self._listening.accept()
        except BlockingIOError:
            return None, False
        except OSError as error:
            if error.errno in _NO_DESCRIPTORS:
                return None, self._drop_one()
            if self._closed or error.errno in _BROKEN_MEANWHILE:
                return None, True
            raise TincansError(f"Accepting connections failed: {error.strerror}.", url=self.address) from error
        return self._let_in(stream), True

    def _let_in(self, stream: socket.socket) -> Connection | None:
        try:
            connection = self._admit(stream)
        except (OSError, ValueError):  # it broke meanwhile
            connection = None
        if connection is None:
            self.refused += 1
            stream.close()
        return connection

    def _drop_one(self) -> bool:
        """Out of descriptors: tell one waiting program so by closing its connection. False: nothing to drop."""
        reserve, self._reserve = self._reserve, -1
        if reserve < 0:
            time.sleep(_PAUSE)
            self._reserve = _reserve()
            return False
        os.close(reserve)
        try:
            self._listening.accept()[0].close()
            self.refused += 1
        except OSError:
            return False
        finally:
            self._reserve = _reserve()
        return True

    def _wait(self, seconds: float) -> None:
        poll = select.poll()
        with suppress(OSError, ValueError):  # closed meanwhile, the caller looks
            poll.register(self._listening.fileno(), select.POLLIN)
            poll.poll(max(1.0, min(seconds, _MOST_WAIT) * 1000))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._release()
            with suppress(OSError):  # where a listening socket cannot be shut down, closing it must do
                self._listening.shutdown(socket.SHUT_RDWR)
        self._dispose()

    def abandon(self) -> None:
        """In a forked child: the name, its lock and its files are the parent's."""
        self._closed = True
        self._accepting = 0
        self._dispose()

    def _dispose(self) -> None:
        if not self._accepting:
            self._listening.close()
            reserve, self._reserve = self._reserve, -1
            if reserve >= 0:
                os.close(reserve)

    def fileno(self) -> int | None:
        if self._closed:
            raise ClosedError("This listener was closed. Serve again to go on.", url=self.address)
        return self._listening.fileno()


def _reserve() -> int:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
