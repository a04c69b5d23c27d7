"""The hub's door: requests that are wrong, claims that run over, departures."""

from __future__ import annotations

import pytest
from hub_desk import Desk

from tincans.core.hub import Done, Failed, Hub, Limits
from tincans.errors import ArgumentError, FullError, NotExposedError, ProtocolError


@pytest.mark.parametrize("name", ["$putt", "put", "", "$", None, 5, "$" * 10_000])
def test_an_unknown_name_is_refused_with_the_known_ones(name: object) -> None:
    (outcome,) = Hub().request("bob", 1, name, (), 0.0)  # type: ignore[arg-type]
    assert isinstance(outcome, Failed) and isinstance(outcome.error, NotExposedError)
    assert "$publish" in str(outcome.error) and len(str(outcome.error)) < 500


def test_a_misspelt_name_gets_a_hint() -> None:
    with pytest.raises(NotExposedError, match=r"Did you mean \$subscribe"):
        Desk().get("bob", "$subscibe", "a")


@pytest.mark.parametrize("name", Hub().names)
@pytest.mark.parametrize("count", [0, 9])
def test_every_name_checks_how_many_arguments_it_gets(name: str, count: int) -> None:
    if name == "$keys" and count == 0:
        count = 2
    with pytest.raises(ArgumentError, match="takes"):
        Desk().get("bob", name, *["x"] * count)


def test_a_ticket_that_still_holds_something_cannot_be_used_again() -> None:
    hub = Hub()
    hub.request("bob", "t", "$acquire", ("lock", 1), 0.0)
    (outcome,) = hub.request("bob", "t", "$acquire", ("other", 1), 0.0)
    assert isinstance(outcome, Failed) and isinstance(outcome.error, ProtocolError)
    assert hub.request("eve", "e", "$acquire", ("other", 1), 0.0) == [Done("e", 2)]


WAITS = [
    ("$take", ("q", 5.0, 1)),
    ("$wait", ("flag", True)),
    ("$watch", ("key",)),
    ("$subscribe", ("topic",)),
    ("$acquire", ("lock", 1)),
]


@pytest.mark.parametrize(("name", "args"), WAITS)
def test_waits_and_streams_are_bounded(name: str, args: tuple[object, ...]) -> None:
    desk = Desk(limits=Limits(claims=3))
    for owner in "abc":
        desk.ask(owner, name, *args)
    with pytest.raises(FullError, match="already holds 3"):
        desk.get("d", name, *args)


def test_waiting_puts_are_bounded() -> None:
    desk = Desk(limits=Limits(claims=2))
    desk.get("a", "$put", "q", 1)
    for _ in range(2):
        desk.ask("a", "$put", "q", 2, 1, "wait")
    with pytest.raises(FullError):
        desk.get("a", "$put", "q", 3, 1, "wait")


@pytest.mark.parametrize("how", ["cancel", "gone"])
def test_what_ended_leaves_nothing_behind(how: str) -> None:
    desk = Desk()
    tickets = [desk.ask("bob", name, *args) for name, args in WAITS]
    desk.get("alice", "$put", "full", 1)
    tickets.append(desk.ask("bob", "$put", "full", 2, 1, "wait"))
    if how == "gone":
        desk.gone("bob")
    else:
        for ticket in tickets:
            desk.cancel(ticket)
    hub = desk.hub
    assert (len(hub._claims), hub.topics._exact, hub._values._watching, hub._locks._held) == (0, {}, {}, {})
    assert hub.next_deadline() is None
    assert how == "cancel" or "bob" not in hub._claims._by_owner


def test_a_connection_that_never_asked_may_go() -> None:
    assert Hub().gone("stranger", 0.0) == []


def test_a_hub_that_keeps_nothing_notes_nothing() -> None:
    desk = Desk()
    desk.get("alice", "$put", "q", 1)
    desk.get("alice", "$set", "key", 1)
    assert desk.changes() == []
