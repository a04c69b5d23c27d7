"""Queues of the hub: each job to one taker, at least once, until it is acknowledged."""

from __future__ import annotations

import enum
import math

import pytest
from hub_desk import Desk

from tincans.core.hub import Limits
from tincans.errors import ArgumentError, FullError, LeaseLostError


def desk_with(*values: object, limits: Limits | None = None) -> Desk:
    """A desk whose queue "q" holds these jobs, numbered from 1."""
    desk = Desk(limits=limits)
    for value in values:
        desk.get("alice", "$put", "q", value)
    return desk


def test_jobs_come_out_in_order_with_number_count_and_lease() -> None:
    desk = desk_with("x", "y")
    assert desk.get("bob", "$take", "q", 5.0, 3) == [1, "x", 1, 5.0]
    assert desk.get("bob", "$take", "q", 7.0, 3) == [2, "y", 1, 7.0]


def test_a_take_waits_for_a_job() -> None:
    desk = Desk()
    ticket = desk.ask("bob", "$take", "q", 5.0, 3)
    assert desk.waits(ticket)
    desk.get("alice", "$put", "q", "x")
    assert desk.value(ticket) == [1, "x", 1, 5.0]


def test_an_acknowledged_job_never_comes_back() -> None:
    desk = desk_with("x")
    desk.get("bob", "$take", "q", 5.0, 3)
    desk.get("bob", "$ack", "q", 1)
    desk.gone("bob")
    desk.advance(100)
    assert [desk.get("bob", "$count", "q", what) for what in ("waiting", "leased")] == [0, 0]


def test_a_job_goes_to_one_taker_only() -> None:
    desk = desk_with("x")
    desk.get("bob", "$take", "q", 5.0, 3)
    assert desk.waits(desk.ask("eve", "$take", "q", 5.0, 3))


def test_a_lease_that_ends_brings_the_job_back_counted() -> None:
    desk = desk_with("x")
    desk.get("bob", "$take", "q", 5.0, 3)
    ticket = desk.ask("eve", "$take", "q", 5.0, 3)
    desk.advance(4.9)
    assert desk.waits(ticket)
    desk.advance(0.1)
    assert desk.value(ticket) == [1, "x", 2, 5.0]


def test_a_renewed_lease_lasts_from_the_renewal() -> None:
    desk = desk_with("x")
    desk.get("bob", "$take", "q", 5.0, 3)
    desk.advance(4)
    desk.get("bob", "$renew", "q", 1)
    desk.advance(4.9)
    assert desk.get("eve", "$count", "q", "leased") == 1
    desk.advance(0.2)
    assert desk.get("eve", "$count", "q", "leased") == 0


def test_the_hub_says_when_the_next_lease_ends() -> None:
    desk = desk_with("x", "y")
    assert desk.hub.next_deadline() is None
    desk.get("bob", "$take", "q", 5.0, 3)
    desk.get("bob", "$take", "q", 3.0, 3)
    assert desk.hub.next_deadline() == 3.0
    desk.get("bob", "$ack", "q", 2)
    assert desk.hub.next_deadline() == 5.0


@pytest.mark.parametrize("name", ["$ack", "$give_back", "$renew"])
def test_a_lost_lease_is_told(name: str) -> None:
    desk = desk_with("x")
    desk.get("bob", "$take", "q", 5.0, 3)
    desk.advance(6)
    with pytest.raises(LeaseLostError, match="longer lease"):
        desk.get("bob", name, "q", 1)


@pytest.mark.parametrize("name", ["$ack", "$give_back", "$renew"])
def test_nobody_else_can_touch_a_leased_job(name: str) -> None:
    desk = desk_with("x")
    desk.get("bob", "$take", "q", 5.0, 3)
    with pytest.raises(LeaseLostError):
        desk.get("eve", name, "q", 1)
    desk.get("bob", "$ack", "q", 1)


@pytest.mark.parametrize("queue", ["other", "q"])
def test_a_job_is_acknowledged_in_its_own_queue(queue: str) -> None:
    desk = desk_with("x", "y")
    desk.get("bob", "$take", "q", 5.0, 3)
    with pytest.raises(LeaseLostError):
        desk.get("bob", "$ack", queue, 2 if queue == "q" else 1)


def test_jobs_given_back_stand_in_front_oldest_first() -> None:
    desk = desk_with("a", "b", "c", "d")
    for _ in range(3):
        desk.get("bob", "$take", "q", 5.0, 9)
    for number in (2, 3, 1):
        desk.get("bob", "$give_back", "q", number)
    assert [desk.get("eve", "$take", "q", 5.0, 9)[1:3] for _ in range(4)] == [["a", 2], ["b", 2], ["c", 2], ["d", 1]]


def test_a_job_given_back_with_a_delay_rests_so_long() -> None:
    desk = desk_with("a", "b")
    desk.get("bob", "$take", "q", 50.0, 9)
    desk.get("bob", "$give_back", "q", 1, 10.0)
    assert desk.get("bob", "$count", "q", "delayed") == 1
    assert desk.get("eve", "$take", "q", 50.0, 9)[1] == "b"
    ticket = desk.ask("eve", "$take", "q", 50.0, 9)
    desk.advance(9.9)
    assert desk.waits(ticket)
    desk.advance(0.1)
    assert desk.value(ticket) == [1, "a", 2, 50.0]


def test_a_job_put_with_a_delay_comes_then_behind_those_before_it() -> None:
    desk = Desk()
    desk.get("alice", "$put", "q", "later", None, "wait", 10.0)
    desk.get("alice", "$put", "q", "now")
    desk.advance(10)
    assert [desk.get("bob", "$take", "q", 5.0, 9)[1] for _ in range(2)] == ["now", "later"]


def test_a_lost_connection_gives_its_jobs_back_at_once_counted_and_in_order() -> None:
    desk = desk_with("a", "b", "c")
    for _ in range(2):
        desk.get("bob", "$take", "q", 500.0, 9)
    desk.gone("bob")
    assert [desk.get("eve", "$take", "q", 5.0, 9)[1:3] for _ in range(3)] == [["a", 2], ["b", 2], ["c", 1]]


def test_a_lost_connection_is_never_served_what_it_gives_back() -> None:
    desk = desk_with("a")
    desk.get("bob", "$take", "q", 500.0, 9)
    own = desk.ask("bob", "$take", "q", 500.0, 9)
    desk.gone("bob")
    assert desk.waits(own)
    assert desk.get("eve", "$take", "q", 5.0, 9)[1:3] == ["a", 2]


def test_a_lost_connections_waiting_put_is_not_put() -> None:
    desk = desk_with("a")
    ticket = desk.ask("bob", "$put", "q", "b", 1, "wait")
    desk.gone("bob")
    desk.get("eve", "$take", "q", 5.0, 9)
    assert desk.waits(ticket)
    assert desk.get("eve", "$count", "q") == 0


def test_a_job_whose_delivery_crossed_a_cancel_is_ready_again_uncounted() -> None:
    desk = desk_with("a")
    ticket = desk.ask("bob", "$take", "q", 500.0, 1)
    assert desk.value(ticket)
    desk.cancel(ticket)
    assert desk.get("eve", "$take", "q", 5.0, 1)[1:3] == ["a", 1]


def test_a_cancelled_take_gets_no_job() -> None:
    desk = Desk()
    ticket = desk.ask("bob", "$take", "q", 5.0, 9)
    desk.cancel(ticket)
    desk.get("alice", "$put", "q", "x")
    assert desk.waits(ticket)
    assert desk.get("alice", "$count", "q") == 1


def test_cancelling_what_is_over_does_nothing() -> None:
    desk = desk_with("a")
    ticket = desk.ask("bob", "$take", "q", 5.0, 9)
    desk.get("bob", "$ack", "q", 1)
    assert desk.hub.cancel(ticket, 0.0) == []
    assert desk.hub.cancel("never seen", 0.0) == []


def test_the_takers_of_one_owner_are_served_in_order() -> None:
    desk = Desk()
    tickets = [desk.ask("bob", "$take", "q", 5.0, 9) for _ in range(3)]
    for value in "abc":
        desk.get("alice", "$put", "q", value)
    assert [desk.value(ticket)[1] for ticket in tickets] == ["a", "b", "c"]


def test_owners_take_turns() -> None:
    desk = Desk()
    many = [desk.ask("bob", "$take", "q", 5.0, 9) for _ in range(3)]
    one = desk.ask("eve", "$take", "q", 5.0, 9)
    for value in "abcd":
        desk.get("alice", "$put", "q", value)
    assert desk.value(one)[1] == "b"
    assert [desk.value(ticket)[1] for ticket in many] == ["a", "c", "d"]


class Names(enum.StrEnum):
    JOBS = "q"


def test_a_name_may_be_a_text_of_any_kind() -> None:
    desk = desk_with("a")
    desk.get("alice", "$put", Names.JOBS, "b")
    assert [desk.get("bob", "$take", name, 5.0, 9)[1] for name in (Names.JOBS, "q")] == ["a", "b"]


# -- full queues --------------------------------------------------------------------------------------------------


def test_a_put_waits_for_room_and_is_then_answered() -> None:
    desk = desk_with("a")
    ticket = desk.ask("alice", "$put", "q", "b", 1, "wait")
    assert desk.waits(ticket)
    desk.get("bob", "$take", "q", 5.0, 9)
    assert desk.value(ticket) == 2
    assert desk.get("bob", "$take", "q", 5.0, 9)[1] == "b"


def test_waiting_puts_go_in_order_also_before_new_ones() -> None:
    desk = desk_with("a")
    first = desk.ask("alice", "$put", "q", "b", 1, "wait")
    second = desk.ask("eve", "$put", "q", "c", 5, "wait")
    assert desk.waits(first) and desk.waits(second)
    assert [desk.get("bob", "$take", "q", 5.0, 9)[1] for _ in range(3)] == ["a", "b", "c"]


def test_a_put_that_gives_up_lets_the_next_in() -> None:
    desk = desk_with("a")
    first = desk.ask("alice", "$put", "q", "b", 1, "wait")
    second = desk.ask("eve", "$put", "q", "c", 5, "wait")
    desk.cancel(first)
    assert desk.waits(first) and desk.value(second) == 2


def test_a_full_queue_refuses_and_says_so() -> None:
    desk = desk_with("a")
    with pytest.raises(FullError, match="'q' is full: 1 jobs wait"):
        desk.get("alice", "$put", "q", "b", 1, "refuse")
    assert desk.get("alice", "$count", "q") == 1


def test_dropping_the_oldest_is_counted() -> None:
    desk = desk_with("a", "b", "c")
    desk.get("alice", "$put", "q", "d", 2, "drop_oldest")
    assert desk.get("alice", "$count", "q", "dropped") == 2
    assert [desk.get("bob", "$take", "q", 5.0, 9)[1] for _ in range(2)] == ["c", "d"]


def test_a_delayed_job_is_dropped_when_there_is_no_other() -> None:
    desk = Desk()
    desk.get("alice", "$put", "q", "later", None, "wait", 10.0)
    desk.get("alice", "$put", "q", "now", 1, "drop_oldest")
    desk.advance(20)
    assert desk.get("bob", "$take", "q", 5.0, 9)[1] == "now"
    assert desk.get("bob", "$count", "q", "dropped") == 1
    assert desk.hub.next_deadline() == 25.0


def test_a_job_on_lease_is_never_dropped() -> None:
    desk = desk_with("a")
    desk.get("bob", "$take", "q", 5.0, 9)
    for value in "bc":
        desk.get("alice", "$put", "q", value, 1, "drop_oldest")
    desk.get("bob", "$ack", "q", 1)
    assert desk.get("bob", "$take", "q", 5.0, 9)[1] == "c"


def test_every_queue_is_bounded_leased_jobs_included() -> None:
    desk = desk_with("a", "b", limits=Limits(jobs=2))
    desk.get("bob", "$take", "q", 5.0, 9)
    with pytest.raises(FullError):
        desk.get("alice", "$put", "q", "c", None, "refuse")
    ticket = desk.ask("alice", "$put", "q", "c")
    assert desk.waits(ticket)
    desk.get("bob", "$ack", "q", 1)
    assert desk.value(ticket) == 3


def test_nothing_is_dropped_when_that_cannot_make_room() -> None:
    desk = desk_with("a", limits=Limits(jobs=1))
    desk.get("bob", "$take", "q", 5.0, 9)
    with pytest.raises(FullError, match="on lease"):
        desk.get("alice", "$put", "q", "b", 1, "drop_oldest")
    desk.get("bob", "$ack", "q", 1)


def test_empty_queues_make_room_for_new_ones() -> None:
    desk = Desk(limits=Limits(queues=2))
    for number in range(10):
        desk.get("alice", "$put", f"q{number}", "x")
        desk.get("bob", "$ack", f"q{number}", desk.get("bob", "$take", f"q{number}", 5.0, 9)[0])
    for name in ("a", "b"):
        desk.get("alice", "$put", name, "x")
    with pytest.raises(FullError, match="2 queues"):
        desk.get("alice", "$put", "c", "x")


def test_a_queue_whose_jobs_are_all_on_lease_is_not_forgotten() -> None:
    desk = desk_with("a", limits=Limits(queues=1))
    desk.get("bob", "$take", "q", 5.0, 9)
    with pytest.raises(FullError):
        desk.get("alice", "$put", "other", "x")
    desk.get("bob", "$ack", "q", 1)
    desk.get("alice", "$put", "other", "x")


# -- dead letters -------------------------------------------------------------------------------------------------


def test_a_job_that_always_fails_becomes_a_dead_letter_with_its_story() -> None:
    desk = desk_with({"n": 1})
    for _ in range(3):
        desk.get("bob", "$give_back", "q", desk.get("bob", "$take", "q", 5.0, 3)[0])
    assert desk.waits(desk.ask("bob", "$take", "q", 5.0, 3))
    number, letter, deliveries, _ = desk.get("bob", "$take", "q.dead", 5.0, 1)
    reason = "delivered 3 times and never acknowledged; the last time it was given back"
    assert letter == {"queue": "q", "value": {"n": 1}, "deliveries": 3, "reason": reason}
    assert (number, deliveries) == (1, 1)


@pytest.mark.parametrize(("how", "why"), [("lease", "its lease ended"), ("gone", "its taker went away")])
def test_a_dead_letter_says_how_it_died(how: str, why: str) -> None:
    desk = desk_with("a")
    desk.get("bob", "$take", "q", 5.0, 1)
    desk.advance(6) if how == "lease" else desk.gone("bob")
    assert desk.get("eve", "$take", "q.dead", 5.0, 1)[1]["reason"].endswith(why)


def test_who_waits_for_dead_letters_is_served() -> None:
    desk = desk_with("a")
    ticket = desk.ask("eve", "$take", "q.dead", 5.0, 1)
    desk.get("bob", "$take", "q", 5.0, 1)
    desk.get("bob", "$give_back", "q", 1)
    assert desk.value(ticket)[1]["value"] == "a"


def test_a_taker_who_accepts_fewer_deliveries_buries_what_had_more() -> None:
    desk = desk_with("a", "b")
    desk.get("bob", "$take", "q", 5.0, 9)
    desk.get("bob", "$give_back", "q", 1)
    assert desk.get("eve", "$take", "q", 5.0, 1)[1] == "b"
    assert desk.get("eve", "$count", "q.dead") == 1


def test_without_a_bound_a_job_comes_back_for_ever() -> None:
    desk = desk_with("a")
    for turn in range(50):
        assert desk.get("bob", "$take", "q", 5.0)[2] == turn + 1
        desk.get("bob", "$give_back", "q", 1)


def test_nothing_dies_a_second_time() -> None:
    desk = Desk()
    desk.get("alice", "$put", "q.dead", "letter")
    for turn in range(5):
        assert desk.get("bob", "$take", "q.dead", 5.0, 1)[1:3] == ["letter", turn + 1]
        desk.get("bob", "$give_back", "q.dead", 1)
    assert desk.get("bob", "$count", "q.dead.dead") == 0


def test_dead_letters_are_bounded_and_the_dropped_ones_counted() -> None:
    desk = Desk(limits=Limits(jobs=2))
    for value in "abc":
        desk.get("alice", "$put", "q", value)
        desk.get("bob", "$give_back", "q", desk.get("bob", "$take", "q", 5.0, 1)[0])
    assert [desk.get("bob", "$count", "q.dead", what) for what in ("waiting", "dropped")] == [2, 1]
    assert desk.get("bob", "$take", "q.dead", 5.0, 1)[1]["value"] == "b"


# -- bad requests -------------------------------------------------------------------------------------------------

BAD = [
    ("$put", ("", 1)),
    ("$put", (None, 1)),
    ("$put", ("q", 1, 0)),
    ("$put", ("q", 1, "5")),
    ("$put", ("q", 1, None, "maybe")),
    ("$put", ("q", 1, None, "wait", -1)),
    ("$put", ("q", 1, None, "wait", math.nan)),
    ("$take", ("q", 0.0, 1)),
    ("$take", ("q", math.inf, 1)),
    ("$take", ("q", "30", 1)),
    ("$take", ("q", True, 1)),
    ("$take", ("q", 5.0, -1)),
    ("$take", ("q", 5.0, 1.5)),
    ("$take", (["q"], 5.0, 1)),
    ("$ack", ("q", "1")),
    ("$ack", ("q", [1])),
    ("$ack", ("q", 10**5000)),
    ("$take", ("q", 10**5000, 1)),
    ("$take", ("q", 5.0, 10**5000)),
    ("$put", ("q", 1, 10**5000)),
    ("$give_back", ("q", 1, math.inf)),
    ("$count", ("q", "colour")),
    ("$count", ("q", ["waiting"])),
    ("$count", (b"q",)),
]


@pytest.mark.parametrize(("name", "args"), BAD)
def test_a_bad_request_is_refused_and_changes_nothing(name: str, args: tuple[object, ...]) -> None:
    desk = desk_with("a")
    with pytest.raises(ArgumentError):
        desk.get("bob", name, *args)
    assert len(desk.hub._claims) == 0
    assert desk.get("bob", "$take", "q", 5.0, 9) == [1, "a", 1, 5.0]
