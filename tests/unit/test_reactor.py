"""The reactor: whatever it is told, somebody leads and every link is looked after."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from tincans.pump.reactor import MAX_LINGERING, Reactor

SOON = 2.0


class Watched:
    """A pump.reactor.Attended that is called."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.looks = 0

    def ready(self) -> None:
        self.came.set()

    def rest(self) -> bool:
        self.looks += 1
        return True


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    """One of its own."""
    yield Reactor()


def test_a_timer_that_is_far_away_does_not_end_the_background(reactor: Reactor) -> None:
    reactor.call_at(time.monotonic() + 1e9, lambda: None)
    ran = threading.Event()
    reactor.submit(ran.set)
    assert ran.wait(SOON)
    here, there = os.pipe()
    watched = Watched()
    reactor.arm(here, watched)
    os.write(there, b"x")
    assert watched.came.wait(SOON)
    reactor.forget(here, watched)
    os.close(here)
    os.close(there)


def test_a_link_that_is_attended_while_it_is_looked_at_is_looked_at_again(reactor: Reactor) -> None:
    class Busy(Watched):
        """Whoever read it leaves at the moment when the reactor has seen that it is being read."""

        again = threading.Event()

        def rest(self) -> bool:
            if self.looks:
                self.again.set()
            else:
                self.looks = 1
                reactor.attend(self)
            return True

    busy = Busy()
    reactor.attend(busy)
    assert busy.again.wait(SOON)


def test_a_program_without_memory_for_another_thread_uses_those_it_has(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = threading.Event()
    reactor.submit(ran.set)
    assert ran.wait(SOON)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    done = threading.Event()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(3):
        reactor.submit(lambda: None)
    reactor.submit(done.set)
    assert done.wait(SOON)


def test_few_workers_stay_with_a_connection_at_the_same_time(reactor: Reactor) -> None:
    taken = [reactor.take_seat() for _ in range(MAX_LINGERING + 2)]
    assert taken.count(True) == MAX_LINGERING
    reactor.leave_seat()
    assert reactor.take_seat()
