"""Values of the hub: what is kept, who is told."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from hub_desk import Desk

from tincans.core.hub import Limits, Opened
from tincans.errors import ArgumentError, FullError


def test_a_value_comes_back_with_its_version() -> None:
    desk = Desk()
    assert desk.get("alice", "$set", "mood", "good") == 1
    assert desk.get("alice", "$set", "mood", "better") == 2
    assert desk.get("bob", "$get", "mood") == [2, "better"]


def test_a_key_without_a_value_is_none() -> None:
    assert Desk().get("bob", "$get", "mood") is None


def test_none_is_a_value() -> None:
    desk = Desk()
    desk.get("alice", "$set", "mood", None)
    assert desk.get("bob", "$get", "mood") == [1, None]


def test_deleting_says_whether_there_was_a_value() -> None:
    desk = Desk()
    desk.get("alice", "$set", "mood", "good")
    assert [desk.get("bob", "$delete", "mood"), desk.get("bob", "$delete", "mood")] == [True, False]
    assert desk.get("bob", "$get", "mood") is None


def test_versions_grow_by_one_also_across_a_delete() -> None:
    desk = Desk()
    desk.get("alice", "$set", "mood", "good")
    desk.get("alice", "$delete", "mood")
    assert desk.get("alice", "$set", "mood", "new") == 3


def test_a_forgotten_key_never_gets_a_version_twice() -> None:
    desk = Desk(limits=Limits(deleted_keys=1))
    for _ in range(5):
        desk.get("alice", "$set", "a", 1)
    desk.get("alice", "$delete", "a")
    desk.get("alice", "$set", "b", 1)
    desk.get("alice", "$delete", "b")  # one too many: `a` is forgotten
    assert desk.get("alice", "$set", "a", 1) == 7
    assert desk.get("alice", "$set", "b", 1) == 3


def test_forgetting_a_key_of_few_changes_does_not_bring_old_versions_back() -> None:
    desk = Desk(limits=Limits(deleted_keys=0))
    for _ in range(5):
        desk.get("alice", "$set", "a", 1)
    desk.get("alice", "$set", "b", 1)
    for key in "ab":
        desk.get("alice", "$delete", key)
    assert desk.get("alice", "$set", "a", 1) == 7


def test_keys_are_listed_by_prefix_in_order() -> None:
    desk = Desk()
    for key in ("b.2", "a.1", "b.1"):
        desk.get("alice", "$set", key, 0)
    assert desk.get("bob", "$keys", "b.") == ["b.1", "b.2"]
    assert desk.get("bob", "$keys") == ["a.1", "b.1", "b.2"]


def test_a_watch_begins_with_the_present_value_and_tells_each_change() -> None:
    desk = Desk()
    desk.get("alice", "$set", "mood", "good")
    ticket = desk.ask("bob", "$watch", "mood")
    desk.get("alice", "$set", "mood", "bad")
    desk.get("alice", "$delete", "mood")
    assert Opened(ticket, 1, "drop_oldest") in desk.seen
    assert desk.news(ticket) == [[1, "good", False], [2, "bad", False], [3, None, True]]


def test_a_watch_of_a_key_without_a_value_begins_with_nothing() -> None:
    desk = Desk()
    assert desk.news(desk.ask("bob", "$watch", "mood")) == []


def test_a_watch_hears_of_no_other_key() -> None:
    desk = Desk()
    ticket = desk.ask("bob", "$watch", "mood")
    desk.ask("bob", "$watch", "moods")
    desk.get("alice", "$set", "moods", 1)
    assert desk.news(ticket) == []


@pytest.mark.parametrize("how", ["cancel", "gone"])
def test_an_ended_watch_hears_nothing_more(how: str) -> None:
    desk = Desk()
    ticket = desk.ask("bob", "$watch", "mood")
    desk.cancel(ticket) if how == "cancel" else desk.gone("bob")
    desk.get("alice", "$set", "mood", 1)
    assert desk.news(ticket) == []


@pytest.mark.parametrize("value", [True, 1, "on", None])
def test_a_wait_ends_when_the_value_comes(value: Any) -> None:
    desk = Desk()
    ticket = desk.ask("bob", "$wait", "flag", value)
    desk.get("alice", "$set", "flag", "something else")
    assert desk.waits(ticket)
    desk.get("alice", "$set", "flag", value)
    assert desk.value(ticket) is True


def test_a_wait_for_the_present_value_ends_at_once() -> None:
    desk = Desk()
    desk.get("alice", "$set", "flag", True)
    assert desk.get("bob", "$wait", "flag", True) is True


def test_a_missing_key_counts_as_false() -> None:
    desk = Desk()
    assert desk.get("bob", "$wait", "flag", False) is True
    desk.get("alice", "$set", "flag", True)
    ticket = desk.ask("bob", "$wait", "flag", False)
    assert desk.waits(ticket)
    desk.get("alice", "$delete", "flag")
    assert desk.value(ticket) is True


def test_one_is_not_true() -> None:
    desk = Desk()
    ticket = desk.ask("bob", "$wait", "flag", True)
    desk.get("alice", "$set", "flag", 1)
    assert desk.waits(ticket)


def test_an_array_is_never_compared() -> None:
    desk = Desk()
    ticket = desk.ask("bob", "$wait", "flag", True)
    desk.get("alice", "$set", "flag", numpy.array([1, 2]))
    assert desk.waits(ticket)


@pytest.mark.parametrize("value", [1.5, [1], b"x", (1,)])
def test_only_simple_values_can_be_waited_for(value: Any) -> None:
    with pytest.raises(ArgumentError, match="watch the key"):
        Desk().get("bob", "$wait", "flag", value)


def test_a_wait_is_answered_once() -> None:
    desk = Desk()
    ticket = desk.ask("bob", "$wait", "flag", True)
    for value in (True, False, True):
        desk.get("alice", "$set", "flag", value)
    assert desk.value(ticket) is True  # Desk.answer checks that there is one answer only


@pytest.mark.parametrize("how", ["cancel", "gone"])
def test_an_ended_wait_is_not_answered(how: str) -> None:
    desk = Desk()
    ticket = desk.ask("bob", "$wait", "flag", True)
    desk.cancel(ticket) if how == "cancel" else desk.gone("bob")
    desk.get("alice", "$set", "flag", True)
    assert desk.waits(ticket)


def test_the_number_of_keys_is_bounded_and_a_present_key_may_still_change() -> None:
    desk = Desk(limits=Limits(keys=1))
    desk.get("alice", "$set", "a", 1)
    with pytest.raises(FullError):
        desk.get("alice", "$set", "b", 1)
    assert desk.get("alice", "$set", "a", 2) == 2


@pytest.mark.parametrize("name", ["$get", "$delete", "$watch"])
@pytest.mark.parametrize("key", ["", None, 5, "k" * 513])
def test_a_bad_key_is_refused(name: str, key: object) -> None:
    with pytest.raises(ArgumentError):
        Desk().get("bob", name, key)
