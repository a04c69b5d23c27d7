"""Queues: what can be asked of them, and who is served next.

Rules of this file
- Never are jobs ready while takers wait, nor is there room while putters wait: `_serve` runs after every change that
  could bring the two together.
- `limit` bounds the jobs that wait; the hub's own bound also counts those on lease.
- What happens to a job is in jobs.py. When the queue of dead letters (dead_letter.py) is as full as the hub allows, its
  oldest is dropped, counted.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from tincans.core.hub import arguments
from tincans.core.hub.claims import Claim, Claims
from tincans.core.hub.jobs import Jobs
from tincans.core.hub.journal import JobPut
from tincans.core.hub.outcomes import Done, Failed, Outcome
from tincans.core.hub.queue import Job, Lease, Putter, Queue, Taker
from tincans.core.hub.queue_errors import queue_full
from tincans.errors import ArgumentError, TincansError

LEASE = 30.0
"""Seconds that a job may be held without a sign of life, unless the taker says otherwise."""

_COUNTS: dict[str, Callable[[Queue], int]] = {
    "waiting": lambda queue: queue.waiting,
    "leased": lambda queue: len(queue.leased),
    "delayed": lambda queue: len(queue.delayed),
    "dropped": lambda queue: queue.dropped,
}


class Queues:
    """The queues of one hub: lines of takers and putters around its jobs."""

    def __init__(self, claims: Claims, jobs: Jobs) -> None:
        self._claims = claims
        self._jobs = jobs

    def put(
        self,
        owner: Hashable,
        ticket: Hashable,
        now: float,
        out: list[Outcome],
        queue: str,
        value: object,
        limit: int | None = None,
        policy: str = "wait",
        delay: float = 0.0,
    ) -> None:
        """$put(queue, value, limit=None, policy="wait", delay=0.0) -> the job's number, when there is room."""
        arguments.policy(policy)
        arguments.seconds("The delay of a job", delay, zero=True)
        if limit is not None:
            arguments.count("The limit of a queue", limit, least=1)
        jobs = self._jobs
        to = jobs.open(queue)
        if (to.putters and policy == "wait") or not jobs.has_room(to, limit):
            if policy == "refuse":
                raise queue_full(queue, to.waiting)
            if policy == "wait":
                self._wait_for_room(Putter(self, owner, ticket, to, value, limit, delay))
                return
            jobs.drop_to_fit(to, limit)
        jobs.admit(to, value, delay, ticket, now, out)
        if to.takers or to.putters:  # dropping may have made more room than this job needs
            self._serve(to, now, out)
            self.settle(now, out)

    def take(
        self,
        owner: Hashable,
        ticket: Hashable,
        now: float,
        out: list[Outcome],
        queue: str,
        lease: float = LEASE,
        max_deliveries: int = 0,
    ) -> None:
        """$take(queue, lease=30.0, max_deliveries=0) -> [number, value, deliveries, lease], when there is a job.

        `max_deliveries` 0 means without end. A job that has had so many becomes a dead letter instead of coming back.
        """
        seconds = arguments.seconds("A lease", lease, zero=False)
        most = arguments.count("max_deliveries", max_deliveries, least=0)
        self._claims.check_room(owner)
        jobs = self._jobs
        source = jobs.open(queue)
        job = jobs.draw(source, most)  # none is there while others wait
        if job is None:
            taker = Taker(self, owner, ticket, source, seconds, most)
            source.add_taker(taker)
            self._claims.add(taker)
        else:
            jobs.hand_out(Lease(self, owner, ticket, job, seconds, most), now, out)
        if source.putters:
            self._serve(source, now, out)
        self.settle(now, out)

    def acknowledge(
        self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], queue: str, job_id: int
    ) -> None:
        """$ack(queue, job_id)"""
        lease = self._jobs.lease_of(owner, queue, job_id)
        self._jobs.acknowledge(lease, ticket)
        out.append(Done(ticket))
        if lease.job.queue.putters:
            self._serve(lease.job.queue, now, out)
            self.settle(now, out)

    def give_back(
        self,
        owner: Hashable,
        ticket: Hashable,
        now: float,
        out: list[Outcome],
        queue: str,
        job_id: int,
        delay: float = 0.0,
    ) -> None:
        """$give_back(queue, job_id, delay=0.0): ready for the next taker, after `delay` seconds."""
        arguments.seconds("The delay of a job", delay, zero=True)
        self._jobs.give_back(self._jobs.lease_of(owner, queue, job_id), ticket, now, delay)
        out.append(Done(ticket))
        self.settle(now, out)

    def renew(self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], queue: str, job_id: int) -> None:
        """$renew(queue, job_id): the lease begins anew."""
        lease = self._jobs.lease_of(owner, queue, job_id)
        self._jobs.timers.set(lease.job, now + lease.seconds)
        out.append(Done(ticket))

    def count(
        self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], queue: str, what: str = "waiting"
    ) -> None:
        """$count(queue, what="waiting") -> how many jobs are waiting (delayed ones too), leased, delayed or dropped."""
        counted = _COUNTS.get(what) if isinstance(what, str) else None
        if counted is None:
            raise ArgumentError(f"What can be counted in a queue: {', '.join(_COUNTS)}.")
        found = self._jobs.queues.get(arguments.name("queue", queue))
        out.append(Done(ticket, 0 if found is None else counted(found)))

    # -- time, departures, restarts -------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """When the next lease ends or the next delay is over."""
        return self._jobs.timers.next()

    def expire(self, now: float) -> None:
        """End the leases and delays whose time has come; `settle` hands the jobs out."""
        for job in self._jobs.timers.due(now):
            if job.lease is not None:
                lease = job.lease
                self._jobs.end(lease)
                self._jobs.bring_back(lease, "its lease ended", now)
            else:
                del job.queue.delayed[job.id]
                job.queue.add_ready(job)
                self._jobs.touched[job.queue] = None

    def withdraw(self, claim: Claim, *, seen: bool) -> None:
        """Leave a line, or give a job back; `settle` goes on from there."""
        if isinstance(claim, Lease):
            self._jobs.end(claim)
            if seen:
                self._jobs.bring_back(claim, "its taker went away", 0.0)
            else:
                self._jobs.uncount(claim)
            return
        self._claims.remove(claim)
        if isinstance(claim, Taker):
            claim.queue.remove_taker(claim)
        else:
            assert isinstance(claim, Putter)
            del claim.queue.putters[claim.ticket]
            self._jobs.touched[claim.queue] = None

    def settle(self, now: float, out: list[Outcome]) -> None:
        """Serve every queue in which something became free."""
        touched = self._jobs.touched
        while touched:
            self._serve(touched.popitem()[0], now, out)

    def restore(self, change: JobPut, now: float) -> None:
        """Take up a job that was kept; numbers rise from call to call."""
        queue = self._jobs.open(change.queue, always=True)
        job = Job(change.id, queue, change.value, change.deliveries, reason="the serving program ended")
        if change.delay > 0:
            queue.delayed[job.id] = job
            self._jobs.timers.set(job, now + change.delay)
        else:
            queue.add_ready(job)
        self._jobs.number = max(self._jobs.number, job.id)

    def restore_number(self, number: int) -> None:
        """Give jobs numbers above `number` from now on."""
        self._jobs.number = max(self._jobs.number, number)

    def fail_waits(self, error: TincansError, out: list[Outcome]) -> None:
        """Jobs came back because nothing can be kept: who waits for them is told, for nobody else would wake them."""
        touched = self._jobs.touched
        for queue in list(touched):
            waits: list[Taker | Putter] = []
            if queue.returned or queue.fresh:
                waits += [taker for line in queue.takers.values() for taker in line.values()]
            if queue.putters and self._jobs.has_room(queue, next(iter(queue.putters.values())).limit):
                waits += queue.putters.values()
            for wait in waits:
                self.withdraw(wait, seen=True)
                out.append(Failed(wait.ticket, error))
        touched.clear()

    def _wait_for_room(self, putter: Putter) -> None:
        self._claims.check_room(putter.owner)
        self._claims.add(putter)
        putter.queue.putters[putter.ticket] = putter

    def _serve(self, queue: Queue, now: float, out: list[Outcome]) -> None:
        jobs = self._jobs
        while True:
            if queue.takers and (queue.returned or queue.fresh):
                job = jobs.draw(queue, queue.first_taker().most)
                if job is not None:
                    taker = queue.next_taker()
                    jobs.hand_out(Lease(self, taker.owner, taker.ticket, job, taker.seconds, taker.most), now, out)
            elif queue.putters:
                ticket, first = next(iter(queue.putters.items()))
                if not jobs.has_room(queue, first.limit):
                    return
                del queue.putters[ticket]
                self._claims.remove(first)
                jobs.admit(queue, first.value, first.delay, ticket, now, out)
            else:
                return
