"""The background: one pool of threads that waits for descriptors, runs jobs and keeps time.

Rules of this file
- Leader and followers: one thread waits in the kernel; what it finds it runs itself, and another one leads.
  So a request that wakes the program is served without a thread switch.
- Links with something to read queue, and one worker at a time reads (a program without a GIL: many): it gives each a
  fair share (receiving.py) and goes on to the next. Many workers would only wait for the GIL, some of them for seconds.
  Who knows that he will be busy steps out; when none of them was done for a TICK they are, and others read on.
- Invariant: a link that must be read in the background is either armed in the kernel or in `attended`, where
  the leader looks every TICK whether anybody reads it, and arms it when nobody does. An idle program ticks not.
- All threads are daemons: the end of the program never waits for them.
- After a fork the child makes a reactor of its own; it never touches its parent's.
"""

from __future__ import annotations

import heapq
import itertools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from tincans.core.log import log
from tincans.toolkit.readiness import Readiness, SystemReadiness

TICK = 0.005
"""Seconds between two looks at links that somebody was reading: how long a slow handler may hold up the next."""

FEW_TIMERS = 16
"""So many cancelled timers may stand first: who sets a later one, as every lease of a job does, wakes nobody then."""

MAX_WORKERS = 64
"""Handlers that run at the same time in one program; further ones wait for a free thread."""

MAX_LINGERING = 4
"""Workers that stay with a connection for a moment at the same time."""

READERS = 1 if getattr(sys, "_is_gil_enabled", lambda: True)() else MAX_WORKERS
"""Workers that read at the same time, as long as they get on."""

IDLE_SECONDS = 10.0
LONGEST_WAIT = 3600.0
"""Seconds in the kernel at a time: epoll refuses to wait for more than 24 days."""

Job = Callable[[], None]


class Attended(Protocol):
    """Something to be read in the background when nobody else reads it."""

    def ready(self) -> None:
        """A job: there is something to receive."""
        ...

    def rest(self) -> bool:
        """Called each tick: True when it is armed again (or dead) and needs no more looks."""
        ...


class Background(Protocol):
    """Where work is done that no caller waits for: this program's threads (Reactor), or an event loop."""

    @property
    def attended(self) -> Mapping[Attended, None]:
        """Links that somebody looks after already."""
        ...

    @property
    def queued(self) -> Mapping[Attended, None]:
        """Links that have something to read and queue for a worker."""
        ...

    def queue(self, link: Attended) -> None: ...
    def step_out(self) -> None: ...
    def step_aside(self) -> None: ...
    def step_back(self) -> None: ...
    def submit(self, job: Job) -> None: ...
    def call_at(self, when: float, job: Job) -> Timer: ...
    def attend(self, link: Attended) -> None: ...
    def arm(self, fd: int, link: Attended) -> None: ...
    def forget(self, fd: int | None, link: Attended) -> None: ...


def _nothing() -> None:
    """A cancelled timer's job."""


class Timer:
    """A job at a time. `cancel` may come too late; the job must not mind."""

    __slots__ = ("cancelled", "job", "when")

    def __init__(self, when: float, job: Job) -> None:
        self.when = when
        self.job = job
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        self.job = _nothing  # what it holds is free now, not only when its time has come


class Reactor:
    """A pool of at most `max_workers` threads, started when first needed."""

    def __init__(self, max_workers: int = MAX_WORKERS) -> None:
        self._readiness: Readiness = SystemReadiness()
        self._changed = threading.Condition(threading.Lock())
        self._jobs: deque[Job] = deque()
        self.queued: dict[Attended, None] = {}
        """Links that have something to read, in the order in which they get a worker."""
        self._readers, self._most_readers = 0, READERS
        self._moved, self._moved_before, self._looked_at, self._stalled = 0, 0, 0.0, 0
        self._round = 0
        self._mine = threading.local()
        """`round`: the one in which this thread reads; None when it does not."""
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self.attended: dict[Attended, None] = {}
        """Links that are looked at with each tick."""
        self._leading = False
        self._wakes_at: float | None = None
        self._idle = 0
        self._workers = 0
        self._max_workers = max_workers
        self._aside: deque[None] = deque()
        self._seats = deque(range(MAX_LINGERING))

    # -- for everybody ---------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Run `job` on some thread, soon."""
        with self._changed:
            self._jobs.append(job)
            self._get_help()

    def queue(self, link: Attended) -> None:
        """Have a worker read `link`, when it is its turn."""
        with self._changed:
            self.queued[link] = None
            if self._has_work():
                self._get_help()
            else:
                self._expect_by(time.monotonic() + TICK)

    def step_out(self) -> None:
        """Called by a worker that may be busy for long, or stays with its link: another one may read."""
        if self._leave():
            with self._changed:
                if self.queued:
                    self._get_help()

    def step_aside(self) -> None:
        """Called by a worker that another program may hold up: there may be one more until it has stepped back."""
        self._aside.append(None)
        if not self._leading:
            with self._changed:
                self._get_help()

    def step_back(self) -> None:
        """After `step_aside`."""
        self._aside.pop()

    def call_at(self, when: float, job: Job) -> Timer:
        """Run `job` at `when` (time.monotonic)."""
        timer = Timer(when, job)
        with self._changed:
            heapq.heappush(self._timers, (when, next(self._order), timer))
            self._expect_by(when)
        return timer

    def attend(self, link: Attended) -> None:
        """See to it that `link` is read by somebody, from the next tick on."""
        if link in self.attended:
            return
        with self._changed:
            self.attended[link] = None
            self._expect_by(time.monotonic() + TICK)

    def arm(self, fd: int, link: Attended) -> None:
        """Call `link.ready` on a worker when `fd` is readable, once."""
        self._readiness.arm(fd, link)
        if not self._leading:
            with self._changed:
                self._get_help()

    def forget(self, fd: int | None, link: Attended) -> None:
        """No more of this link; before its descriptor is closed."""
        self.attended.pop(link, None)
        with self._changed:
            self.queued.pop(link, None)
        if fd is not None:
            self._readiness.forget(fd)

    def take_seat(self) -> bool:
        """Whether one more worker may stay with a connection for a moment; then `leave_seat` when it goes."""
        try:
            self._seats.pop()
        except IndexError:
            return False
        return True

    def leave_seat(self) -> None:
        """The seat is free again."""
        self._seats.append(0)

    # -- with the lock held ------------------------------------------------------------------------------

    def _has_work(self) -> bool:
        return bool(self._jobs) or bool(self.queued and self._readers < self._most_readers)

    def _take_work(self) -> Job | None:
        if self._jobs:
            return self._jobs.popleft()
        if self.queued and self._readers < self._most_readers:
            link = next(iter(self.queued))
            del self.queued[link]
            self._readers += 1
            self._moved += not self._stalled
            self._mine.round = self._round
            return link.ready
        return None

    def _get_help(self) -> None:
        if self._leading and not self._has_work():
            return
        if self._idle:
            self._changed.notify()
        elif self._workers < self._max_workers + min(len(self._aside), self._max_workers):
            self._hire()
        elif self._leading:
            self._readiness.wake()

    def _hire(self) -> None:
        self._workers += 1
        try:
            threading.Thread(target=self._work, name="tincans", daemon=True).start()
        except RuntimeError:  # no memory for one more, or the program ends: those that are there must do
            self._workers -= 1
            if not self._workers:
                raise

    def _expect_by(self, when: float) -> None:
        if not self._leading:
            self._get_help()
        elif self._wakes_at is None or when < self._wakes_at:
            self._wakes_at = when
            self._readiness.wake()

    def _timeout(self, now: float) -> float | None:
        while len(self._timers) > FEW_TIMERS and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        when = self._timers[0][0] if self._timers else None
        if self.attended or self.queued:
            when = now + TICK if when is None else min(when, now + TICK)
        self._wakes_at = when
        return None if when is None else max(0.0, min(when - now, LONGEST_WAIT))

    def _due(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if not timer.cancelled:
                self._jobs.append(timer.job)

    def _see_that_reading_goes_on(self, now: float) -> None:
        """When links queue and no reader was done for a TICK, all are busy: others read on, twice as many with each
        TICK that it lasts. (As many as queue would be too many when this program only got no processor.)"""
        if not self.queued or self._moved != self._moved_before:
            self._stalled, self._most_readers = 0, READERS
        elif now - self._looked_at < TICK:
            return
        else:
            self._round += 1  # those that read now no longer count
            self._readers, self._most_readers = 0, min(READERS << self._stalled, MAX_WORKERS)
            self._stalled += 1
        self._looked_at, self._moved_before = now, self._moved

    # -- the threads -------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                job()
                self._leave()
            except Exception:  # a worker must outlive any one job
                log().exception("A background job of tincans failed; please report this.")
                self._leave()
            del job

    def _leave(self) -> bool:
        """Whether this thread was one of those that read; no longer."""
        mine, self._mine.round = getattr(self._mine, "round", None), None
        if mine is None:
            return False
        with self._changed:
            if mine == self._round:
                self._readers -= 1
                self._moved += 1
        return True

    def _next_job(self) -> Job | None:
        with self._changed:
            while not self._has_work() and self._leading:
                self._idle += 1
                notified = self._changed.wait(IDLE_SECONDS)
                self._idle -= 1
                if not notified and not self._has_work() and self._leading and self._idle:
                    self._workers -= 1
                    return None
            if (job := self._take_work()) is not None:
                self._get_help()
                return job
            self._leading = True
        return self._lead()

    def _lead(self) -> Job:
        while True:
            with self._changed:
                timeout = self._timeout(time.monotonic())
            found = self._readiness.wait(timeout)
            self._look_after()
            with self._changed:
                for link in found:
                    self.attended[link] = None
                    self.queued[link] = None
                now = time.monotonic()
                self._due(now)
                self._see_that_reading_goes_on(now)
                if (job := self._take_work()) is not None:
                    self._leading = False
                    self._get_help()
                    return job

    def _look_after(self) -> None:
        for link in list(self.attended):
            # Taken out first: whoever attends it again while we look at it has the last word.
            self.attended.pop(link, None)
            try:
                rests = link.rest()
            except Exception:  # who leads must outlive any one link
                log().exception("A connection can no longer be read; please report this.")
                rests = True
            if not rests:
                self.attended[link] = None


def spawn(job: Job, name: str) -> None:
    """Run a job that may wait for long on a thread of its own, so that it takes none of the pool's."""
    threading.Thread(target=job, name=name, daemon=True).start()


_reactor: Reactor | None = None
_making = threading.Lock()


def reactor() -> Reactor:
    """This program's reactor."""
    global _reactor
    if _reactor is None:
        with _making:
            if _reactor is None:
                _reactor = Reactor()
    return _reactor


def _after_fork_in_child() -> None:
    global _reactor, _making
    _making = threading.Lock()
    _reactor = None  # its descriptors stay open until collected; its threads do not exist here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
