"""What can happen to a job, each with its way back.

Rules of this file
- A job leaves by acknowledgement, by a policy that the putter chose (counted), or as a dead letter.
- Handing out counts as a delivery, and is kept before the taker hears of it.
- A queue in which a job became free, or room did, is `touched`; queues.py serves it before the request returns.
- The ways back stand below the moves. Each finds the job where its own move left it.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import Any

from tincans.core.hub import arguments
from tincans.core.hub.claims import Claims
from tincans.core.hub.dead_letter import DEAD, dead_letter
from tincans.core.hub.journal import JobBuried, JobCounted, JobDelayed, JobPut, JobRemoved, Journal
from tincans.core.hub.outcomes import Done, Outcome
from tincans.core.hub.queue import Job, Lease, Queue
from tincans.core.hub.timers import Timers
from tincans.errors import FullError, LeaseLostError


class Jobs:
    """All jobs of one hub, in at most `most_queues` queues with at most `most` unacknowledged jobs each."""

    def __init__(self, claims: Claims, journal: Journal, most_queues: int, most: int) -> None:
        self._claims = claims
        self._journal = journal
        self._most_queues = most_queues
        self._most = most
        self.timers: Timers[Job] = Timers()
        self.queues: dict[str, Queue] = {}
        self.touched: dict[Queue, None] = {}
        self.number = 0

    def open(self, name: str, *, always: bool = False) -> Queue:
        """The queue of this name, made when it is not there; queues with nothing in them make room for others."""
        queue = self.queues.get(name) if isinstance(name, str) else None
        if queue is not None:
            return queue
        if not always:
            arguments.name("queue", name)
            if len(self.queues) >= self._most_queues:
                self.queues = {name: queue for name, queue in self.queues.items() if not queue.is_idle}
            if len(self.queues) >= self._most_queues:
                raise FullError(
                    f"The hub already keeps {self._most_queues} queues. Empty some, or serve with a larger limit."
                )
        queue = self.queues[name] = Queue(name, is_dead=name.endswith(DEAD))
        return queue

    def has_room(self, queue: Queue, limit: int | None) -> bool:
        """Whether one more job may come in."""
        waiting = queue.waiting
        return (limit is None or waiting < limit) and waiting + len(queue.leased) < self._most

    def drop_to_fit(self, queue: Queue, limit: int | None) -> None:
        """Drop the oldest jobs that nobody holds until one more fits; FullError when that cannot help."""
        if len(queue.leased) >= self._most:
            raise FullError(
                f"The queue {queue.name!r} is full: all of its {len(queue.leased)} jobs are on lease, so none can be "
                "dropped. Try again when some are done."
            )
        while not self.has_room(queue, limit):
            self._drop(queue)

    def admit(self, queue: Queue, value: Any, delay: float, ticket: Hashable, now: float, out: list[Outcome]) -> None:
        """Take in a job and answer who put it."""
        self.number += 1
        job = Job(self.number, queue, value)
        if delay:
            queue.delayed[job.id] = job
            self.timers.set(job, now + delay)
        else:
            queue.fresh.append(job)
        if self._journal.on:
            self._journal.note(JobPut(job.id, queue.name, value, 0, delay), partial(self._unput, job), ticket)
        out.append(Done(ticket, job.id))

    def draw(self, queue: Queue, most: int) -> Job | None:
        """The next job for a taker who accepts `most` deliveries; what has had so many is buried on the way."""
        while (job := queue.next_ready()) is not None and 0 < most <= job.deliveries and not queue.is_dead:
            self._bury(job)
        return job

    def hand_out(self, lease: Lease, now: float, out: list[Outcome]) -> None:
        """Begin a lease on a job just drawn, and answer who took it."""
        job = lease.job
        job.deliveries += 1
        job.lease = lease
        job.queue.leased[job.id] = job
        self._claims.add(lease)
        self.timers.set(job, now + lease.seconds)
        if self._journal.on:
            self._journal.note(JobCounted(job.id, job.deliveries), partial(self._unlease, lease), lease.ticket)
        out.append(Done(lease.ticket, [job.id, job.value, job.deliveries, lease.seconds]))

    def lease_of(self, owner: Hashable, name: str, job_id: int) -> Lease:
        """The lease that `owner` says it has; LeaseLostError when it has not."""
        queue = self.queues.get(arguments.name("queue", name))
        arguments.count("The number of a job", job_id, least=0)
        job = None if queue is None else queue.leased.get(job_id)
        if job is None or job.lease is None or job.lease.owner != owner:
            raise LeaseLostError(
                f"Job {job_id} of the queue {name!r} is not on lease to this connection any more: its lease ended or "
                "the connection was renewed. It has been or will be given to somebody else; take with a longer lease."
            )
        return job.lease

    def end(self, lease: Lease) -> float | None:
        """End a lease, leaving its job nowhere; says when it would have ended."""
        job = lease.job
        del job.queue.leased[job.id]
        job.lease = None
        self._claims.remove(lease)
        return self.timers.cancel(job)

    def acknowledge(self, lease: Lease, ticket: Hashable) -> None:
        """The job is done."""
        when = self.end(lease)
        if self._journal.on:
            self._journal.note(JobRemoved(lease.job.id), partial(self._regain, lease, when), ticket)

    def give_back(self, lease: Lease, ticket: Hashable, now: float, delay: float) -> None:
        """The taker does not want the job, at least not for `delay` seconds."""
        when = self.end(lease)
        if self._journal.on:
            self._journal.depends(partial(self._regain, lease, when), ticket)
        self.bring_back(lease, "it was given back", now, delay)

    def bring_back(self, lease: Lease, reason: str, now: float, delay: float = 0.0) -> None:
        """A job comes back from an ended lease, or is buried when it has come back too often."""
        job, queue = lease.job, lease.job.queue
        job.reason = reason
        self.touched[queue] = None
        if 0 < lease.most <= job.deliveries and not queue.is_dead:
            self._bury(job)
        elif delay:
            queue.delayed[job.id] = job
            self.timers.set(job, now + delay)
            if self._journal.on:  # the way back is that of the lease: only `give_back` delays
                self._journal.note(JobDelayed(job.id, delay), None)
        else:
            queue.add_front(job)

    def uncount(self, lease: Lease) -> None:
        """A job comes back from a taker who never saw it."""
        job = lease.job
        job.deliveries -= 1
        job.queue.add_front(job)
        self.touched[job.queue] = None
        if self._journal.on:
            self._journal.note(JobCounted(job.id, job.deliveries), partial(self._recount, job))

    def _bury(self, job: Job) -> None:
        source, value, deliveries = job.queue, job.value, job.deliveries
        dead = self.open(source.name + DEAD, always=True)
        while dead.waiting + len(dead.leased) >= self._most and dead.waiting:
            self._drop(dead)
        job.value = dead_letter(source.name, value, deliveries, job.reason)
        job.queue, job.deliveries, job.in_front = dead, 0, False
        dead.fresh.append(job)
        self.touched[dead] = self.touched[source] = None
        if self._journal.on:
            back = partial(self._unbury, job, source, value, deliveries)
            self._journal.note(JobBuried(job.id, dead.name, job.value), back)

    def _drop(self, queue: Queue) -> None:
        job = queue.next_to_drop()
        assert job is not None  # both callers have looked
        when = self.timers.cancel(job)
        queue.dropped += 1
        if self._journal.on:
            self._journal.note(JobRemoved(job.id), partial(self._undrop, job, when))

    # -- ways back ------------------------------------------------------------------------------------------------

    def _unput(self, job: Job) -> None:
        job.queue.take_out(job)
        self.timers.cancel(job)
        self.touched[job.queue] = None  # there is room again, and somebody may wait for it

    def _unlease(self, lease: Lease) -> None:
        self.end(lease)
        lease.job.deliveries -= 1
        self._to_place(lease.job)

    def _regain(self, lease: Lease, when: float | None) -> None:
        job = lease.job
        job.queue.take_out(job)
        job.lease = lease
        job.queue.leased[job.id] = job
        self._claims.add(lease)
        if when is not None:
            self.timers.set(job, when)

    def _recount(self, job: Job) -> None:
        job.deliveries += 1

    def _unbury(self, job: Job, source: Queue, value: Any, deliveries: int) -> None:
        job.queue.take_out(job)
        job.queue, job.value, job.deliveries = source, value, deliveries
        source.add_front(job)
        self.touched[source] = None

    def _undrop(self, job: Job, when: float | None) -> None:
        job.queue.dropped -= 1
        if when is None:
            self._to_place(job)
        else:
            job.queue.delayed[job.id] = job
            self.timers.set(job, when)

    def _to_place(self, job: Job) -> None:
        job.queue.put_back(job)
        self.touched[job.queue] = None
