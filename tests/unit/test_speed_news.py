"""The C core's way with news: what it sends and hands on is what the native wire says, and the rest is left alone."""

from __future__ import annotations

import gc
import weakref
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincans.contracts import Note
from tincans.core.messages import Publication, Reply
from tincans.core.streams import Inlet
from tincans.wires.native import WIRE

plain = pytest.importorskip("tincans._speed._core", reason="no C core was built: apt-get install gcc")

SMALL = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=300),
    st.binary(max_size=300),
)
TOPICS = st.text(min_size=1, max_size=7)


class Incoming:
    """A subscriber."""

    def __init__(self, make: Any = None) -> None:
        self.inlet = Inlet()
        self.inlet.make = make


def taken(messages: list[Any], inlets: dict[int, Any]) -> tuple[int, Any, list[Any]]:
    """What take_news says of messages that are here, and whom it touched."""
    waiting = deque(messages)
    touched: list[Any] = []
    count, last = plain.take_news(lambda look: waiting.popleft() if waiting else None, inlets, touched)
    return count, last, touched


@given(st.lists(st.tuples(st.sampled_from([2, 4, 70000]), TOPICS, SMALL), max_size=9))
def test_news_is_handed_on_in_order_to_whom_it_is_for(news: list[tuple[int, str, Any]]) -> None:
    inlets = {id: Incoming() for id in (2, 4, 70000)}
    count, last, touched = taken([plain.publication(*each) for each in news], inlets)
    assert (count, last) == (len(news), None)
    for id, incoming in inlets.items():
        assert list(incoming.inlet.items) == [each for each in news if each[0] == id]
        assert (incoming in touched) == any(each[0] == id for each in news)


def test_a_subscriber_gets_what_it_makes_of_its_news() -> None:
    incoming = Incoming(Note)
    taken([plain.publication(2, "topic", value) for value in (1, "two")], {2: incoming})
    assert list(incoming.inlet.items) == [Note("topic", 1), Note("topic", "two")]


def test_news_that_nobody_wants_any_more_is_passed_over() -> None:
    assert taken([plain.publication(6, "topic", 1)], {}) == (1, None, [])


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"\x94\x08",
        b"\x94\x08\x02\xa1",
        b"\x94\x08\x02\xa5topic",
        plain.reply(1, 5),
        plain.publication(2, "topic", b"x" * 1100),
        plain.publication(2, "topic", 5) + b"\x00",
        plain.publication(2, "topic", 5)[:-1],
        b"\x94\x08\x02\xa1\xff\x05",
        b"\x94\x08\x02\xa1t\xa1\xff",
        WIRE.encode(Publication(2, "topic", 5, 3))[0],
        WIRE.encode(Publication(2, "topic", [1]))[0],
        WIRE.encode(Reply(2, 5))[0],
        [b"two", b"parts"],
    ],
)
def test_the_first_message_that_is_something_else_is_given_back(other: Any) -> None:
    incoming = Incoming()
    news = plain.publication(2, "topic", 1)
    count, last, _ = taken([news, other, news], {2: incoming})
    assert (count, last) == (1, other)
    assert list(incoming.inlet.items) == [(2, "topic", 1)]


@given(st.binary(max_size=40))
def test_garbage_is_never_taken_for_more_than_the_wire_would(data: bytes) -> None:
    data = b"\x94\x08" + data
    incoming = Incoming()
    count, last, _ = taken([data], dict.fromkeys(range(128), incoming))
    if count == 0:
        assert last == data
        return
    message: Any = WIRE.decode([data])
    value = WIRE.reader(Any)(message.value, message)
    for found in incoming.inlet.items:
        assert found[:2] == (message.id, message.topic) and (found[2] == value or value != value)


def test_what_fails_on_the_way_is_raised_and_who_got_something_is_known() -> None:
    def receive(look: bool) -> bytes:
        if look:
            return plain.publication(2, "topic", 1)
        raise ConnectionError("gone")

    touched: list[Any] = []
    incoming = Incoming()
    with pytest.raises(ConnectionError):
        plain.take_news(receive, {2: incoming}, touched)
    assert touched == [incoming] and len(incoming.inlet.items) == 1


class Ring:
    """What a tap's connection owes."""

    owed = False


class Bench:
    """A tap with what is around it."""

    def __init__(self, credit: int = 5, *, sends: Any = True) -> None:
        self.sent: list[bytes] = []
        self.slow: list[tuple[str, Any]] = []
        self.posted: deque[Any] = deque()
        self.ring = Ring()
        self.sends = sends
        self.tap = plain.Tap(7, self._send, (self.posted,), self.ring, self._slowly, self)
        self.tap.credit = credit

    def _send(self, data: bytes) -> bool:
        if self.sends is True:
            self.sent.append(data)
        elif isinstance(self.sends, Exception):
            raise self.sends
        return bool(self.sends)

    def _slowly(self, topic: str, value: Any) -> str:
        self.slow.append((topic, value))
        return "slowly"


@given(TOPICS, SMALL)
def test_a_tap_sends_what_the_wire_reads(topic: str, value: Any) -> None:
    bench = Bench()
    assert bench.tap.push(topic, value) is None
    message: Any = WIRE.decode(bench.sent)
    assert (message.id, message.topic, WIRE.reader(Any)(message.value, message)) == (7, topic, value)
    assert bench.tap.credit == 4 and not bench.slow


def test_a_tap_says_when_the_credit_is_used_up() -> None:
    bench = Bench(credit=2)
    assert bench.tap.push("t", 1) is None
    assert bench.tap.push("t", 2) is bench
    assert bench.tap.push("t", 3) == "slowly"
    assert len(bench.sent) == 2 and bench.slow == [("t", 3)]


@pytest.mark.parametrize("value", [[1], (), b"x" * 1025, "x" * 1025, 2**64, "\ud800", 1j, bytearray(b"x")])
def test_a_tap_leaves_what_is_large_or_not_plain_to_the_slow_way(value: Any) -> None:
    bench = Bench()
    assert bench.tap.push("t", value) == "slowly"
    assert not bench.sent and bench.tap.credit == 5


def test_a_tap_overtakes_nothing() -> None:
    bench = Bench()
    bench.posted.append("something")
    assert bench.tap.push("t", 1) == "slowly"
    bench.posted.clear()
    bench.ring.owed = True
    assert bench.tap.push("t", 2) == "slowly"
    bench.ring.owed = False
    assert bench.tap.push("t", 3) is None


@pytest.mark.parametrize("trouble", [False, ConnectionError("gone")])
def test_what_a_tap_could_not_send_goes_the_slow_way(trouble: Any) -> None:
    bench = Bench(sends=trouble)
    assert bench.tap.push("t", 1) == "slowly"
    assert bench.tap.credit == 5


def test_a_tap_gives_its_credit_back_once() -> None:
    bench = Bench()
    assert (bench.tap.take_back(), bench.tap.take_back(), bench.tap.push("t", 1)) == (5, 0, "slowly")


def test_a_tap_in_a_cycle_is_collected() -> None:
    bench = Bench()
    gone = weakref.ref(bench)
    del bench
    gc.collect()
    assert gone() is None


def test_a_tray_gives_what_is_of_its_class_while_there_is_room() -> None:
    tray = plain.Tray(Note)
    items: deque[Any] = deque([Note("t", 1), Note("t", 2), (7, "t", 3), Note("t", 4)])
    assert tray.take() is None
    tray.fill(items, 9)
    assert (tray.take(), tray.take(), tray.take()) == (Note("t", 1), Note("t", 2), None)
    assert items[0] == (7, "t", 3) and tray.room == 7
    items.popleft()
    tray.fill(items, 0)
    assert tray.take() is None
    tray.fill(items, 1)
    assert (tray.take(), tray.take()) == (Note("t", 4), None)


def test_a_tray_takes_only_what_can_be_taken_from() -> None:
    tray = plain.Tray(Note)
    with pytest.raises(AttributeError):
        tray.fill(5, 1)
    with pytest.raises(TypeError):
        tray.fill(deque(), "one")
    with pytest.raises(TypeError):
        plain.Tray(5)
