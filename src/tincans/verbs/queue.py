"""Jobs for one taker each, on lease.

Rules of this file
- A job is acknowledged at the end of its `with` block and given back when the block raises.
- The lease is renewed by the reactor's timer while the block runs; a forgotten job is not renewed.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from typing import Any

from tincans.contracts import Delivery, Policy, Queues
from tincans.core.patience import patience
from tincans.errors import TincansError, WaitTimeoutError
from tincans.pump.reactor import Timer, reactor

LEASE = 30.0
MAX_DELIVERIES = 5


class Job:
    """A job on lease: `with` acknowledges it at the end of the block, or gives it back when the block raises.

    The lease is renewed while the block runs. `deliveries` is 1 the first time; a job that is delivered too often goes
    to the queue's dead letters.
    """

    def __init__(self, queues: Queues, delivery: Delivery, timeout: float | None, *, renew: bool = True) -> None:
        self._queues = queues
        self._delivery = delivery
        self._timeout = timeout
        self._settled = False
        self.value = delivery.value
        self.deliveries = delivery.deliveries
        self._timer: Timer | None = None
        if renew:
            self._renew_after(delivery.lease / 3)

    def _renew_after(self, seconds: float) -> None:
        self._timer = reactor().call_at(time.monotonic() + seconds, _Renewal(self))

    def _renew(self) -> None:
        if self._settled:
            return
        wait = self._delivery.lease / 3
        try:
            self._queues.renew(self._delivery, timeout=wait)
        except WaitTimeoutError:
            wait /= 10  # a third of the lease is left
        except TincansError:
            return  # acknowledging will say that the lease is lost
        if not self._settled:
            self._renew_after(wait)

    def _settle(self) -> None:
        self._settled = True
        if self._timer is not None:
            self._timer.cancel()

    def done(self) -> None:
        """Acknowledge: it is never delivered again. LeaseLostError when somebody else may have it by now."""
        self._settle()
        self._queues.acknowledge(self._delivery, timeout=self._timeout)

    def give_back(self, *, delay: float = 0.0) -> None:
        """Let somebody (or us) take it again, after `delay` seconds."""
        self._settle()
        self._queues.give_back(self._delivery, delay=delay, timeout=self._timeout)

    def __enter__(self) -> Job:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if self._settled:
            return
        if kind is None:
            self.done()
            return
        try:
            self.give_back()
        except TincansError:
            pass  # the block's own error matters more; the lease ends by itself


class _Renewal:
    """A timer's job that does not keep a forgotten Job, and with it the lease, for ever."""

    def __init__(self, job: Job) -> None:
        self._job = weakref.ref(job)

    def __call__(self) -> None:
        job = self._job()
        if job is not None:
            job._renew()


class Queue:
    """Jobs for one taker each. With `renew=False` a job must be done within its `lease` (seconds).

    `max_items` and `on_full` ("wait", "drop_oldest", "refuse") bound it for what this program puts.
    """

    def __init__(
        self,
        queues: Queues,
        name: str,
        *,
        max_items: int | None = None,
        on_full: Policy = "wait",
        lease: float = LEASE,
        max_deliveries: int = MAX_DELIVERIES,
        renew: bool = True,
        timeout: float | None = 30.0,
    ) -> None:
        self._queues = queues
        self.name = name
        self._max_items = max_items
        self._on_full = on_full
        self._lease = lease
        self._max_deliveries = max_deliveries
        self._renew = renew
        self._timeout = timeout

    def put(self, value: Any, *, delay: float = 0.0, timeout: float | None = None) -> None:
        """Add a job; returns when it is safely there. FullError or WaitTimeoutError when it is not."""
        self._queues.put(
            self.name,
            value,
            limit=self._max_items,
            policy=self._on_full,
            delay=delay,
            timeout=self._timeout if timeout is None else patience(timeout),
        )

    def take(self, *, timeout: float | None = None) -> Job:
        """The next job, waiting at most `timeout` seconds (None: as long as the other end lives); WaitTimeoutError."""
        delivery = self._queues.take(
            self.name, lease=self._lease, max_deliveries=self._max_deliveries, timeout=patience(timeout)
        )
        if delivery is None:
            raise WaitTimeoutError(f"No job in {self.name!r} within {timeout or 0:g} s.")
        return Job(self._queues, delivery, self._timeout, renew=self._renew)

    def __iter__(self) -> Iterator[Job]:
        while True:
            yield self.take()

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return True

    def count(self) -> int:
        """How many jobs wait to be taken."""
        return self._queues.count(self.name, timeout=self._timeout)

    @property
    def dead(self) -> Queue:
        """The dead letters: jobs that were delivered too often without being acknowledged."""
        return Queue(self._queues, f"{self.name}.dead", lease=self._lease, timeout=self._timeout)
