"""The serving program's own way to its hub: no connection between, the same waits and the same words.

Rules of this file
- A ticket is settled under the hub service's lock, so a timeout and a grant cannot cross.
- News for the program itself is bounded like everybody's: the oldest is dropped and counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from tincans.contracts import Policy
from tincans.core.carried import opened
from tincans.core.streams import ENDED
from tincans.errors import ClosedError, FullError, TincansError, WaitTimeoutError
from tincans.pump.carrying import may_be_large, written_down
from tincans.pump.hub_service import HubService
from tincans.toolkit.array_places import WORTH_IT
from tincans.toolkit.deadline import deadline_of, left_of


class LocalTicket:
    """One request of the serving program to its own hub."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self._value: Any = None
        self._error: TincansError | None = None
        self.elements: LocalElements | None = None

    def done(self, value: Any) -> None:
        self._value = value
        self._settled.set()

    def failed(self, error: TincansError) -> None:
        self._error = error
        self._settled.set()

    def opened(self, limit: int, policy: Policy) -> None:
        self.elements = LocalElements(limit, policy)
        self._settled.set()

    def news(self, topic: str, value: Any) -> None:
        if self.elements is not None:
            self.elements.add(topic, value)

    def wait(self, timeout: float | None) -> bool:
        return self._settled.wait(timeout)

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return opened(self._value)

    @property
    def settled(self) -> bool:
        return self._settled.is_set()


class LocalElements:
    """News for the serving program itself."""

    def __init__(self, limit: int, policy: Policy) -> None:
        self.limit = limit
        self.policy = policy
        self.dropped = 0
        self.on_close: Callable[[], None] = lambda: None
        self._elements: deque[tuple[str, Any, int]] = deque()
        self._changed = threading.Condition()
        self._error: TincansError | None = None
        self._ended = False

    def add(self, topic: str, value: Any) -> None:
        with self._changed:
            if len(self._elements) >= self.limit:
                self.dropped += 1
                if self.policy == "refuse":
                    self._error = FullError(f"The subscriber fell {self.limit} messages behind.")
                else:
                    self._elements.popleft()
            if self._error is None:
                self._elements.append((topic, value, self.dropped))
            self._changed.notify()

    def receive(self, *, timeout: float | None) -> Any:
        deadline = deadline_of(timeout)
        with self._changed:
            while not self._elements:
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return ENDED
                left = left_of(deadline)
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            topic, value, dropped = self._elements.popleft()
        return topic, opened(value), dropped

    def close(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self.on_close()


class LocalAsker:
    """hub_board.Asker for the serving program itself."""

    def __init__(self, service: HubService, owner: object) -> None:
        self._service = service
        self._owner = owner

    def publish(self, topic: str, value: Any, *, timeout: float | None = None) -> None:
        """Asking for "$publish" in fewer steps (HubService.publish)."""
        if (type(value) is not bytes or len(value) >= WORTH_IT) and may_be_large(value):
            value = written_down("$publish", (topic, value))[1]
        self._service.publish(topic, value)

    def ask(self, name: str, *args: Any, timeout: float | None) -> Any:
        ticket = LocalTicket()
        self._service.ask(self._owner, ticket, name, written_down(name, args))
        if not ticket.wait(timeout):
            self._service.withdraw(ticket)
            if not ticket.settled:
                if timeout == 0:
                    return None
                raise WaitTimeoutError(f"{name[1:]} waited {timeout:g} s in vain.")
        return ticket.result()

    def tell(self, name: str, *args: Any) -> None:
        self._service.ask(self._owner, LocalTicket(), name, written_down(name, args))

    def open(self, name: str, *args: Any, timeout: float | None) -> LocalElements:
        ticket = LocalTicket()
        self._service.ask(self._owner, ticket, name, args)
        ticket.result()
        if ticket.elements is None:
            raise ClosedError(f"The hub opened no stream for {name}.")
        ticket.elements.on_close = lambda: self._service.cancel(ticket)
        return ticket.elements
