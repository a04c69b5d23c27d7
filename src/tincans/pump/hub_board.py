"""The hub seen as a board: topics, queues, values and locks by asking it (questions.py) from a thread that waits.

Rules of this file
- The same code serves a connected program (asking over its channel) and the serving program itself.
- A wait that ended at its timeout but was granted at the same moment is taken back by the hub (`Hub.cancel`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, Protocol

from tincans.contracts import Board, Change, Delivery, Note, Policy
from tincans.contracts.protocol import Elements
from tincans.core.streams import ENDED, Inlet
from tincans.errors import ClosedError, DisconnectedError, FullError, TincansError, WaitTimeoutError
from tincans.pump import questions
from tincans.pump.questions import Question, StreamQuestion
from tincans.pump.quick import tray_of

NO_INLET: Final = Inlet()
"""Of a subscription that is not open, or has no link."""


def _nothing() -> None:
    """What those give who have no tray."""


class Asker(Protocol):
    """The way to a hub."""

    def ask(self, name: str, *args: Any, timeout: float | None) -> Any:
        """The hub's answer. At the timeout WaitTimeoutError; with a timeout of 0 the hub does not wait: None then."""
        ...

    def tell(self, name: str, *args: Any) -> None:
        """Ask without waiting for the answer."""
        ...

    def open(self, name: str, *args: Any, timeout: float | None) -> Elements: ...


class Account:
    """What one subscriber has lost so far: `dropped` over all its streams, and whether there was a gap between two."""

    def __init__(self, question: StreamQuestion) -> None:
        self.dropped = 0
        self._make = question.make
        self.seen = 0
        self.gap = False
        self.differs = False
        """Whether there is more to say of the next element than its topic and value."""

    def cut(self, error: TincansError) -> None:
        """The stream is over; the next one begins after a gap, and with a count of its own."""
        self.gap = self.differs = True
        self.seen = 0

    def made(self, topic: str, value: Any, dropped: int) -> Any:
        """The Note or Change for an element that came with the stream's count of lost ones."""
        return self.adjusted(self._make(topic, value), dropped)

    def adjusted(self, made: Any, dropped: int) -> Any:
        """The same for what is made already."""
        missed: int | None = dropped - self.seen
        self.dropped += dropped - self.seen
        self.seen = dropped
        if self.gap:
            missed, self.gap = None, False
        self.differs = dropped != 0
        if type(made) is Note:
            made.missed = missed
        return made


class HubSubscription:
    """A subscription or watch that opens itself again after the string was cut, and says that it did."""

    def __init__(self, asker: Asker, question: StreamQuestion, *, timeout: float | None) -> None:
        self.dropped = 0
        self._asker = asker
        self._question = question
        self._account = Account(question)
        self._closed = False
        self._elements: Elements | None = None
        self._inlet: Inlet = NO_INLET
        self._tray: Any = tray_of(Note) if question.make is Note else None
        self.take: Callable[[], Any] = _nothing if self._tray is None else self._tray.take
        """The next note, if it is here and there is nothing else to be done for it; else None."""
        self._lent = 0
        self._open(timeout)

    def _open(self, timeout: float | None) -> Elements:
        elements = self._asker.open(self._question.name, *self._question.args, timeout=timeout)
        self._elements = elements
        if self._tray is not None:
            self._inlet = getattr(elements, "inlet", NO_INLET)
            if self._inlet is not NO_INLET:
                self._inlet.make = Note
        return elements

    def _lend(self) -> None:
        """The tray may give what is here, until credit is owed for it."""
        inlet = self._inlet
        self._lent = 0 if self._account.differs or self._closed else max(0, int(inlet.step - inlet.consumed) - 1)
        self._tray.fill(inlet.items, self._lent)

    def _take_back(self) -> None:
        self._inlet.consumed += self._lent - self._tray.room
        self._lent = 0
        self._tray.fill(NO_INLET.items, 0)

    def receive(self, *, timeout: float | None) -> Any | None:
        if self._tray is None:
            return self._receive(timeout)
        self._take_back()
        try:
            return self._receive(timeout)
        finally:
            self._lend()

    def _receive(self, timeout: float | None) -> Any | None:
        if self._closed:
            raise ClosedError("This subscription was closed.")
        if self._elements is None:
            self._open(timeout)
        assert self._elements is not None
        try:
            element = self._elements.receive(timeout=timeout)
        except (FullError, DisconnectedError) as error:
            self._elements, self._inlet = None, NO_INLET
            self._account.cut(error)
            raise
        if element is None:
            return None
        if element is ENDED:
            self._elements, self._inlet = None, NO_INLET
            raise ClosedError("The other end closed this subscription.")
        account = self._account
        made = account.adjusted(element, 0) if type(element) is Note else account.made(*element)
        self.dropped = account.dropped
        return made

    def close(self) -> None:
        self._closed = True
        if self._tray is not None:
            self._tray.fill(NO_INLET.items, 0)
        if self._elements is not None:
            self._elements.close()


def _ask(asker: Asker, question: Question, timeout: float | None) -> Any:
    try:
        answer = asker.ask(question.name, *question.args, timeout=timeout)
    except WaitTimeoutError:
        if question.patient:
            return None
        raise
    return question.read(answer)


class HubTopics:
    """contracts.Topics by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self.publish = getattr(asker, "publish", None) or self._tell

    def _tell(self, topic: str, value: Any, *, timeout: float | None) -> None:
        self._asker.tell("$publish", topic, value)

    def subscribe(self, pattern: str, *, limit: int, policy: Policy, timeout: float | None) -> HubSubscription:
        return HubSubscription(self._asker, questions.subscribe(pattern, limit, policy), timeout=timeout)


class HubQueues:
    """contracts.Queues by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def put(
        self, queue: str, value: Any, *, limit: int | None, policy: Policy, delay: float, timeout: float | None
    ) -> None:
        _ask(self._asker, questions.put(queue, value, limit, policy, delay), timeout)

    def take(self, queue: str, *, lease: float, max_deliveries: int, timeout: float | None) -> Delivery | None:
        taken: Delivery | None = _ask(self._asker, questions.take(queue, lease, max_deliveries), timeout)
        return taken

    def acknowledge(self, delivery: Delivery, *, timeout: float | None) -> None:
        _ask(self._asker, questions.acknowledge(delivery), timeout)

    def give_back(self, delivery: Delivery, *, delay: float, timeout: float | None) -> None:
        _ask(self._asker, questions.give_back(delivery, delay), timeout)

    def renew(self, delivery: Delivery, *, timeout: float | None) -> None:
        _ask(self._asker, questions.renew(delivery), timeout)

    def count(self, queue: str, *, timeout: float | None) -> int:
        count: int = _ask(self._asker, questions.count(queue), timeout)
        return count


class HubValues:
    """contracts.Values by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def get(self, key: str, *, timeout: float | None) -> Change | None:
        found: Change | None = _ask(self._asker, questions.get(key), timeout)
        return found

    def set(self, key: str, value: Any, *, timeout: float | None) -> None:
        _ask(self._asker, questions.set(key, value), timeout)

    def delete(self, key: str, *, timeout: float | None) -> bool:
        deleted: bool = _ask(self._asker, questions.delete(key), timeout)
        return deleted

    def keys(self, *, timeout: float | None) -> list[str]:
        keys: list[str] = _ask(self._asker, questions.keys(), timeout)
        return keys

    def watch(self, key: str, *, timeout: float | None) -> HubSubscription:
        return HubSubscription(self._asker, questions.watch(key), timeout=timeout)


class HubLocks:
    """contracts.Locks by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def acquire(self, name: str, owner: Hashable, *, timeout: float | None) -> int | None:
        token: int | None = _ask(self._asker, questions.acquire(name, owner), timeout)
        return token

    def release(self, name: str, owner: Hashable, *, timeout: float | None) -> None:
        _ask(self._asker, questions.release(name, owner), timeout)


def hub_board(asker: Asker, own: Board | None = None) -> Board:
    """A whole board: what the method has of its own, and the hub for the rest."""
    own = own or Board()
    return Board(
        topics=own.topics or HubTopics(asker),
        queues=own.queues or HubQueues(asker),
        values=own.values or HubValues(asker),
        locks=own.locks or HubLocks(asker),
        answers=own.answers,
        close=own.close,
    )
