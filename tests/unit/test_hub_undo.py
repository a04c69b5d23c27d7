"""A hub whose changes cannot be written: the caller is told, and nothing has happened."""

from __future__ import annotations

from typing import Any

import pytest
from hub_desk import Desk

from tincans.core.hub import Done, Failed, JobPut, Kept, Limits, ValueDeleted, ValueSet
from tincans.errors import KeepError

ERROR = KeepError("the disk is full")


def kept_desk(*values: Any, limits: Limits | None = None) -> Desk:
    """A desk with a keeping hub whose queue "q" holds these jobs, all written down."""
    desk = Desk(Kept(run=0), limits)
    for value in values:
        desk.get("alice", "$put", "q", value)
    desk.changes()
    return desk


def fail(desk: Desk, owner: str, name: str, *args: Any) -> list[Any]:
    """Ask, and let the writing fail; the outcomes to deliver instead."""
    desk.ticket += 1
    outcomes = desk.hub.request(owner, desk.ticket, name, args, desk.now)
    assert desk.changes()
    return desk.hub.undo(ERROR, outcomes)


def test_a_put_that_cannot_be_kept_is_not_put() -> None:
    desk = kept_desk()
    assert fail(desk, "alice", "$put", "q", "x") == [Failed(1, ERROR)]
    assert desk.get("bob", "$count", "q") == 0


def test_a_put_with_a_delay_that_cannot_be_kept_is_not_put() -> None:
    desk = kept_desk()
    fail(desk, "alice", "$put", "q", "x", None, "wait", 5.0)
    assert (desk.get("bob", "$count", "q"), desk.hub.next_deadline()) == (0, None)


def test_a_put_that_cannot_be_kept_reaches_no_waiting_taker() -> None:
    desk = kept_desk()
    first, second = desk.ask("bob", "$take", "q", 5.0, 1), desk.ask("eve", "$take", "q", 5.0, 1)
    outcomes = fail(desk, "alice", "$put", "q", "x")
    assert outcomes == [Failed(3, ERROR), Failed(first, ERROR)]
    desk.get("alice", "$put", "q", "y")
    assert desk.value(second)[1] == "y"


def test_a_take_that_cannot_be_kept_leaves_the_job_in_its_place() -> None:
    desk = kept_desk("a", "b")
    assert fail(desk, "bob", "$take", "q", 5.0, 1) == [Failed(3, ERROR)]
    assert (len(desk.hub._claims), desk.hub.next_deadline()) == (0, None)
    assert [desk.get("bob", "$take", "q", 5.0, 1)[1:3] for _ in range(2)] == [["a", 1], ["b", 1]]


def test_an_acknowledgement_that_cannot_be_kept_leaves_the_lease() -> None:
    desk = kept_desk("a")
    desk.get("bob", "$take", "q", 5.0, 1)
    desk.changes()
    assert fail(desk, "bob", "$ack", "q", 1) == [Failed(3, ERROR)]
    assert desk.hub.next_deadline() == 5.0
    desk.get("bob", "$ack", "q", 1)


def test_a_job_that_cannot_be_given_back_for_later_stays_on_lease() -> None:
    desk = kept_desk("a")
    desk.get("bob", "$take", "q", 5.0, 9)
    desk.changes()
    assert fail(desk, "bob", "$give_back", "q", 1, 60.0) == [Failed(3, ERROR)]
    assert [desk.get("bob", "$count", "q", what) for what in ("leased", "delayed")] == [1, 0]
    desk.get("bob", "$ack", "q", 1)


def test_a_job_that_cannot_be_buried_stays_on_lease_as_it_was() -> None:
    desk = kept_desk("a")
    desk.get("bob", "$take", "q", 5.0, 1)
    desk.changes()
    fail(desk, "bob", "$give_back", "q", 1)
    assert [desk.get("bob", "$count", "q.dead"), desk.get("bob", "$count", "q", "leased")] == [0, 1]
    desk.get("bob", "$give_back", "q", 1)
    assert desk.get("bob", "$take", "q.dead", 5.0, 1)[1]["value"] == "a"


def test_dropped_jobs_come_back_when_the_drop_cannot_be_kept() -> None:
    desk = kept_desk("a", "b")
    fail(desk, "alice", "$put", "q", "c", 1, "drop_oldest")
    assert desk.get("bob", "$count", "q", "dropped") == 0
    assert [desk.get("bob", "$take", "q", 5.0, 1)[1] for _ in range(2)] == ["a", "b"]


def test_a_dead_owners_job_that_cannot_go_on_stays_ready_and_the_waiting_are_told() -> None:
    desk = kept_desk("a")
    desk.get("bob", "$take", "q", 5.0, 9)
    waits = [desk.ask(owner, "$take", "q", 5.0, 9) for owner in ("eve", "dan")]
    desk.changes()
    outcomes = desk.hub.gone("bob", 0.0)
    desk.changes()
    assert desk.hub.undo(ERROR, outcomes) == [Failed(ticket, ERROR) for ticket in waits]
    assert desk.get("eve", "$take", "q", 5.0, 9)[1:3] == ["a", 2]


def test_a_dead_owners_lock_goes_on_although_its_jobs_cannot() -> None:
    desk = kept_desk("a")
    desk.get("bob", "$take", "q", 5.0, 1)
    desk.get("bob", "$acquire", "lock", 1)
    ticket = desk.ask("eve", "$acquire", "lock", 1)
    desk.changes()
    outcomes = desk.hub.gone("bob", 0.0)
    desk.changes()
    (granted,) = desk.hub.undo(ERROR, outcomes)
    assert isinstance(granted, Done) and granted.ticket == ticket


def test_a_put_that_waited_for_room_is_refused_when_it_cannot_be_kept() -> None:
    desk = kept_desk("a")
    ticket = desk.ask("alice", "$put", "q", "b", 1, "wait")
    assert fail(desk, "bob", "$take", "q", 5.0, 1) == [Failed(3, ERROR), Failed(ticket, ERROR)]
    assert desk.get("bob", "$count", "q") == 1


@pytest.mark.parametrize("before", ["nothing", "value", "deleted"])
def test_a_value_that_cannot_be_kept_is_as_before(before: str) -> None:
    desk = kept_desk()
    if before != "nothing":
        desk.get("alice", "$set", "mood", "good")
    if before == "deleted":
        desk.get("alice", "$delete", "mood")
    desk.changes()
    fail(desk, "alice", "$set", "mood", "bad")
    assert desk.get("bob", "$get", "mood") == ([1, "good"] if before == "value" else None)
    assert desk.get("alice", "$set", "mood", "new") == {"nothing": 1, "value": 2, "deleted": 3}[before]


def test_a_delete_that_cannot_be_kept_deletes_nothing() -> None:
    desk = kept_desk(limits=Limits(deleted_keys=0))
    desk.get("alice", "$set", "mood", "good")
    desk.changes()
    fail(desk, "alice", "$delete", "mood")
    assert desk.get("bob", "$get", "mood") == [1, "good"]
    assert desk.get("alice", "$set", "other", 1) == 1


def test_watchers_do_not_hear_of_a_change_that_was_not_kept_and_waits_are_told() -> None:
    desk = kept_desk()
    watch, wait = desk.ask("bob", "$watch", "flag"), desk.ask("bob", "$wait", "flag", True)
    assert fail(desk, "alice", "$set", "flag", True) == [Failed(3, ERROR), Failed(wait, ERROR)]
    desk.get("alice", "$set", "flag", True)
    assert desk.news(watch) == [[1, True, False]]


def test_a_job_number_is_never_used_twice_even_when_its_put_failed() -> None:
    desk = kept_desk()
    fail(desk, "alice", "$put", "q", "x")
    assert desk.get("alice", "$put", "q", "y") == 2


def test_a_later_run_finds_jobs_counted_and_in_order_and_values_with_versions() -> None:
    changes = [ValueSet("a", 4, "x"), ValueDeleted("b", 9), JobPut(3, "q", "fresh"), JobPut(4, "q", "seen", 2)]
    desk = Desk(Kept(run=1, changes=changes, floor=20))
    assert [desk.get("bob", "$take", "q", 5.0, 9)[1:3] for _ in range(2)] == [["seen", 3], ["fresh", 1]]
    assert desk.get("bob", "$get", "a") == [4, "x"]
    assert [desk.get("bob", "$set", key, 0) for key in "abc"] == [5, 10, 21]


def test_a_later_run_gives_higher_numbers_to_new_jobs() -> None:
    early = Desk(Kept(run=1))
    number = early.get("alice", "$put", "q", 1)
    assert Desk(Kept(run=2)).get("alice", "$put", "q", 1) > number


def test_a_delay_goes_on_in_the_next_run() -> None:
    desk = Desk(Kept(run=1, changes=[JobPut(1, "q", "x", delay=5.0)]))
    ticket = desk.ask("bob", "$take", "q", 5.0, 9)
    desk.advance(4.9)
    assert desk.waits(ticket)
    desk.advance(0.2)
    assert desk.value(ticket)[1] == "x"


def test_a_job_that_used_up_its_deliveries_before_a_restart_is_buried() -> None:
    desk = Desk(Kept(run=1, changes=[JobPut(1, "q", "x", deliveries=3)]))
    assert desk.waits(desk.ask("bob", "$take", "q", 5.0, 3))
    assert "the serving program ended" in desk.get("bob", "$take", "q.dead", 5.0, 3)[1]["reason"]
