"""A method's own board, which blocks, as one that is awaited: every call runs on a thread.

Rules of this file
- A wait gets a thread of its own, for SLICE seconds at a time, so that a cancelled one does not linger.
- What a cancelled wait is granted in its last slice is given back at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from tincans import contracts
from tincans.aio.background import in_thread
from tincans.aio.board import Asker, Board, Topics, hub_board
from tincans.aio.waiting import forget
from tincans.contracts import Buffer, Change, Delivery, Parts, Policy
from tincans.errors import TincansError
from tincans.finder import Method
from tincans.pump.server_board import hub_is_first, speaks_hub
from tincans.toolkit.deadline import deadline_of, left_of

SLICE = 1.0
T = TypeVar("T")


async def _in_slices(wait: Callable[[float], Awaitable[T | None]], timeout: float | None) -> T | None:
    """Call `wait(seconds)` again and again until it gives something or `timeout` seconds have passed."""
    deadline = deadline_of(timeout)
    while True:
        left = SLICE if deadline is None else min(SLICE, max(0.0, deadline - time.monotonic()))
        found = await wait(left)
        if found is not None or (deadline is not None and time.monotonic() >= deadline):
            return found


class ThreadedSubscription:
    """A subscription of a method's own. One task receives."""

    def __init__(self, subscription: contracts.Subscription) -> None:
        self.dropped = 0
        self._subscription = subscription
        self._receiving: asyncio.Task[Any] | None = None

    async def receive(self, *, timeout: float | None) -> Any | None:
        """What a thread is receiving when the time is up, or the task is cancelled, is there for the next `receive`."""
        deadline = deadline_of(timeout)
        while True:
            if self._receiving is None:
                receive = partial(self._subscription.receive, timeout=SLICE)
                self._receiving = asyncio.create_task(in_thread(receive, long=True))
                self._receiving.add_done_callback(forget)
            left = left_of(deadline)
            await asyncio.wait({self._receiving}, timeout=left)
            found = self._found()
            if found is not None or (deadline is not None and time.monotonic() >= deadline):
                return found

    def _found(self) -> Any | None:
        task = self._receiving
        if task is None or not task.done():
            return None
        self._receiving = None
        self.dropped = self._subscription.dropped
        return task.result()

    def close(self) -> None:
        self._subscription.close()


class ThreadedTopics:
    """A method's own topics."""

    def __init__(self, topics: contracts.Topics) -> None:
        self._topics = topics

    async def publish(self, topic: str, value: Any, *, timeout: float | None) -> None:
        await in_thread(partial(self._topics.publish, topic, value, timeout=timeout), long=True)

    async def subscribe(
        self, pattern: str, *, limit: int, policy: Policy, timeout: float | None
    ) -> ThreadedSubscription:
        subscribe = partial(self._topics.subscribe, pattern, limit=limit, policy=policy, timeout=timeout)
        return ThreadedSubscription(await in_thread(subscribe, long=True, discard=lambda made: made.close()))


class ThreadedQueues:
    """A method's own queues."""

    def __init__(self, queues: contracts.Queues) -> None:
        self._queues = queues

    async def put(
        self, queue: str, value: Any, *, limit: int | None, policy: Policy, delay: float, timeout: float | None
    ) -> None:
        put = partial(self._queues.put, queue, value, limit=limit, policy=policy, delay=delay, timeout=timeout)
        await in_thread(put, long=True)

    async def take(self, queue: str, *, lease: float, max_deliveries: int, timeout: float | None) -> Delivery | None:
        take = partial(self._queues.take, queue, lease=lease, max_deliveries=max_deliveries)
        return await _in_slices(
            lambda left: in_thread(partial(take, timeout=left), long=True, discard=self._return), timeout
        )

    def _return(self, delivery: Delivery | None) -> None:
        if delivery is not None:
            with contextlib.suppress(TincansError):  # the lease ends by itself
                self._queues.give_back(delivery, delay=0.0, timeout=SLICE)

    async def acknowledge(self, delivery: Delivery, *, timeout: float | None) -> None:
        await in_thread(partial(self._queues.acknowledge, delivery, timeout=timeout), long=True)

    async def give_back(self, delivery: Delivery, *, delay: float, timeout: float | None) -> None:
        await in_thread(partial(self._queues.give_back, delivery, delay=delay, timeout=timeout), long=True)

    async def renew(self, delivery: Delivery, *, timeout: float | None) -> None:
        await in_thread(partial(self._queues.renew, delivery, timeout=timeout), long=True)

    async def count(self, queue: str, *, timeout: float | None) -> int:
        return await in_thread(partial(self._queues.count, queue, timeout=timeout), long=True)


class ThreadedValues:
    """A method's own values."""

    def __init__(self, values: contracts.Values) -> None:
        self._values = values

    async def get(self, key: str, *, timeout: float | None) -> Change | None:
        return await in_thread(partial(self._values.get, key, timeout=timeout), long=True)

    async def set(self, key: str, value: Any, *, timeout: float | None) -> None:
        await in_thread(partial(self._values.set, key, value, timeout=timeout), long=True)

    async def delete(self, key: str, *, timeout: float | None) -> bool:
        return await in_thread(partial(self._values.delete, key, timeout=timeout), long=True)

    async def keys(self, *, timeout: float | None) -> list[str]:
        return await in_thread(partial(self._values.keys, timeout=timeout), long=True)

    async def watch(self, key: str, *, timeout: float | None) -> ThreadedSubscription:
        watch = partial(self._values.watch, key, timeout=timeout)
        return ThreadedSubscription(await in_thread(watch, long=True, discard=lambda made: made.close()))


class ThreadedLocks:
    """A method's own locks."""

    def __init__(self, locks: contracts.Locks) -> None:
        self._locks = locks

    async def acquire(self, name: str, owner: Hashable, *, timeout: float | None) -> int | None:
        def undo(token: int | None) -> None:
            if token is not None:
                with contextlib.suppress(TincansError):  # it was lost already
                    self._locks.release(name, owner, timeout=SLICE)

        def acquire(left: float) -> Awaitable[int | None]:
            return in_thread(partial(self._locks.acquire, name, owner, timeout=left), long=True, discard=undo)

        return await _in_slices(acquire, timeout)

    async def release(self, name: str, owner: Hashable, *, timeout: float | None) -> None:
        await in_thread(partial(self._locks.release, name, owner, timeout=timeout), long=True)


class ThreadedAnswers:
    """A method's own answering machine."""

    def __init__(self, answers: contracts.Answers) -> None:
        self._answers = answers

    async def leave(self, parts: Parts, *, timeout: float | None) -> str:
        return await in_thread(partial(self._answers.leave, parts, timeout=timeout), long=True)

    async def collect(self, ticket: str, *, timeout: float | None) -> list[Buffer] | None:
        collect = partial(self._answers.collect, ticket)
        return await _in_slices(lambda left: in_thread(partial(collect, timeout=left), long=True), timeout)


def threaded_board(own: contracts.Board, hub: Board | None = None) -> Board:
    """What a board has, on threads, and the hub for the rest."""

    async def close() -> None:
        await in_thread(own.close, long=True)

    nothing: Any = None
    return Board(
        topics=ThreadedTopics(own.topics) if own.topics is not None else hub.topics if hub else nothing,
        queues=ThreadedQueues(own.queues) if own.queues is not None else hub.queues if hub else nothing,
        values=ThreadedValues(own.values) if own.values is not None else hub.values if hub else nothing,
        locks=ThreadedLocks(own.locks) if own.locks is not None else hub.locks if hub else nothing,
        answers=None if own.answers is None else ThreadedAnswers(own.answers),
        close=close,
    )


def whole_board(asker: Asker, own: contracts.Board | None) -> Board:
    """A whole board: what the method has of its own, and the hub for the rest."""
    hub = hub_board(asker)
    return hub if own is None else threaded_board(own, hub)


class EveryTopic:
    """News goes to each of two; subscriptions live at the first."""

    def __init__(self, first: Topics, second: Topics) -> None:
        self._first = first
        self._second = second
        self.subscribe = first.subscribe

    async def publish(self, topic: str, value: Any, *, timeout: float | None) -> None:
        await self._first.publish(topic, value, timeout=timeout)
        await self._second.publish(topic, value, timeout=timeout)


def server_board(asker: Asker, own: contracts.Board | None, methods: Sequence[Method]) -> Board:
    """The serving program's own board; see pump/server_board.py."""
    hub = hub_board(asker)
    if own is None:
        return hub
    whole = threaded_board(own, hub)
    if own.topics is None or not speaks_hub(methods):
        return whole
    both = (hub.topics, whole.topics) if hub_is_first(methods) else (whole.topics, hub.topics)
    return replace(whole, topics=EveryTopic(*both))
