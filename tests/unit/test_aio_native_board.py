"""A method's own board behind the async face: calls on threads, waits that can be cancelled without losing anything."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest
from aio_stage import play, until

from tincans import contracts
from tincans.aio.board import Asker, HubTopics
from tincans.aio.native_board import ThreadedLocks, ThreadedQueues, ThreadedSubscription, whole_board
from tincans.contracts import Delivery


class FakeQueues:
    """Blocks in `take` until a job is put."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.returned: list[Any] = []
        self.taking = 0
        self.changed = threading.Condition()

    def put(self, queue: str, value: Any, **options: Any) -> None:
        with self.changed:
            self.jobs.append(value)
            self.changed.notify_all()

    def take(self, queue: str, *, lease: float, max_deliveries: int, timeout: float | None) -> Delivery | None:
        with self.changed:
            self.taking += 1
            if not self.changed.wait_for(lambda: bool(self.jobs), timeout):
                return None
            return Delivery(queue, self.jobs.pop(0), 1, lease)

    def give_back(self, delivery: Delivery, *, delay: float, timeout: float | None) -> None:
        self.returned.append(delivery.value)


class FakeLocks:
    def __init__(self) -> None:
        self.free = threading.Event()
        self.waiting = threading.Event()
        self.released: list[str] = []

    def acquire(self, name: str, owner: Any, *, timeout: float | None) -> int | None:
        self.waiting.set()
        return 1 if self.free.wait(timeout) else None

    def release(self, name: str, owner: Any, *, timeout: float | None) -> None:
        self.released.append(name)


class FakeSubscription:
    def __init__(self) -> None:
        self.dropped = 0
        self.elements: list[Any] = []
        self.changed = threading.Condition()
        self.receiving = 0
        self.most_receiving = 0

    def publish(self, element: Any) -> None:
        with self.changed:
            self.elements.append(element)
            self.changed.notify_all()

    def receive(self, *, timeout: float | None) -> Any | None:
        with self.changed:
            self.receiving += 1
            self.most_receiving = max(self.receiving, self.most_receiving)
            self.changed.wait_for(lambda: bool(self.elements), timeout)
            self.receiving -= 1
            return self.elements.pop(0) if self.elements else None

    def close(self) -> None:
        self.publish("closed")


def queues() -> tuple[FakeQueues, ThreadedQueues]:
    fake = FakeQueues()
    return fake, ThreadedQueues(cast(contracts.Queues, fake))


async def take(threaded: ThreadedQueues, *, timeout: float | None) -> Delivery | None:
    return await threaded.take("q", lease=1.0, max_deliveries=1, timeout=timeout)


def test_taking_waits_without_blocking_the_loop() -> None:
    async def main() -> None:
        fake, threaded = queues()
        taking = asyncio.create_task(take(threaded, timeout=None))
        await until(lambda: fake.taking == 1)
        fake.put("q", "job")
        delivery = await taking
        assert delivery is not None and delivery.value == "job"

    play(main)


def test_taking_ends_at_its_timeout() -> None:
    async def main() -> None:
        _, threaded = queues()
        assert await take(threaded, timeout=0.01) is None

    play(main)


def test_a_job_that_a_cancelled_take_got_is_given_back() -> None:
    async def main() -> None:
        fake, threaded = queues()
        taking = asyncio.create_task(take(threaded, timeout=None))
        await until(lambda: fake.taking == 1)
        taking.cancel()
        await asyncio.wait({taking})
        fake.put("q", "job")
        await until(lambda: fake.returned == ["job"])

    play(main)


def test_a_lock_that_a_cancelled_acquire_got_is_released() -> None:
    async def main() -> None:
        fake = FakeLocks()
        locks = ThreadedLocks(cast(contracts.Locks, fake))
        acquiring = asyncio.create_task(locks.acquire("l", "me", timeout=None))
        await until(fake.waiting.is_set)
        acquiring.cancel()
        await asyncio.wait({acquiring})
        fake.free.set()
        await until(lambda: fake.released == ["l"])

    play(main)


def test_an_element_that_came_for_a_cancelled_receive_is_there_for_the_next() -> None:
    async def main() -> None:
        fake = FakeSubscription()
        subscription = ThreadedSubscription(fake)
        receiving = asyncio.create_task(subscription.receive(timeout=None))
        await until(lambda: fake.receiving == 1)
        receiving.cancel()
        await asyncio.wait({receiving})
        fake.publish(1)
        fake.publish(2)
        assert [await subscription.receive(timeout=5), await subscription.receive(timeout=5)] == [1, 2]
        assert fake.most_receiving == 1

    play(main)


def test_receiving_ends_at_its_timeout() -> None:
    async def main() -> None:
        fake = FakeSubscription()
        subscription = ThreadedSubscription(fake)
        assert await subscription.receive(timeout=0.01) is None
        subscription.close()
        assert await subscription.receive(timeout=5) == "closed"

    play(main)


@pytest.mark.parametrize("part", ["queues", "locks", "topics", "values"])
def test_a_part_that_the_method_lacks_is_the_hubs(part: str) -> None:
    async def main() -> None:
        closed: list[bool] = []
        own = contracts.Board(queues=cast(contracts.Queues, FakeQueues()), close=lambda: closed.append(True))
        board = whole_board(cast(Asker, None), own)
        assert isinstance(board.queues, ThreadedQueues)
        assert type(getattr(board, part)).__module__.endswith("native_board" if part == "queues" else ".board")
        assert isinstance(board.topics, HubTopics)
        await board.close()
        assert closed == [True]

    play(main)
