"""What the server takes out of a store: only requests for which somebody may still wait.

Rules of this file
- For methods whose messages wait in a store (facts.stored). A connection of theirs may have `age() -> float`: seconds
  that the message received last has waited; and `redelivered`: a serving program took its request before, and died
  with it.
- A request that was cancelled meanwhile, or whose deadline passed while it lay there, is not handed out. A
  notification (nobody waits for it) always is.
- In the common case, one message that has just come, nothing is decoded here.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from tincans.contracts import Buffer, Connection, Identity, Wire
from tincans.core.messages import Cancel, Request
from tincans.errors import TincansError

FRESH = 0.05
"""Seconds: a message that waited no longer than this is handed on as it is."""


class WaitingLetters:
    """contracts.Connection: another one, sifted."""

    patience = 10.0
    """Seconds that an unknown name may still be exposed: what lay there before meets a server that just begins."""

    def __init__(self, connection: Connection, wire: Wire) -> None:
        self._inner: Any = connection
        self._wire = wire
        self._age = getattr(connection, "age", float)
        self._ready: deque[list[Buffer]] = deque()
        self.identity: Identity = connection.identity
        self.redelivered: bool = getattr(connection, "redelivered", False)
        self.send = connection.send
        if hasattr(connection, "send_many"):
            self.send_many = connection.send_many
        self.flush = connection.flush
        self.close = connection.close
        self.abandon = connection.abandon
        self.fileno = connection.fileno

    @property
    def max_message(self) -> int:
        """See contracts.Connection."""
        size: int = self._inner.max_message
        return size

    @max_message.setter
    def max_message(self, size: int) -> None:
        self._inner.max_message = size

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        if not self._ready:
            self._take_in(timeout)
        return self._ready.popleft() if self._ready else None

    def _take_in(self, timeout: float | None) -> None:
        parts = self._inner.receive(timeout=timeout)
        if parts is None:
            return
        taken, ages = [parts], [self._age()]
        while self._inner.pending() and (parts := self._next_at_once()) is not None:
            taken.append(parts)
            ages.append(self._age())
        if len(taken) == 1 and ages[0] <= FRESH:
            self._ready.append(taken[0])
        else:
            self._ready.extend(self._sifted(taken, ages))

    def _next_at_once(self) -> list[Buffer] | None:
        try:
            parts: list[Buffer] | None = self._inner.receive(timeout=0)
        except TincansError:
            return None  # it is raised again when what came before has been handed out
        return parts

    def _sifted(self, taken: list[list[Buffer]], ages: list[float]) -> list[list[Buffer]]:
        messages: list[Any] = [self._wire.decode(parts) for parts in taken]
        opened = {message.id for message in messages if type(message) is Request and message.id}
        withdrawn = {message.id for message in messages if type(message) is Cancel} & opened
        kept = []
        for parts, message, age in zip(taken, messages, ages, strict=True):
            over = type(message) is Request and message.id and message.timeout is not None and age > message.timeout > 0
            if not over and not (type(message) in (Request, Cancel) and message.id in withdrawn):
                kept.append(parts)
        return kept

    def pending(self) -> bool:
        """See contracts.Connection."""
        return bool(self._ready) or self._inner.pending()
