"""Many clients in one program: each a connection and a thread of its own.

Rules of this file
- A client calls as fast as it is answered, many calls under way where it can; the rate of each shows who starves.
- All are counted in the same span of time, which begins when all of them have been calling for a while: who is told
  first to call has the server for itself until the others are, and would be counted as the luckiest of all.
- The threads of a program take turns more often than usual: see TURN.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from time import perf_counter_ns

from tincans.bench.contestant import IN_FLIGHT, Client, Contestant, CrowdRun, times_of

SLOW = 0.02
"""Seconds of a call; a client that is slower makes one call after the other."""
LOOKS = 5
"""The quickest of so many calls says which it is: while all of them connect, any call may be held up."""
CONNECTING = 20.0
"""Seconds that all of them have to connect."""
WARMING = 0.25
"""How long all of them call before they are counted, in parts of the time that they are counted."""
TURN = 0.001
"""Seconds after which the interpreter lets another thread run, for every contestant alike. With its usual 5 ms, each
of 32 threads that are all busy gets about ten turns in the whole span, by chance: that would be measured, not the
server."""
LEAVE = (0, 0)
"""The span of who is to leave."""


class Tally:
    """The calls of one client in a span of time.

    >>> tally = Tally(span(0.001))
    >>> while tally.goes_on():
    ...     tally.made += 1
    >>> tally.rate() > 0
    True
    """

    def __init__(self, span: tuple[int, int]) -> None:
        self.made = 0
        """To be counted up after each call."""
        self._begin, self._end = span
        self._began = self._now = perf_counter_ns()
        self._counts = False

    def goes_on(self) -> bool:
        """Before each call: whether it is to be made."""
        self._now = perf_counter_ns()
        if not self._counts and self._begin <= self._now < self._end:  # what was made before is warming up
            self.made, self._began, self._counts = 0, self._now, True
        return self._now < self._end

    def rate(self) -> float:
        """Calls per second; who was never answered in the span itself, because it was too short for that, has the rate
        of the whole time."""
        return self.made * 1e9 / max(1, self._now - self._began)


def span(seconds: float) -> tuple[int, int]:
    """Begin and end of what is counted when clients are told now."""
    begin = perf_counter_ns() + int(seconds * WARMING * 1e9)
    return begin, begin + int(seconds * 1e9)


class Member(threading.Thread):
    """One client on its thread: it connects, then runs whenever it is told, until it is told to leave."""

    def __init__(self, contestant: Contestant, place: Path) -> None:
        super().__init__(daemon=True)
        self.rate = 0.0
        """Calls per second in the last run."""
        self.fault: Exception | None = None
        self.done = threading.Event()
        self._go = threading.Event()
        self._span = LEAVE
        self._contestant = contestant
        self._place = place

    def run(self) -> None:
        try:
            with self._contestant.connect(self._place) as client:
                call = client.call
                assert call is not None
                slow = min(times_of(call, LOOKS)) > SLOW * 1e9
                self.done.set()
                while self._told():
                    self.rate = _rate(client, self._span, slow=slow)
                    self.done.set()
        except Exception as error:
            self.fault = error
            self.done.set()

    def _told(self) -> bool:
        self._go.wait()
        self._go.clear()
        return self._span != LEAVE

    def tell(self, when: tuple[int, int]) -> None:
        """Call from now on, and count what is made in this span; LEAVE is the word to leave."""
        self.done.clear()
        self._span = when
        self._go.set()

    def wait(self, seconds: float) -> None:
        """Until it has done what it was told."""
        if not self.done.wait(seconds):
            raise TimeoutError(f"a client of {self._contestant.name} did not finish in {seconds:g} s")
        if self.fault is not None:
            raise self.fault


def _rate(client: Client, when: tuple[int, int], *, slow: bool) -> float:
    call, pipeline = client.call, client.pipeline
    assert call is not None
    tally = Tally(when)
    while tally.goes_on():
        if pipeline is not None and not slow:
            pipeline(IN_FLIGHT)
            tally.made += IN_FLIGHT
        else:
            call(2, 5)
            tally.made += 1
    return tally.rate()


def of_threads(contestant: Contestant) -> Callable[[Path, int], AbstractContextManager[CrowdRun]]:
    """A crowd of any contestant."""

    @contextlib.contextmanager
    def crowd(place: Path, count: int) -> Iterator[CrowdRun]:
        members = [Member(contestant, place) for _ in range(count)]

        def run(seconds: float) -> list[float]:
            before = sys.getswitchinterval()
            sys.setswitchinterval(TURN)
            when = span(seconds)
            for member in members:
                member.tell(when)
            for member in members:
                member.wait(seconds * (1 + WARMING) + CONNECTING)
            sys.setswitchinterval(before)
            return [member.rate for member in members]

        try:
            for member in members:
                member.start()
            for member in members:
                member.wait(CONNECTING)
            yield run
        finally:
            for member in members:
                member.tell(LEAVE)
            for member in members:
                member.join(2)

    return crowd
