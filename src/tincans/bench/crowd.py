"""Many clients in one program: each a connection and a thread of its own.

Rules of this file
- A client calls as fast as it is answered, many calls under way where it can; the rate of each shows who starves.
"""

from __future__ import annotations

import contextlib
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


class Member(threading.Thread):
    """One client on its thread: it connects, then runs whenever it is told, until it is told to leave."""

    def __init__(self, contestant: Contestant, place: Path) -> None:
        super().__init__(daemon=True)
        self.rate = 0.0
        """Calls per second in the last run."""
        self.fault: Exception | None = None
        self.done = threading.Event()
        self._go = threading.Event()
        self._until = 0
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
                    self.rate = _rate(client, self._until, slow=slow)
                    self.done.set()
        except Exception as error:
            self.fault = error
            self.done.set()

    def _told(self) -> bool:
        self._go.wait()
        self._go.clear()
        return self._until > 0

    def tell(self, until: int) -> None:
        """Call until then; 0 is the word to leave."""
        self.done.clear()
        self._until = until
        self._go.set()

    def wait(self, seconds: float) -> None:
        """Until it has done what it was told."""
        if not self.done.wait(seconds):
            raise TimeoutError(f"a client of {self._contestant.name} did not finish in {seconds:g} s")
        if self.fault is not None:
            raise self.fault


def _rate(client: Client, until: int, *, slow: bool) -> float:
    made, began = 0, perf_counter_ns()
    call, pipeline = client.call, client.pipeline
    assert call is not None
    while perf_counter_ns() < until:
        if pipeline is not None and not slow:
            pipeline(IN_FLIGHT)
            made += IN_FLIGHT
        else:
            call(2, 5)
            made += 1
    return made * 1e9 / max(1, perf_counter_ns() - began)


def of_threads(contestant: Contestant) -> Callable[[Path, int], AbstractContextManager[CrowdRun]]:
    """A crowd of any contestant."""

    @contextlib.contextmanager
    def crowd(place: Path, count: int) -> Iterator[CrowdRun]:
        members = [Member(contestant, place) for _ in range(count)]

        def run(seconds: float) -> list[float]:
            until = perf_counter_ns() + int(seconds * 1e9)
            for member in members:
                member.tell(until)
            for member in members:
                member.wait(seconds + CONNECTING)
            return [member.rate for member in members]

        try:
            for member in members:
                member.start()
            for member in members:
                member.wait(CONNECTING)
            yield run
        finally:
            for member in members:
                member.tell(0)
            for member in members:
                member.join(2)

    return crowd
