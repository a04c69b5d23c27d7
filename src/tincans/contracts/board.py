"""Board: a method's own topics, queues, values, locks and calls left for later, each of them optional.

Rules of this file
- Protocols and small records only, no code. What a two-way method lacks, the hub in the serving program keeps.
- One meaning each: `put`/`take` move jobs, `publish`/`subscribe` move news, `leave`/`collect` move calls.
- All may be called by several threads at the same time. Every wait is bounded by its `timeout` in seconds (None: as
  long as the method lives) and ends with DisconnectedError when the method's service is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Literal, Protocol

from msgspec import Struct

from tincans.contracts.connection import Buffer, Parts

Policy = Literal["wait", "drop_oldest", "refuse"]


class Note(Struct):
    """One published value, as a subscriber gets it. `missed` counts what was lost just before it (None: unknown)."""

    topic: str
    value: Any
    missed: int | None = 0


class Change(Struct):
    """One change of a value. `version` grows with each change of that key; `deleted` when it has no value now."""

    key: str
    value: Any
    version: int = 0
    deleted: bool = False


class Delivery(Struct):
    """One job on lease. `deliveries` is 1 the first time; `receipt` is the board's own."""

    queue: str
    value: Any
    deliveries: int
    lease: float
    receipt: Any = None


class Subscription(Protocol):
    """A running subscription or watch. One thread receives; anyone may close."""

    dropped: int
    """How many were lost so far because this subscriber was slow."""

    def receive(self, *, timeout: float | None) -> Any | None:
        """The next Note or Change, None at the timeout. DisconnectedError when the string is cut; a later
        `receive` subscribes again by itself and marks the gap (`missed=None`)."""
        ...

    def close(self) -> None: ...


class Topics(Protocol):
    """News for whoever listens now. `pattern` may hold `*` (one word between dots) and a final `>` (all the rest)
    where the method has them; the method's facts say so."""

    def publish(self, topic: str, value: Any, *, timeout: float | None) -> None: ...
    def subscribe(self, pattern: str, *, limit: int, policy: Policy, timeout: float | None) -> Subscription: ...


class Queues(Protocol):
    """Jobs, each for one taker, acknowledged. All but `take` return within `timeout` or raise WaitTimeoutError."""

    def put(
        self, queue: str, value: Any, *, limit: int | None, policy: Policy, delay: float, timeout: float | None
    ) -> None: ...
    def take(self, queue: str, *, lease: float, max_deliveries: int, timeout: float | None) -> Delivery | None: ...
    def acknowledge(self, delivery: Delivery, *, timeout: float | None) -> None: ...
    def give_back(self, delivery: Delivery, *, delay: float, timeout: float | None) -> None: ...
    def renew(self, delivery: Delivery, *, timeout: float | None) -> None: ...
    def count(self, queue: str, *, timeout: float | None) -> int: ...


class Values(Protocol):
    """Named values; the last write wins. `get` returns None for a key that has no value (a Change otherwise)."""

    def get(self, key: str, *, timeout: float | None) -> Change | None: ...
    def set(self, key: str, value: Any, *, timeout: float | None) -> None: ...
    def delete(self, key: str, *, timeout: float | None) -> bool: ...
    def keys(self, *, timeout: float | None) -> list[str]: ...
    def watch(self, key: str, *, timeout: float | None) -> Subscription:
        """Changes of `key`, the present value first when it has one. Only the latest is kept for a slow watcher."""
        ...


class Locks(Protocol):
    """Locks released by the kernel, the broker or the server when the holder dies; never broken by age.

    `owner` tells apart the holders inside one program (a thread, a task).
    """

    def acquire(self, name: str, owner: Hashable, *, timeout: float | None) -> int | None:
        """A fencing token that grows with each grant, or None at the timeout."""
        ...

    def release(self, name: str, owner: Hashable, *, timeout: float | None) -> None:
        """LeaseLostError when we did not hold it any more."""
        ...


class Answers(Protocol):
    """Calls left for a program that may not run now: the answering machine. A message is as the wire wrote it."""

    def leave(self, parts: Parts, *, timeout: float | None) -> str:
        """Leave one request; the ticket to ask for its answer with, from any program, at any later time."""
        ...

    def collect(self, ticket: str, *, timeout: float | None) -> list[Buffer] | None:
        """The answer's parts, None when there is none within `timeout`; it may be collected again until it is cleaned
        up. LookupError for a ticket that nobody was given, or whose answer was cleaned up."""
        ...


class Board(Struct, frozen=True):
    """A method's own topics, queues, values, locks and answers. None: the method has no such thing of its own."""

    topics: Topics | None = None
    queues: Queues | None = None
    values: Values | None = None
    locks: Locks | None = None
    answers: Answers | None = None
    close: Callable[[], None] = lambda: None
