"""The reactor: whatever it is told, somebody leads and every link is looked after."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tincans.pump import reactor as reactor_module
from tincans.pump.reactor import MAX_LINGERING, READERS, Reactor

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


class Read(Watched):
    """One that says when it is read, and reads until it is told to end."""

    def __init__(self, order: list[Read]) -> None:
        super().__init__()
        self.end = threading.Event()
        self.step_out: Callable[[], None] = lambda: None
        self._order = order

    def ready(self) -> None:
        self._order.append(self)
        self.step_out()
        self.came.set()
        self.end.wait(SOON)

    def rest(self) -> bool:
        return False


def reads(reactor: Reactor, count: int) -> tuple[list[Read], list[Read]]:
    """So many links with something to read, and where each says that it is read."""
    order: list[Read] = []
    links = [Read(order) for _ in range(count)]
    for link in links:
        reactor.queue(link)
    return links, order


def test_links_are_read_in_the_order_in_which_they_queued_each_once(reactor: Reactor) -> None:
    links, order = reads(reactor, 3)
    for link in links:
        reactor.queue(link)
        link.end.set()
    assert all(link.came.wait(SOON) for link in links)
    assert order[:3] == links


def test_who_is_busy_for_long_holds_up_the_others_for_a_moment_only(reactor: Reactor) -> None:
    links, _ = reads(reactor, 5)
    assert all(link.came.wait(SOON / 2) for link in links), "none of them has ended"
    later = Read([])
    reactor.queue(later)
    assert later.came.wait(SOON / 2)
    for link in (*links, later):
        link.end.set()


class Moment(Watched):
    """One that is read for a moment, and counts how many others are at the same time."""

    def __init__(self, crowd: list[Moment], sizes: list[int]) -> None:
        super().__init__()
        self._crowd, self._sizes = crowd, sizes

    def ready(self) -> None:
        self._crowd.append(self)
        self._sizes.append(len(self._crowd))
        time.sleep(0.002)
        self._crowd.remove(self)
        self.came.set()


@pytest.mark.skipif(READERS > 1, reason="a program without a GIL has many readers anyway")
def test_one_who_is_busy_is_followed_by_one_and_not_by_all_who_queue(reactor: Reactor) -> None:
    links, _ = reads(reactor, 1)
    assert links[0].came.wait(SOON)
    crowd: list[Moment] = []
    sizes: list[int] = []
    others = [Moment(crowd, sizes) for _ in range(30)]
    for other in others:
        reactor.queue(other)
    assert all(other.came.wait(SOON) for other in others)
    assert max(sizes) < 5, "many would only wait for the GIL"
    links[0].end.set()


def test_who_steps_out_holds_up_nobody(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactor_module, "TICK", 3600.0)
    links, _ = reads(reactor, 1)
    assert links[0].came.wait(SOON)
    waits, outs = Read([]), Read([])
    outs.step_out = reactor.step_out
    reactor.queue(waits)
    assert not waits.came.wait(0.05), "one reads at a time"
    links[0].end.set()
    assert waits.came.wait(SOON)
    reactor.queue(outs)
    waits.end.set()
    assert outs.came.wait(SOON)
    last = Read([])
    reactor.queue(last)
    assert last.came.wait(SOON), "although the one before has not ended"
    outs.end.set()
    last.end.set()


def test_a_link_that_has_ended_is_read_no_more(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactor_module, "TICK", 3600.0)
    links, order = reads(reactor, 2)
    assert links[0].came.wait(SOON)
    reactor.forget(None, links[1])
    links[0].end.set()
    ran = threading.Event()
    reactor.submit(ran.set)
    assert ran.wait(SOON) and order == links[:1]
