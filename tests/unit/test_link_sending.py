"""What a link keeps back leaves by itself, and a peer that takes nothing holds up nobody else."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import pytest
from link_stage import SOON, Stage, StagedConnection, StagedOwner, alice, bob

from tincans.conformance.patience import eventually
from tincans.core.messages import Ping, Reply, Request
from tincans.errors import ClosedError, WaitTimeoutError
from tincans.pump.deadlines import Deadlines
from tincans.pump.link import Link
from tincans.pump.reactor import MAX_WORKERS, reactor
from tincans.pump.waiter import Waiter
from tincans.wires.native import WIRE

__all__ = ["alice", "bob"]


class Crossing(deque[Any]):
    """A second thread appends at the very moment when the first one has."""

    def append(self, item: Any) -> None:
        super().append(item)
        if len(self) == 1:
            super().append(item)


def test_requests_of_two_threads_that_cross_in_a_burst_leave_by_themselves(bob: Stage) -> None:
    link, connection, _ = bob
    link.corked = Crossing()
    link.send_in_burst(Request(1, "add", ()), timeout=SOON)
    eventually(lambda: len(connection.sent) == 2, timeout=SOON)


def test_a_peer_that_takes_nothing_leaves_the_workers_free(bob: Stage) -> None:
    link, connection, _ = bob
    connection.clogged = True
    for _ in range(2 * MAX_WORKERS):
        link.post(Ping())
    time.sleep(0.1)  # whoever is going to be held up is by now
    ran = threading.Event()
    link.reactor.submit(ran.set)
    assert ran.wait(SOON)
    assert link.has_unsent()


def test_the_rest_of_a_large_message_leaves_when_the_time_of_its_sender_is_up(bob: Stage) -> None:
    link, connection, _ = bob
    connection.kept = 5
    link.send(Request(1, "add", (b"x" * 10_000,)), timeout=SOON)
    eventually(lambda: not connection.kept, timeout=SOON)
    eventually(lambda: not link.has_unsent(), timeout=SOON)


def test_what_was_posted_to_a_busy_link_leaves_in_order(bob: Stage) -> None:
    link, connection, _ = bob
    with link.sending:
        for number in range(1, 200, 2):
            link.post(Request(number, "add", ()))
    eventually(lambda: len(connection.sent) == 100 and not link.has_unsent(), timeout=SOON)
    assert [message.id for message in connection.sent] == list(range(1, 200, 2))


def test_an_answer_that_is_too_large_is_never_kept_back(bob: Stage) -> None:
    link, connection, _ = bob
    connection.max_message = 10
    link.more_here = True
    link.reply(Request(1, "a name that is longer than that", ()), timeout=SOON)
    assert not link.corked


class Late(Waiter):
    """A started call with a deadline."""

    __slots__ = ("deadline",)

    def __init__(self, operation: str, seconds: float) -> None:
        super().__init__(operation)
        self.deadline = time.monotonic() + seconds


class Interfering(dict[int, Late]):
    """While the deadlines are gone through, another thread starts a call."""

    def __init__(self, deadlines: Deadlines, second: Late) -> None:
        super().__init__()
        self.deadlines = deadlines
        self.second = second

    def items(self) -> Any:
        gone_through = list(super().items())
        if 3 not in self:
            self[3] = self.second
            adding = threading.Thread(target=self.deadlines.expect, args=(self.second.deadline,))
            adding.start()
            adding.join(SOON)
        return gone_through


def test_a_deadline_that_is_added_while_others_expire_is_kept(bob: Stage) -> None:
    link = bob[0]
    first, second = Late("first", 60), Late("second", 0.05)
    link.session.calls = calls = Interfering(link.deadlines, second)
    calls[1] = first
    link.deadlines.expect(first.deadline)
    link.deadlines.expire()
    eventually(lambda: second.settled, timeout=SOON)
    assert not first.settled


class InOrder:
    """The native wire for a link that knows no ids."""

    in_order = True

    def __getattr__(self, name: str) -> Any:
        return getattr(WIRE, name)


def test_a_request_without_an_id_that_found_no_room_is_owed_no_answer() -> None:
    connection = StagedConnection()
    link = Link(connection, InOrder(), StagedOwner(), reactor(), connecting=True)  # type: ignore[arg-type]
    assert link.turns is not None
    connection.clogged = True
    with pytest.raises(WaitTimeoutError):
        link.send(Request(1, "add", (2, 5)), timeout=0.01)
    connection.clogged = False
    link.send(Request(3, "add", (3, 5)), timeout=SOON)
    answer = Reply(0, 8)
    link.turns.belongs(answer)
    assert answer.id == 3
    link.lost(ClosedError("The test is over."))


def test_who_waits_for_an_answer_reads_it_though_the_peer_takes_nothing(bob: Stage) -> None:
    link, connection, _ = bob
    connection.clogged = True
    link.corked.append(WIRE.encode(Request(1, "add", ())))
    link.session.calls[3] = waiter = Waiter("add")
    connection.hear(Reply(3, 7))
    assert link.wait(waiter, SOON)
    assert link.corked, "it may still leave"


def test_who_looks_after_all_links_is_held_up_by_none(bob: Stage) -> None:
    link, connection, _ = bob
    connection.clogged = True
    link.corked.append(WIRE.encode(Request(1, "add", ())))
    link.attend()
    eventually(lambda: link not in link.reactor.attended, timeout=SOON)
    link.session.calls[3] = waiter = Waiter("add")
    connection.hear(Reply(3, 7))
    eventually(lambda: waiter.settled, timeout=SOON)


def test_what_could_not_leave_at_once_leaves_in_order_when_there_is_room(bob: Stage) -> None:
    link, connection, _ = bob
    connection.clogged = True
    for number in range(1, 41, 2):
        link.corked.append(WIRE.encode(Request(number, "add", ())))
    link.uncork_at_once()
    link.post(Request(41, "add", ()))
    connection.take_again()
    eventually(lambda: not link.has_unsent(), timeout=SOON)
    assert [message.id for message in connection.sent] == list(range(1, 43, 2))


def test_a_client_that_takes_no_answers_leaves_the_workers_free(alice: Stage) -> None:
    link, connection, owner = alice
    connection.clogged = True
    link.attend()
    for number in range(2 * MAX_WORKERS):
        connection.hear(Request(2 * number + 1, "add", ()))
    eventually(link.is_stuck, timeout=SOON)
    time.sleep(0.5)  # whoever is going to be held up is by now
    ran = threading.Event()
    link.reactor.submit(ran.set)
    assert ran.wait(SOON)
    assert len(owner.ran) < MAX_WORKERS // 4


def test_a_client_that_takes_its_answers_again_gets_all_of_them(alice: Stage) -> None:
    link, connection, _ = alice
    connection.clogged = True
    link.attend()
    numbers = list(range(1, 200, 2))
    for number in numbers:
        connection.hear(Request(number, "add", ()))
    eventually(link.is_stuck, timeout=SOON)
    connection.take_again()
    eventually(lambda: sorted(message.id for message in connection.sent) == numbers, timeout=2 * SOON)
