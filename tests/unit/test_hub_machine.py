"""The queue under every sequence of requests, deaths, delays and failed writes that hypothesis can think of.

Rules of this file
- `written` is what a keeper would have on disk: changes are applied to it only when the writing succeeds.
- After every step the hub must agree with it job by job, and the rules of queues.py must hold.
- A step whose writing fails must leave jobs and leases as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tincans.core.hub import (
    Done,
    Failed,
    Hub,
    JobBuried,
    JobCounted,
    JobDelayed,
    JobPut,
    JobRemoved,
    Kept,
    Limits,
    Outcome,
)
from tincans.core.hub.queue import Queue
from tincans.errors import KeepError, LeaseLostError

OWNERS = st.sampled_from(["bob", "eve", "dan"])
QUEUES = st.sampled_from(["q", "r"])
BROKEN = st.sampled_from([False, False, False, True])
MOST_JOBS = 5


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.hub = Hub.restore(Kept(run=0), 0.0, Limits(jobs=MOST_JOBS))
        self.now = 0.0
        self.ticket = 0
        self.written: dict[int, tuple[str, Any, int]] = {}
        self.wanted: dict[int, tuple[str, str, int]] = {}  # by ticket: owner, queue, most deliveries
        self.offered: dict[int, str] = {}  # waiting puts
        self.leases: dict[int, tuple[str, str, int]] = {}  # by job: owner, queue, ticket

    # -- steps ----------------------------------------------------------------------------------------------------

    @rule(queue=QUEUES, limit=st.none() | st.integers(1, 3), delay=st.sampled_from([0.0, 0.0, 3.0]), broken=BROKEN)
    def put_or_wait(self, queue: str, limit: int | None, delay: float, broken: bool) -> None:
        self.offered[self.ticket + 1] = "alice"
        self.ask("alice", broken, "$put", queue, f"job {self.ticket}", limit, "wait", delay)

    @rule(queue=QUEUES, policy=st.sampled_from(["refuse", "drop_oldest"]), limit=st.integers(1, 3), broken=BROKEN)
    def put_into_a_bounded_queue(self, queue: str, policy: str, limit: int, broken: bool) -> None:
        self.offered[self.ticket + 1] = "alice"
        self.ask("alice", broken, "$put", queue, f"job {self.ticket}", limit, policy)

    @rule(owner=OWNERS, queue=QUEUES, lease=st.integers(1, 9), most=st.integers(0, 3), broken=BROKEN)
    def take(self, owner: str, queue: str, lease: float, most: int, broken: bool) -> None:
        self.wanted[self.ticket + 1] = (owner, queue, most)
        first = self.first(queue, most)
        outcomes = self.ask(owner, broken, "$take", queue, lease, most)
        if first is not None and not broken:
            assert isinstance(outcomes[0], Done) and outcomes[0].value[0] == first, "not its turn"

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), broken=BROKEN)
    def acknowledge(self, data: st.DataObject, broken: bool) -> None:
        job = data.draw(st.sampled_from(sorted(self.leases)))
        owner, queue, _ = self.leases[job]
        outcomes = self.ask(owner, broken, "$ack", queue, job)
        assert isinstance(outcomes[0], Failed if broken else Done)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), delay=st.sampled_from([0.0, 2.0]), broken=BROKEN)
    def give_back(self, data: st.DataObject, delay: float, broken: bool) -> None:
        job = data.draw(st.sampled_from(sorted(self.leases)))
        owner, queue, _ = self.leases[job]
        self.ask(owner, broken, "$give_back", queue, job, delay)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), owner=OWNERS, name=st.sampled_from(["$ack", "$give_back", "$renew"]))
    def touch_what_is_somebody_elses(self, data: st.DataObject, owner: str, name: str) -> None:
        job = data.draw(st.sampled_from(sorted(self.leases)))
        if self.leases[job][0] != owner:
            (outcome,) = self.ask(owner, False, name, self.leases[job][1], job)
            assert isinstance(outcome, Failed) and isinstance(outcome.error, LeaseLostError)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.leases)))
        owner, queue, _ = self.leases[job]
        (outcome,) = self.ask(owner, False, "$renew", queue, job)
        assert isinstance(outcome, Done)

    @precondition(lambda self: self.ticket)
    @rule(data=st.data(), broken=BROKEN)
    def cancel(self, data: st.DataObject, broken: bool) -> None:
        ticket = data.draw(st.integers(1, self.ticket))
        self.wanted.pop(ticket, None)
        self.offered.pop(ticket, None)
        self.step(lambda: self.hub.cancel(ticket, self.now), broken)

    @rule(owner=st.sampled_from(["bob", "eve", "dan", "alice"]), broken=BROKEN)
    def die(self, owner: str, broken: bool) -> None:
        self.wanted = {ticket: wanted for ticket, wanted in self.wanted.items() if wanted[0] != owner}
        self.offered = {ticket: by for ticket, by in self.offered.items() if by != owner}
        self.step(lambda: self.hub.gone(owner, self.now), broken)

    @rule(seconds=st.integers(1, 5), broken=BROKEN)
    def wait(self, seconds: int, broken: bool) -> None:
        self.now += seconds
        self.step(lambda: self.hub.tick(self.now), broken)

    @rule()
    def restart(self) -> None:
        kept = [JobPut(job, *self.written[job]) for job in sorted(self.written)]
        self.wanted.clear()
        self.offered.clear()
        self.leases.clear()
        self.hub = Hub.restore(Kept(0, kept), self.now, Limits(jobs=MOST_JOBS))

    # -- the model ------------------------------------------------------------------------------------------------

    def ask(self, owner: str, broken: bool, name: str, *args: Any) -> list[Outcome]:
        self.ticket += 1
        ticket, before = self.ticket, self.picture()
        outcomes = self.step(lambda: self.hub.request(owner, ticket, name, args, self.now), broken)
        if broken and any(isinstance(o, Failed) and isinstance(o.error, KeepError) for o in outcomes):
            assert self.picture() == before, "a request that failed has changed something"
        return outcomes

    def step(self, call: Callable[[], list[Outcome]], broken: bool) -> list[Outcome]:
        outcomes = call()
        changes = self.hub.take_changes()
        if changes and broken:
            outcomes = self.hub.undo(KeepError("the disk is full"), outcomes)
        else:
            for change in changes:
                self.write(change)
        for outcome in outcomes:
            self.absorb(outcome)
        self.leases = {
            number: (job.lease.owner, queue.name, job.lease.ticket)  # type: ignore[misc, union-attr]
            for queue in self.queues()
            for number, job in queue.leased.items()
        }
        return outcomes

    def write(self, change: Any) -> None:
        if isinstance(change, JobPut):
            assert change.id not in self.written, "a number came twice"
            self.written[change.id] = (change.queue, change.value, change.deliveries)
        elif isinstance(change, JobCounted):
            queue, value, _ = self.written[change.id]
            self.written[change.id] = (queue, value, change.deliveries)
        elif isinstance(change, JobBuried):
            self.written[change.id] = (change.queue, change.value, 0)
        elif isinstance(change, JobRemoved):
            del self.written[change.id]
        else:
            assert isinstance(change, JobDelayed) and change.id in self.written

    def absorb(self, outcome: Outcome) -> None:
        assert isinstance(outcome, (Done, Failed))
        wanted = self.wanted.pop(outcome.ticket, None)  # type: ignore[arg-type]
        self.offered.pop(outcome.ticket, None)  # type: ignore[arg-type]
        if wanted is not None and isinstance(outcome, Done):
            number, value, deliveries, _ = outcome.value
            _, queue, most = wanted
            assert self.written[number] == (queue, value, deliveries), "handed out before it was written"
            assert not most or deliveries <= most or queue.endswith(".dead"), "delivered too often"

    def queues(self) -> list[Queue]:
        return list(self.hub._queues._jobs.queues.values())

    def first(self, name: str, most: int) -> int | None:
        """The job whose turn it is, counted independently of the queue's own order: returned ones by number, first."""
        for queue in self.queues():
            if queue.name == name:
                returned = sorted(number for number, job in queue.returned if not 0 < most <= job.deliveries)
                return (returned + [job.id for job in queue.fresh] or [None])[0]
        return None

    def picture(self) -> Any:
        """Every job: where it stands, whose it is, how often it was delivered. Without empty queues."""
        pictures = {}
        for queue in self.queues():
            ready = sorted(queue.returned)
            jobs = [job for _, job in ready] + list(queue.fresh) + [queue.delayed[n] for n in sorted(queue.delayed)]
            owners = {number: job.lease.owner for number, job in queue.leased.items() if job.lease}
            seen = [(job.id, job.value, job.deliveries) for job in jobs + [queue.leased[n] for n in sorted(owners)]]
            if seen:
                pictures[queue.name] = (seen, sorted(queue.delayed), owners, queue.dropped)
        return pictures

    # -- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def what_is_in_memory_is_what_is_written(self) -> None:
        inside = {}
        for queue in self.queues():
            jobs = [job for _, job in queue.returned] + list(queue.fresh)
            for job in jobs + list(queue.delayed.values()) + list(queue.leased.values()):
                assert job.id not in inside, "a job stands in two places"
                inside[job.id] = (queue.name, job.value, job.deliveries)
        assert inside == self.written

    @invariant()
    def nobody_waits_for_what_is_there(self) -> None:
        for queue in self.queues():
            assert not (queue.takers and (queue.returned or queue.fresh))
            if queue.putters:
                assert not self.hub._queues._jobs.has_room(queue, next(iter(queue.putters.values())).limit)

    @invariant()
    def every_wait_and_lease_is_known_and_no_other(self) -> None:
        waits = {ticket for queue in self.queues() for line in queue.takers.values() for ticket in line}
        waits |= {ticket for queue in self.queues() for ticket in queue.putters}
        assert waits == set(self.wanted) | set(self.offered)
        assert len(self.hub._claims) == len(waits) + len(self.leases)

    @invariant()
    def only_leases_and_delays_are_timed(self) -> None:
        timed = {job.id for job in self.hub._queues._jobs.timers._when}
        assert timed == {n for queue in self.queues() for n in (*queue.leased, *queue.delayed)}

    @invariant()
    def queues_are_bounded(self) -> None:
        for queue in self.queues():
            assert queue.is_dead or queue.waiting + len(queue.leased) <= MOST_JOBS


QueueMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_the_queue_keeps_its_rules_whatever_happens = QueueMachine.TestCase
