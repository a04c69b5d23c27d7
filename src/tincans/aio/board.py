"""Topics, queues, values and locks, awaited: what they are for the words, and the hub as such a board.

Rules of this file
- The same words as contracts.py, each to be awaited; the questions to the hub are the pump's (questions.py).
- The same code serves a connected program and the serving program itself; they differ in the Asker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from tincans.contracts import Buffer, Change, Delivery, Parts, Policy
from tincans.core.streams import ENDED
from tincans.errors import ClosedError, DisconnectedError, FullError, WaitTimeoutError
from tincans.pump import questions
from tincans.pump.hub_board import Account
from tincans.pump.questions import Question, StreamQuestion


class Answers(Protocol):
    """contracts.Answers, awaited."""

    async def leave(self, parts: Parts, *, timeout: float | None) -> str: ...
    async def collect(self, ticket: str, *, timeout: float | None) -> list[Buffer] | None: ...


class Subscription(Protocol):
    """contracts.Subscription, awaited. `close` waits for nothing."""

    dropped: int

    async def receive(self, *, timeout: float | None) -> Any | None: ...
    def close(self) -> None: ...


class Topics(Protocol):
    """contracts.Topics, awaited."""

    async def publish(self, topic: str, value: Any, *, timeout: float | None) -> None: ...
    async def subscribe(self, pattern: str, *, limit: int, policy: Policy, timeout: float | None) -> Subscription: ...


class Queues(Protocol):
    """contracts.Queues, awaited."""

    async def put(
        self, queue: str, value: Any, *, limit: int | None, policy: Policy, delay: float, timeout: float | None
    ) -> None: ...
    async def take(
        self, queue: str, *, lease: float, max_deliveries: int, timeout: float | None
    ) -> Delivery | None: ...
    async def acknowledge(self, delivery: Delivery, *, timeout: float | None) -> None: ...
    async def give_back(self, delivery: Delivery, *, delay: float, timeout: float | None) -> None: ...
    async def renew(self, delivery: Delivery, *, timeout: float | None) -> None: ...
    async def count(self, queue: str, *, timeout: float | None) -> int: ...


class Values(Protocol):
    """contracts.Values, awaited."""

    async def get(self, key: str, *, timeout: float | None) -> Change | None: ...
    async def set(self, key: str, value: Any, *, timeout: float | None) -> None: ...
    async def delete(self, key: str, *, timeout: float | None) -> bool: ...
    async def keys(self, *, timeout: float | None) -> list[str]: ...
    async def watch(self, key: str, *, timeout: float | None) -> Subscription: ...


class Locks(Protocol):
    """contracts.Locks, awaited."""

    async def acquire(self, name: str, owner: Hashable, *, timeout: float | None) -> int | None: ...
    async def release(self, name: str, owner: Hashable, *, timeout: float | None) -> None: ...


async def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Board:
    """A whole board: every part is there, the method's own or the hub's; answers only where the method keeps them."""

    topics: Topics
    queues: Queues
    values: Values
    locks: Locks
    answers: Answers | None = None
    close: Callable[[], Awaitable[None]] = _nothing


class Elements(Protocol):
    """An open stream of the hub: (topic, value, dropped so far) each, None at the timeout, ENDED at the end."""

    async def receive_soon(self, *, timeout: float | None) -> Any: ...
    def close(self) -> None: ...


class Asker(Protocol):
    """The way to a hub, as in pump/hub_board.py."""

    async def ask(self, name: str, *args: Any, timeout: float | None) -> Any: ...
    async def tell(self, name: str, *args: Any) -> None: ...
    async def open(self, name: str, *args: Any, timeout: float | None) -> Elements: ...


class HubSubscription:
    """A subscription or watch that opens itself again after the string was cut, and says that it did."""

    def __init__(self, asker: Asker, question: StreamQuestion, elements: Elements) -> None:
        self.dropped = 0
        self._asker = asker
        self._question = question
        self._account = Account(question)
        self._closed = False
        self._elements: Elements | None = elements

    async def receive(self, *, timeout: float | None) -> Any | None:
        if self._closed:
            raise ClosedError("This subscription was closed.")
        if self._elements is None:
            self._elements = await self._asker.open(self._question.name, *self._question.args, timeout=timeout)
        try:
            element = await self._elements.receive_soon(timeout=timeout)
        except (FullError, DisconnectedError) as error:
            self._elements = None
            self._account.cut(error)
            raise
        if element is None:
            return None
        if element is ENDED:
            self._elements = None
            raise ClosedError("The other end closed this subscription.")
        made = self._account.made(*element)
        self.dropped = self._account.dropped
        return made

    def close(self) -> None:
        self._closed = True
        if self._elements is not None:
            self._elements.close()

    def __del__(self) -> None:
        if not self._closed:
            self.close()


async def _ask(asker: Asker, question: Question, timeout: float | None) -> Any:
    try:
        answer = await asker.ask(question.name, *question.args, timeout=timeout)
    except WaitTimeoutError:
        if question.patient:
            return None
        raise
    return question.read(answer)


async def _open(asker: Asker, question: StreamQuestion, timeout: float | None) -> HubSubscription:
    return HubSubscription(asker, question, await asker.open(question.name, *question.args, timeout=timeout))


class HubTopics:
    """Topics by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def publish(self, topic: str, value: Any, *, timeout: float | None) -> None:
        await self._asker.tell("$publish", topic, value)

    async def subscribe(self, pattern: str, *, limit: int, policy: Policy, timeout: float | None) -> HubSubscription:
        return await _open(self._asker, questions.subscribe(pattern, limit, policy), timeout)


class HubQueues:
    """Queues by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def put(
        self, queue: str, value: Any, *, limit: int | None, policy: Policy, delay: float, timeout: float | None
    ) -> None:
        await _ask(self._asker, questions.put(queue, value, limit, policy, delay), timeout)

    async def take(self, queue: str, *, lease: float, max_deliveries: int, timeout: float | None) -> Delivery | None:
        taken: Delivery | None = await _ask(self._asker, questions.take(queue, lease, max_deliveries), timeout)
        return taken

    async def acknowledge(self, delivery: Delivery, *, timeout: float | None) -> None:
        await _ask(self._asker, questions.acknowledge(delivery), timeout)

    async def give_back(self, delivery: Delivery, *, delay: float, timeout: float | None) -> None:
        await _ask(self._asker, questions.give_back(delivery, delay), timeout)

    async def renew(self, delivery: Delivery, *, timeout: float | None) -> None:
        await _ask(self._asker, questions.renew(delivery), timeout)

    async def count(self, queue: str, *, timeout: float | None) -> int:
        count: int = await _ask(self._asker, questions.count(queue), timeout)
        return count


class HubValues:
    """Values by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def get(self, key: str, *, timeout: float | None) -> Change | None:
        found: Change | None = await _ask(self._asker, questions.get(key), timeout)
        return found

    async def set(self, key: str, value: Any, *, timeout: float | None) -> None:
        await _ask(self._asker, questions.set(key, value), timeout)

    async def delete(self, key: str, *, timeout: float | None) -> bool:
        deleted: bool = await _ask(self._asker, questions.delete(key), timeout)
        return deleted

    async def keys(self, *, timeout: float | None) -> list[str]:
        keys: list[str] = await _ask(self._asker, questions.keys(), timeout)
        return keys

    async def watch(self, key: str, *, timeout: float | None) -> HubSubscription:
        return await _open(self._asker, questions.watch(key), timeout)


class HubLocks:
    """Locks by the hub."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def acquire(self, name: str, owner: Hashable, *, timeout: float | None) -> int | None:
        token: int | None = await _ask(self._asker, questions.acquire(name, owner), timeout)
        return token

    async def release(self, name: str, owner: Hashable, *, timeout: float | None) -> None:
        await _ask(self._asker, questions.release(name, owner), timeout)


def hub_board(asker: Asker) -> Board:
    """The hub as a whole board."""
    return Board(HubTopics(asker), HubQueues(asker), HubValues(asker), HubLocks(asker))
