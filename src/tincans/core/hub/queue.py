"""One queue: where its jobs stand, and who waits to take or to put.

Rules of this file
- Data and moves within one queue; what the moves mean is in queues.py.
- A job is in one place: returned (handed out before; the lowest number goes first, ahead of all others), fresh (in
  order of arrival), delayed, or leased.
- Takers stand in one line per owner, and the owners take turns.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any

from tincans.core.hub.claims import Home


@dataclass(slots=True, eq=False)
class Job:
    """One job; `reason` says how its last delivery ended, `in_front` among which ready jobs it stands or last stood."""

    id: int
    queue: Queue
    value: Any
    deliveries: int = 0
    lease: Lease | None = None
    reason: str = ""
    in_front: bool = False


@dataclass(slots=True, eq=False)
class Lease:
    """A job in the hands of `owner`, for `seconds` from when it was taken or renewed."""

    home: Home
    owner: Hashable
    ticket: Hashable
    job: Job
    seconds: float
    most: int


@dataclass(slots=True, eq=False)
class Taker:
    """Waits for a job."""

    home: Home
    owner: Hashable
    ticket: Hashable
    queue: Queue
    seconds: float
    most: int


@dataclass(slots=True, eq=False)
class Putter:
    """Waits for room."""

    home: Home
    owner: Hashable
    ticket: Hashable
    queue: Queue
    value: Any
    limit: int | None
    delay: float


@dataclass(slots=True, eq=False)
class Queue:
    """One queue. `dropped` counts what its policy dropped since the program started."""

    name: str
    is_dead: bool = False
    fresh: deque[Job] = field(default_factory=deque)
    returned: list[tuple[int, Job]] = field(default_factory=list)
    delayed: dict[int, Job] = field(default_factory=dict)
    leased: dict[int, Job] = field(default_factory=dict)
    takers: OrderedDict[Hashable, OrderedDict[Hashable, Taker]] = field(default_factory=OrderedDict)
    putters: OrderedDict[Hashable, Putter] = field(default_factory=OrderedDict)
    dropped: int = 0

    @property
    def waiting(self) -> int:
        """Jobs that wait for a taker or for their time."""
        return len(self.fresh) + len(self.returned) + len(self.delayed)

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be lost if the queue were forgotten."""
        return not (self.waiting or self.leased or self.takers or self.putters or self.dropped)

    def add_ready(self, job: Job) -> None:
        """A job may be taken from now on: at the front when it was handed out before, else at the end."""
        if job.deliveries:
            self.add_front(job)
        else:
            self.fresh.append(job)

    def add_front(self, job: Job) -> None:
        """A job that was out comes back, to the front."""
        job.in_front = True
        heappush(self.returned, (job.id, job))

    def put_back(self, job: Job) -> None:
        """Undo `next_ready`."""
        if job.in_front:
            heappush(self.returned, (job.id, job))
        else:
            self.fresh.appendleft(job)

    def next_ready(self) -> Job | None:
        """Take out the job whose turn it is."""
        if self.returned:
            return heappop(self.returned)[1]
        return self.fresh.popleft() if self.fresh else None

    def next_to_drop(self) -> Job | None:
        """Take out the oldest job that nobody holds."""
        job = self.next_ready()
        if job is None and self.delayed:
            job = self.delayed.pop(next(iter(self.delayed)))
        return job

    def take_out(self, job: Job) -> None:
        """Take out a job wherever it waits. Slow in a long queue: only for taking back what could not be kept."""
        if self.delayed.pop(job.id, None) is not None:
            return
        if self.fresh and self.fresh[-1] is job:
            self.fresh.pop()
        elif (job.id, job) in self.returned:
            self.returned.remove((job.id, job))
            heapify(self.returned)
        elif job in self.fresh:
            self.fresh.remove(job)

    def add_taker(self, taker: Taker) -> None:
        """Stand in line, behind this owner's others."""
        line = self.takers.get(taker.owner)
        if line is None:
            line = self.takers[taker.owner] = OrderedDict()
        line[taker.ticket] = taker

    def next_taker(self) -> Taker:
        """Take out the first taker of the owner whose turn it is; that owner's next turn comes after all others."""
        owner, line = next(iter(self.takers.items()))
        _, taker = line.popitem(last=False)
        if line:
            self.takers.move_to_end(owner)
        else:
            del self.takers[owner]
        return taker

    def first_taker(self) -> Taker:
        """Who is next, still in line."""
        line = next(iter(self.takers.values()))
        return next(iter(line.values()))

    def remove_taker(self, taker: Taker) -> None:
        """Leave the line."""
        line = self.takers[taker.owner]
        del line[taker.ticket]
        if not line:
            del self.takers[taker.owner]
