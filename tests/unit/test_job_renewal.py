"""A job's lease: a renewal that was late is not the last one."""

from __future__ import annotations

import asyncio
from typing import Any

from tincans import aio
from tincans.conformance.patience import eventually
from tincans.contracts import Delivery
from tincans.errors import LeaseLostError, WaitTimeoutError
from tincans.verbs import Job

DELIVERY = Delivery("jobs", "x", 1, 0.3, "receipt")
LATE_TWICE = [WaitTimeoutError("late"), WaitTimeoutError("late"), None]


class Queues:
    """The part of a board's queues that a held job uses."""

    def __init__(self, outcomes: list[Exception | None]) -> None:
        self.outcomes = outcomes
        self.renewals = 0

    def renew(self, delivery: Delivery, *, timeout: float | None) -> None:
        self.renewals += 1
        outcome = self.outcomes[min(self.renewals, len(self.outcomes)) - 1]
        if outcome is not None:
            raise outcome

    def acknowledge(self, delivery: Delivery, *, timeout: float | None) -> None:
        """Nothing is left to do."""


class AsyncQueues(Queues):
    """The same, awaited."""

    async def renew(self, delivery: Delivery, *, timeout: float | None) -> None:  # type: ignore[override]
        super().renew(delivery, timeout=timeout)

    async def acknowledge(self, delivery: Delivery, *, timeout: float | None) -> None:  # type: ignore[override]
        """Nothing is left to do."""


def test_a_renewal_that_was_late_is_tried_again() -> None:
    queues: Any = Queues(LATE_TWICE)
    with Job(queues, DELIVERY, 1.0):
        eventually(lambda: queues.renewals > len(LATE_TWICE))


def test_a_lost_lease_is_not_renewed() -> None:
    queues: Any = Queues([LeaseLostError("lost")])
    with Job(queues, DELIVERY, 1.0):
        eventually(lambda: queues.renewals == 1)
        later = Job(Queues([None]), DELIVERY, 1.0)  # type: ignore[arg-type]
        eventually(lambda: later._queues.renewals >= 2)  # type: ignore[attr-defined]
        assert queues.renewals == 1


def test_a_renewal_that_was_late_is_tried_again_by_a_task() -> None:
    async def main() -> None:
        queues: Any = AsyncQueues(LATE_TWICE)
        async with asyncio.timeout(10), aio.Job(queues, DELIVERY, 1.0):
            while queues.renewals <= len(LATE_TWICE):
                await asyncio.sleep(0.01)

    asyncio.run(main())
