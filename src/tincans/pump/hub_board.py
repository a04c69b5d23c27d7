"""The hub seen as a board: topics, queues, values and locks by asking it with reserved names.

Rules of this file
- The same code serves a connected program (asking over its channel) and the serving program itself.
- A wait that ended at its timeout but was granted at the same moment is taken back by the hub (`Hub.cancel`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from tincans.contracts import Board, Change, Delivery, Note, Policy
from tincans.errors import ClosedError, DisconnectedError, FullError, WaitTimeoutError
from tincans.pump.flows import ENDED

class Elements(Protocol):
    """An open stream of the hub: (topic, value, dropped so far) each, None at the timeout, ENDED at the end."""

    def receive(self, *, timeout: float | None) -> Any: ...
    def close(self) -> None: ...


class Asker(Protocol):
    """The way to a hub."""

    def ask(self, name: str, *args: Any, timeout: float | None) -> Any:
        """The hub's answer. At the timeout WaitTimeoutError; with a timeout of 0 the hub does not wait: None then."""
        ...

    def tell(self, name: str, *args: Any) -> None:
        """Ask without waiting for the answer."""
        ...

    def open(self, name: str, *args: Any, timeout: float | None) -> Elements: ...


class HubSubscription:
    """A subscription or watch that opens itself again after the string was cut, and says that it did."""

    def __init__(
        self, asker: Asker, name: str, args: tuple[Any, ...], make: Callable[[str, Any], Any], timeout: float | None
    ) -> None:
        self.dropped = 0
        self._asker = asker
        self._name = name
        self._args = args
        self._make = make
        self._seen_dropped = 0
        self._gap = False
        self._closed = False
        self._elements: Elements | None = asker.open(name, *args, timeout=timeout)

    def receive(self, *, timeout: float | None) -> Any | None:
        if self._closed:
            raise ClosedError("This subscription was closed.")
        if self._elements is None:
            self._elements = self._asker.open(self._name, *self._args, timeout=timeout)
        try:
            element = self._elements.receive(timeout=timeout)
        except FullError:
            self._elements, self._gap = None, True
            raise
        except DisconnectedError:
            self._elements, self._gap, self._seen_dropped = None, True, 0
            raise
        if element is None:
            return None
        if element is ENDED:
            self._elements = None
            raise ClosedError("The other end closed this subscription.")
        return self._made(*element)

    def _made(self, topic: str, value: Any, dropped: int) -> Any:
        missed: int | None = dropped - self._seen_dropped
        self.dropped += dropped - self._seen_dropped
        self._seen_dropped = dropped
        if self._gap:
            missed, self._gap = None, False
        made = self._make(topic, value)
        if type(made) is Note:
            made.missed = missed
        return made

    def close(self) -> None:
        self._closed = True
        if self._elements is not None:
            self._elements.close()


def _note(topic: str, value: Any) -> Note:
    return Note(topic, value)


def _change(key: str, value: Any) -> Change:
    version, content, deleted = value
    return Change(key, content, version, deleted)


class HubTopics:
    """contracts.Topics by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def publish(self, topic: str, value: Any, *, timeout: float | None) -> None:
        self._asker.tell("$publish", topic, value)

    def subscribe(self, pattern: str, *, limit: int, policy: Policy, timeout: float | None) -> HubSubscription:
        return HubSubscription(self._asker, "$subscribe", (pattern, limit, policy), _note, timeout)


class HubQueues:
    """contracts.Queues by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def put(
        self, queue: str, value: Any, *, limit: int | None, policy: Policy, delay: float, timeout: float | None
    ) -> None:
        answer = self._asker.ask("$put", queue, value, limit, policy, delay, timeout=timeout)
        if answer is None:
            raise WaitTimeoutError(f"The queue {queue!r} is full, and no room came within the timeout.")

    def take(self, queue: str, *, lease: float, max_deliveries: int, timeout: float | None) -> Delivery | None:
        try:
            answer = self._asker.ask("$take", queue, lease, max_deliveries, timeout=timeout)
        except WaitTimeoutError:
            return None
        if answer is None:
            return None
        job, value, deliveries, granted = answer
        return Delivery(queue, value, deliveries, granted, job)

    def acknowledge(self, delivery: Delivery, *, timeout: float | None) -> None:
        self._asker.ask("$ack", delivery.queue, delivery.receipt, timeout=timeout)

    def give_back(self, delivery: Delivery, *, delay: float, timeout: float | None) -> None:
        self._asker.ask("$give_back", delivery.queue, delivery.receipt, delay, timeout=timeout)

    def renew(self, delivery: Delivery, *, timeout: float | None) -> None:
        self._asker.ask("$renew", delivery.queue, delivery.receipt, timeout=timeout)

    def count(self, queue: str, *, timeout: float | None) -> int:
        count: int = self._asker.ask("$count", queue, timeout=timeout)
        return count


class HubValues:
    """contracts.Values by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def get(self, key: str, *, timeout: float | None) -> Change | None:
        found = self._asker.ask("$get", key, timeout=timeout)
        return None if found is None else Change(key, found[1], found[0])

    def set(self, key: str, value: Any, *, timeout: float | None) -> None:
        self._asker.ask("$set", key, value, timeout=timeout)

    def delete(self, key: str, *, timeout: float | None) -> bool:
        deleted: bool = self._asker.ask("$delete", key, timeout=timeout)
        return deleted

    def keys(self, *, timeout: float | None) -> list[str]:
        return list(self._asker.ask("$keys", "", timeout=timeout))

    def watch(self, key: str, *, timeout: float | None) -> HubSubscription:
        return HubSubscription(self._asker, "$watch", (key,), _change, timeout)


class HubLocks:
    """contracts.Locks by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def acquire(self, name: str, owner: Hashable, *, timeout: float | None) -> int | None:
        try:
            token: int | None = self._asker.ask("$acquire", name, str(owner), timeout=timeout)
        except WaitTimeoutError:
            return None
        return token

    def release(self, name: str, owner: Hashable, *, timeout: float | None) -> None:
        self._asker.ask("$release", name, str(owner), timeout=timeout)


def hub_board(asker: Asker, own: Board | None = None) -> Board:
    """A whole board: what the method has of its own, and the hub for the rest."""
    own = own or Board()
    return Board(
        topics=own.topics or HubTopics(asker),
        queues=own.queues or HubQueues(asker),
        values=own.values or HubValues(asker),
        locks=own.locks or HubLocks(asker),
        close=own.close,
    )
