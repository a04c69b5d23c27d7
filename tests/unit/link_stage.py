"""A link between a connection that does what a test says and an owner that writes down what it hears.

Rules of this file
- `hear(a, b)` is one arrival: who receives `a` takes `b` in as well, and the descriptor is silent from then on.
- The connection checks what the contract promises it: nobody looks at its receiving half while another one is in it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tincans.contracts import Identity
from tincans.core.messages import Message, Reply, Request
from tincans.errors import ClosedError, WaitTimeoutError
from tincans.pump.link import Link
from tincans.pump.reactor import reactor
from tincans.toolkit.doorbell import Doorbell
from tincans.wires.native import WIRE

SOON = 2.0
"""Seconds within which a message that is here is handled, on a machine with much else to do."""


class StagedConnection:
    """contracts.Connection, with the other end in the test's hands."""

    identity = Identity()

    def __init__(self, *, descriptor: bool = True) -> None:
        self.max_message = 1_000_000
        self.sent: list[Message] = []
        self.on_sent: Callable[[Message], None] = lambda message: None
        self.on_look: Callable[[], None] = lambda: None
        self.clogged = False
        self.kept = 0
        self.received = threading.Event()
        self.intruders = 0
        self._bell = Doorbell() if descriptor else None
        self._arrivals: deque[tuple[Message, ...]] = deque()
        self._ahead: deque[Message] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._inside = threading.Lock()

    def hear(self, *messages: Message, ring: bool = True) -> None:
        """They arrive together. Without `ring` whoever receives is quicker than who waits for the descriptor."""
        with self._changed:
            self._arrivals.append(messages)
            self._changed.notify_all()
            if ring and self._bell is not None:
                self._bell.ring()

    def send(self, parts: Any, *, timeout: float | None) -> None:
        if self.clogged:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or not self.clogged, timeout)
            if self.clogged:
                raise WaitTimeoutError("The test takes nothing.")
        message = WIRE.decode(parts)
        self.sent.append(message)
        self.on_sent(message)

    def take_again(self) -> None:
        """No longer clogged."""
        with self._changed:
            self.clogged = False
            self._changed.notify_all()

    def flush(self, *, timeout: float | None) -> bool:
        self.kept = max(0, self.kept - 1)
        return not self.kept

    def _enter(self) -> None:
        if not self._inside.acquire(False):
            self.intruders += 1
            self._inside.acquire()

    def receive(self, *, timeout: float | None) -> Any:
        self._enter()
        try:
            return self._receive(timeout)
        finally:
            self._inside.release()

    def _receive(self, timeout: float | None) -> Any:
        self.received.set()
        with self._changed:
            self._changed.wait_for(lambda: self._ahead or self._arrivals or self._closed, timeout)
            if self._closed:
                raise ClosedError("The test is over.")
            if not self._ahead and self._arrivals:
                self._ahead.extend(self._arrivals.popleft())
                if self._bell is not None and not self._arrivals:
                    self._bell.silence()
            return WIRE.encode(self._ahead.popleft()) if self._ahead else None

    def pending(self) -> bool:
        self._enter()
        try:
            self.on_look()
            return bool(self._ahead)
        finally:
            self._inside.release()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fileno(self) -> int | None:
        return None if self._bell is None else self._bell.fileno()


class StagedOwner:
    """pump.owner.Owner: what was run, and by which threads."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.functions: dict[str, Callable[[Link, Request[Any]], Any]] = {}
        self.ends: list[Exception] = []

    def execute(self, link: Link, request: Request[Any]) -> None:
        self.ran.append(request.name)
        result = self.functions.get(request.name, lambda link, request: None)(link, request)
        if request.id:
            link.reply(Reply(request.id, result), timeout=5.0)

    def execute_at_once(self, link: Link, request: Request[Any]) -> bool:
        return False

    def cancelled(self, link: Link, id: int) -> None:
        """Nobody minds."""

    def lost(self, link: Link, error: Exception) -> None:
        self.ends.append(error)


Stage = tuple[Link, StagedConnection, StagedOwner]


def staged(*, connecting: bool, descriptor: bool = True) -> Stage:
    """A link of this program's reactor. `link.lost` ends it."""
    connection, owner = StagedConnection(descriptor=descriptor), StagedOwner()
    link = Link(connection, WIRE, owner, reactor(), connecting=connecting)
    link.quick = None  # the common way: plain_calls.py is tested apart
    return link, connection, owner


@pytest.fixture
def bob() -> Iterator[Stage]:
    """The connecting end, read in the background as well."""
    stage = staged(connecting=True)
    yield stage
    stage[0].lost(ClosedError("The test is over."))


@pytest.fixture
def alice() -> Iterator[Stage]:
    """The serving end, read in the background."""
    stage = staged(connecting=False)
    yield stage
    stage[0].lost(ClosedError("The test is over."))
