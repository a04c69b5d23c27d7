"""A Listener with exactly one connection to give: a program's own standard streams.

Rules of this file
- `accept` gives the connection once, then waits; when that connection is closed `accept` raises ClosedError, so that a
  server with no other listener ends.
- Its descriptor polls readable whenever `accept(timeout=0)` has something to give or to raise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tincans.contracts import Connection
from tincans.errors import ClosedError
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.fork_guard import abandon_in_child


class SingleConnection:
    """See contracts.Listener. `make(closed)` makes the connection, which calls `closed` when it is closed."""

    def __init__(self, address: str, make: Callable[[Callable[[], object]], Connection]) -> None:
        self.address = address
        self._changed = threading.Condition()
        self._over = False
        self._bell: Doorbell | None = Doorbell()
        self._bell.ring()
        self._waiting: Connection | None = make(self._end)
        abandon_in_child(self)

    def accept(self, *, timeout: float | None) -> Connection | None:
        """See contracts.Listener."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._waiting is not None, timeout)
            if self._over:
                raise ClosedError(f"The only connection of {self.address} is over.", url=self.address)
            connection, self._waiting = self._waiting, None
            if self._bell is not None:
                self._bell.silence()
            return connection

    def _end(self) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
            if self._bell is not None:
                self._bell.ring()

    def close(self) -> None:
        """See contracts.Listener. The connection, once it was accepted, is its owner's and stays open."""
        self._end()
        with self._changed:
            waiting, self._waiting = self._waiting, None
            bell, self._bell = self._bell, None
        if bell is not None:
            bell.close()
        if waiting is not None:
            waiting.close()

    def fileno(self) -> int | None:
        """See contracts.Listener. Stop watching it before `close`, which gives it back at once."""
        with self._changed:
            return None if self._bell is None else self._bell.fileno()

    def abandon(self) -> None:
        """In a forked child: count as closed."""
        self._changed = threading.Condition()
        self._waiting = None
        self.close()
