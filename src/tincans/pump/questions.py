"""What can be asked of a hub: each word's reserved name, its arguments, and how its answer is read.

Rules of this file
- Built here once, asked by whoever waits: a thread (hub_board.py) or a task of an event loop (the async face).
- A question does not know who asks it or how long. `patient`: a wait that ended in vain is the answer None.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from tincans.contracts import Change, Delivery, Note, Policy
from tincans.core.streams import WINDOW, news_window
from tincans.errors import WaitTimeoutError


class Question(NamedTuple):
    """One request to a hub, not yet asked."""

    name: str
    args: tuple[Any, ...]
    read: Callable[[Any], Any]
    patient: bool = False


class StreamQuestion(NamedTuple):
    """A request that opens a stream; `make` turns an element's topic and value into what its receiver gets."""

    name: str
    args: tuple[Any, ...]
    make: Callable[[str, Any], Any]


def _as_it_is(answer: Any) -> Any:
    return answer


def _change(key: str, value: Any) -> Change:
    version, content, deleted = value
    return Change(key, content, version, deleted)


def subscribe(pattern: str, limit: int, policy: Policy) -> StreamQuestion:
    return StreamQuestion("$subscribe", (pattern, limit, policy), Note)


def window_of(name: str, args: tuple[Any, ...]) -> int:
    """How many elements may be under way in the stream that a question opens."""
    return news_window(args[1]) if name == "$subscribe" and len(args) > 1 else WINDOW


def watch(key: str) -> StreamQuestion:
    return StreamQuestion("$watch", (key,), _change)


def put(queue: str, value: Any, limit: int | None, policy: Policy, delay: float) -> Question:
    """The hub's answer to a put that found no room in time is None."""

    def read(answer: Any) -> None:
        if answer is None:
            raise WaitTimeoutError(f"The queue {queue!r} is full, and no room came within the timeout.")

    return Question("$put", (queue, value, limit, policy, delay), read)


def take(queue: str, lease: float, max_deliveries: int) -> Question:
    """A Delivery, or None."""

    def read(answer: Any) -> Delivery | None:
        if answer is None:
            return None
        job, value, deliveries, granted = answer
        return Delivery(queue, value, deliveries, granted, job)

    return Question("$take", (queue, lease, max_deliveries), read, patient=True)


def acknowledge(delivery: Delivery) -> Question:
    return Question("$ack", (delivery.queue, delivery.receipt), _as_it_is)


def give_back(delivery: Delivery, delay: float) -> Question:
    return Question("$give_back", (delivery.queue, delivery.receipt, delay), _as_it_is)


def renew(delivery: Delivery) -> Question:
    return Question("$renew", (delivery.queue, delivery.receipt), _as_it_is)


def count(queue: str) -> Question:
    return Question("$count", (queue,), _as_it_is)


def get(key: str) -> Question:
    """A Change, or None."""

    def read(found: Any) -> Change | None:
        return None if found is None else Change(key, found[1], found[0])

    return Question("$get", (key,), read)


def set(key: str, value: Any) -> Question:
    return Question("$set", (key, value), _as_it_is)


def delete(key: str) -> Question:
    return Question("$delete", (key,), _as_it_is)


def keys() -> Question:
    return Question("$keys", ("",), list)


def acquire(name: str, owner: Hashable) -> Question:
    """The fencing token, or None."""
    return Question("$acquire", (name, str(owner)), _as_it_is, patient=True)


def release(name: str, owner: Hashable) -> Question:
    return Question("$release", (name, str(owner)), _as_it_is)
