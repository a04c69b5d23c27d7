"""A Listener whose strangers must first prove something: they do so beside each other, and nobody waits for them.

Rules of this file
- A stranger costs a descriptor and a few bytes until his deadline, then he is cut, whoever accepts or not.
- There may be MOST_STRANGERS at once; of more the one who has waited longest goes.
- One epoll descriptor stands for the listening socket, the strangers and the clock; each `accept` handles one event at
  a time, so that what is left keeps it readable.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from tincans.contracts import Connection
from tincans.errors import ClosedError, TincansError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.mp_proof import Proof
from tincans.toolkit.socket_listener import SocketListener

MOST_STRANGERS = 256
_AT_ONCE = 64
"""Events that one `accept(timeout=0)` handles at most."""


class ProvingListener:
    """See contracts.Listener. `inner` accepts Proofs; `admit` turns one that is done into a connection."""

    def __init__(self, inner: SocketListener, admit: Callable[[Proof], Connection]) -> None:
        self.address = inner.address
        self.refused = 0
        self._inner = inner
        self._admit = admit
        self._strangers: dict[int, Proof] = {}
        self._closed = self._accepting = self._disposed = False
        self._bell = Doorbell()
        self._epoll = select.epoll()
        self._listening = inner.fileno() or 0
        self._epoll.register(self._listening, select.EPOLLIN)
        self._epoll.register(self._bell.fileno(), select.EPOLLIN)
        self._clock: threading.Timer | None = None
        self._guard = threading.Lock()
        abandon_in_child(self)

    def accept(self, *, timeout: float | None) -> Connection | None:
        """See contracts.Listener."""
        deadline = deadline_of(timeout)
        self._accepting = True
        events = 0
        try:
            while not self._closed:
                self._cut_the_late()
                left = left_of(deadline)
                happened = self._epoll.poll(left, 1)
                if not happened or (left == 0 and events > _AT_ONCE):
                    return None
                events += 1
                connection = self._handle(happened[0][0])
                if connection is not None:
                    return connection
        finally:
            self._accepting = False
            if self._closed:
                self._dispose()
        raise ClosedError("This listener was closed. Serve again to go on.", url=self.address)

    def _handle(self, fd: int) -> Connection | None:
        if fd == self._listening:
            self._let_in()
        elif fd == self._bell.fileno():
            self._bell.silence()
        elif (proof := self._strangers.get(fd)) is not None:
            return self._go_on(fd, proof)
        return None

    def _let_in(self) -> None:
        accepted: Any = self._inner.accept(timeout=0)
        if accepted is None:
            return
        fd = accepted.stream.fileno()
        self._strangers[fd] = accepted
        self._epoll.register(fd, select.EPOLLIN)
        if len(self._strangers) > MOST_STRANGERS:
            self._cut(next(iter(self._strangers)))
        if self._clock is None:
            self._set_clock()

    def _go_on(self, fd: int, proof: Proof) -> Connection | None:
        try:
            if not proof.go_on():
                return None
        except (TincansError, OSError):
            self._cut(fd)
            return None
        self._epoll.unregister(fd)
        del self._strangers[fd]
        return self._admit(proof)

    def _cut(self, fd: int) -> None:
        self.refused += 1
        proof = self._strangers.pop(fd)
        with suppress(OSError):
            self._epoll.unregister(fd)
        proof.stream.close()

    def _cut_the_late(self) -> None:
        now = monotonic()
        for fd, proof in list(self._strangers.items()):
            if proof.deadline > now:
                break  # in the order of coming
            self._cut(fd)
        if self._strangers and self._clock is None:
            self._set_clock()

    def _set_clock(self) -> None:
        """Have the bell rung at the first deadline: one who polls our descriptor will then accept, and cut."""
        first = next(iter(self._strangers.values())).deadline
        clock = threading.Timer(max(0.0, first - monotonic()) + 0.01, self._ring)
        clock.daemon = True
        self._clock = clock
        clock.start()

    def _ring(self) -> None:
        with self._guard:
            self._clock = None
            if not self._disposed:
                self._bell.ring()

    def close(self) -> None:
        """See contracts.Listener."""
        self._closed = True
        self._inner.close()
        with self._guard:
            if not self._disposed:
                self._bell.ring()
        if not self._accepting:
            self._dispose()

    def abandon(self) -> None:
        """In a forked child: let go of the descriptors."""
        self._closed = True
        self._guard = threading.Lock()
        self._dispose()

    def _dispose(self) -> None:
        with self._guard:
            if self._disposed:
                return
            self._disposed = True
            if self._clock is not None:
                self._clock.cancel()
            for proof in self._strangers.values():
                proof.stream.close()
            self._epoll.close()
            self._bell.close()

    def fileno(self) -> int | None:
        """See contracts.Listener."""
        if self._closed:
            raise ClosedError("This listener was closed. Serve again to go on.", url=self.address)
        return self._epoll.fileno()
