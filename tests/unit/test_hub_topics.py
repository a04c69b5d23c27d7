"""Topics of the hub: who hears what."""

from __future__ import annotations

import pytest
from hub_desk import Desk

from tincans.core.hub import Limits, Opened
from tincans.core.hub.topics import matcher
from tincans.errors import ArgumentError, FullError

PATTERNS = [
    ("a.b", ["a.b"], ["a", "a.b.c", "a.c", "xa.b"]),
    ("a.*", ["a.b", "a.anything at all"], ["a", "a.b.c"]),
    ("*.b", ["a.b", "z.b"], ["b", "a.a.b", "a.c"]),
    ("a.*.c", ["a.b.c"], ["a.c", "a.b.b.c"]),
    ("a.>", ["a.b", "a.b.c"], ["a", "b.a"]),
    (">", ["a", "a.b.c", "line\nbreak"], []),
    ("*", ["a", "line\nbreak"], ["a.b"]),
    ("a+.*", ["a+.b"], ["aa.b"]),
]


@pytest.mark.parametrize(("pattern", "fitting", "others"), PATTERNS)
def test_a_pattern_fits_just_the_topics_it_describes(pattern: str, fitting: list[str], others: list[str]) -> None:
    desk = Desk()
    ticket = desk.ask("bob", "$subscribe", pattern)
    for topic in fitting + others:
        desk.get("alice", "$publish", topic, topic)
    assert desk.news(ticket) == fitting


@pytest.mark.parametrize("pattern", ["", ".", "a.", ".a", "a..b", "a*", "a.>.b", ">a", "a.b>", 7, None, "x" * 513])
def test_a_bad_pattern_is_refused_and_nothing_is_subscribed(pattern: object) -> None:
    desk = Desk()
    with pytest.raises(ArgumentError):
        desk.get("bob", "$subscribe", pattern)
    assert desk.hub.gone("bob", 0.0) == []


@pytest.mark.parametrize("topic", ["a.*", ">", "", ["a"], None])
def test_news_is_published_to_one_real_topic(topic: object) -> None:
    with pytest.raises(ArgumentError):
        Desk().get("alice", "$publish", topic, 1)


def test_publishing_says_how_many_hear_it() -> None:
    desk = Desk()
    for pattern in ("a.b", "a.*", ">", "z"):
        desk.ask("bob", "$subscribe", pattern)
    assert desk.get("alice", "$publish", "a.b", 1) == 3


def test_every_subscriber_gets_the_very_same_object() -> None:
    desk = Desk()
    one, two = desk.ask("bob", "$subscribe", "a"), desk.ask("eve", "$subscribe", "*")
    value = [1]
    desk.get("alice", "$publish", "a", value)
    assert desk.news(one)[0] is value
    assert desk.news(two)[0] is value


def test_a_subscription_opens_with_its_limit_and_policy() -> None:
    desk = Desk()
    ticket = desk.ask("bob", "$subscribe", "a", 7, "refuse")
    assert desk.seen == [Opened(ticket, 7, "refuse")]


@pytest.mark.parametrize("args", [(0,), (1.5,), (True,), ("9",), (9, "sometimes"), (9, None)])
def test_a_subscription_with_a_bad_limit_or_policy_is_refused(args: tuple[object, ...]) -> None:
    with pytest.raises(ArgumentError):
        Desk().get("bob", "$subscribe", "a", *args)


@pytest.mark.parametrize("pattern", ["a.b", "a.*"])
def test_who_subscribes_after_a_publish_hears_the_next(pattern: str) -> None:
    desk = Desk()
    desk.get("alice", "$publish", "a.b", "before")
    ticket = desk.ask("bob", "$subscribe", pattern)
    desk.get("alice", "$publish", "a.b", "after")
    assert desk.news(ticket) == ["after"]


@pytest.mark.parametrize("pattern", ["a.b", "a.*"])
def test_a_cancelled_subscription_hears_nothing_more_and_others_do(pattern: str) -> None:
    desk = Desk()
    bob, eve = desk.ask("bob", "$subscribe", pattern), desk.ask("eve", "$subscribe", pattern)
    desk.get("alice", "$publish", "a.b", 1)
    desk.cancel(bob)
    desk.get("alice", "$publish", "a.b", 2)
    assert (desk.news(bob), desk.news(eve)) == ([1], [1, 2])


def test_a_lost_connection_ends_all_its_subscriptions() -> None:
    desk = Desk()
    for pattern in ("a", "*", "a"):
        desk.ask("bob", "$subscribe", pattern)
    desk.gone("bob")
    assert desk.get("alice", "$publish", "a", 1) == 0


def test_endless_topics_do_not_use_up_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tincans.core.hub.topics._MOST_FOUND", 100)
    desk = Desk()
    ticket = desk.ask("bob", "$subscribe", "n.*")
    for number in range(1000):
        desk.get("alice", "$publish", f"n.{number}", number)
    assert desk.news(ticket) == list(range(1000))
    assert len(desk.hub.topics._found) <= 100


def test_one_connection_cannot_use_up_the_room_of_others() -> None:
    desk = Desk(limits=Limits(claims=5, claims_of_one=3))
    for _ in range(3):
        desk.ask("bob", "$subscribe", "a")
    with pytest.raises(FullError, match="This connection"):
        desk.get("bob", "$subscribe", "a")
    assert isinstance(desk.hub.request("eve", "e", "$subscribe", ("a",), 0.0)[0], Opened)


def test_a_pattern_without_wildcards_needs_no_matching() -> None:
    assert matcher("a.b.c") is None
