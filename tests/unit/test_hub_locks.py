"""Locks of the hub: one holder, a fair line, nothing held by the dead."""

from __future__ import annotations

import pytest
from hub_desk import Desk

from tincans.core.hub import Kept
from tincans.errors import ArgumentError, LeaseLostError


def test_a_free_lock_is_granted_at_once_with_a_token() -> None:
    assert Desk().get("bob", "$acquire", "update", 1) == 1


def test_the_line_is_served_in_order() -> None:
    desk = Desk()
    desk.get("a", "$acquire", "update", 1)
    second, third = desk.ask("b", "$acquire", "update", 1), desk.ask("c", "$acquire", "update", 1)
    desk.get("a", "$release", "update", 1)
    assert desk.value(second) and desk.waits(third)
    desk.get("b", "$release", "update", 1)
    assert desk.value(third)


def test_tokens_grow_over_all_locks() -> None:
    desk = Desk()
    tokens = [desk.get("a", "$acquire", name, 1) for name in ("x", "y")]
    desk.get("a", "$release", "x", 1)
    tokens.append(desk.get("b", "$acquire", "x", 1))
    assert tokens == sorted(set(tokens))


def test_tokens_of_a_later_run_are_higher_than_all_before() -> None:
    early, late = Desk(Kept(run=1)), Desk(Kept(run=2))
    before = [early.get("a", "$acquire", str(number), 1) for number in range(100)]
    assert late.get("a", "$acquire", "x", 1) > max(before)


def test_a_lock_is_not_reentrant() -> None:
    desk = Desk()
    desk.get("a", "$acquire", "update", 1)
    assert desk.waits(desk.ask("a", "$acquire", "update", 1))


def test_two_holders_of_one_connection_exclude_each_other() -> None:
    desk = Desk()
    desk.get("a", "$acquire", "update", "thread 1")
    assert desk.waits(desk.ask("a", "$acquire", "update", "thread 2"))


@pytest.mark.parametrize(("owner", "holder"), [("b", 1), ("a", 2), ("a", "1")])
def test_only_the_holder_can_release(owner: str, holder: object) -> None:
    desk = Desk()
    desk.get("a", "$acquire", "update", 1)
    with pytest.raises(LeaseLostError):
        desk.get(owner, "$release", "update", holder)
    assert desk.waits(desk.ask("c", "$acquire", "update", 1))


def test_releasing_twice_is_an_error() -> None:
    desk = Desk()
    desk.get("a", "$acquire", "update", 1)
    desk.get("a", "$release", "update", 1)
    with pytest.raises(LeaseLostError, match="released before"):
        desk.get("a", "$release", "update", 1)


def test_the_lock_of_a_lost_connection_goes_to_the_next_in_line() -> None:
    desk = Desk()
    desk.get("a", "$acquire", "update", 1)
    own, other = desk.ask("a", "$acquire", "update", 2), desk.ask("b", "$acquire", "update", 1)
    desk.gone("a")
    assert desk.waits(own) and desk.value(other)


def test_who_gives_up_leaves_the_line() -> None:
    desk = Desk()
    desk.get("a", "$acquire", "update", 1)
    second, third = desk.ask("b", "$acquire", "update", 1), desk.ask("c", "$acquire", "update", 1)
    desk.cancel(second)
    desk.get("a", "$release", "update", 1)
    assert desk.waits(second) and desk.value(third)


def test_a_lock_whose_grant_crossed_a_cancel_is_free_again() -> None:
    desk = Desk()
    ticket = desk.ask("a", "$acquire", "update", 1)
    assert desk.value(ticket)
    desk.cancel(ticket)
    assert desk.get("b", "$acquire", "update", 1)


def test_a_free_lock_takes_no_memory() -> None:
    desk = Desk()
    for number in range(10):
        desk.get("a", "$acquire", str(number), 1)
        desk.get("a", "$release", str(number), 1)
    locks = desk.hub._locks
    assert (len(locks._held), len(locks._lines), len(desk.hub._claims)) == (0, 0, 0)


BAD = [("", 1), (None, 1), ("x", [1]), ("x", None), ("x", ""), ("x", "h" * 513), pytest.param("x", 10**5000, id="huge")]


@pytest.mark.parametrize(("lock", "holder"), BAD)
def test_bad_names_of_locks_and_holders_are_refused(lock: object, holder: object) -> None:
    with pytest.raises(ArgumentError):
        Desk().get("a", "$acquire", lock, holder)
