"""News between a publisher and subscribers who are slower or quicker: nothing overtaken, nothing lost that has room."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import tincans
from tincans.conformance.patience import eventually
from tincans.core.streams import NEWS_WINDOW, WINDOW, Inlet
from tincans.pump.flows import SMALL_VALUE

LARGE = bytes(SMALL_VALUE + 1)


@pytest.fixture(params=["local", "unix"])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[tincans.Server, tincans.Peer[Any]]]:
    with tincans.serve(f"{request.param}:news-{uuid.uuid4().hex[:8]}") as server, tincans.connect(server.url) as peer:
        yield server, peer


def heard(messages: Any, count: int) -> list[Any]:
    return [messages.receive(timeout=20).value for _ in range(count)]


def test_a_publisher_gives_way_to_a_subscriber_that_is_slower(both: Any) -> None:
    server, peer = both
    with peer.subscribe("news", on_full="wait") as messages, ThreadPoolExecutor(1) as pool:
        count = 30 * NEWS_WINDOW
        told = pool.submit(heard, messages, count)
        for number in range(count):
            server.publish("news", number)
        assert told.result(60) == list(range(count)) and messages.dropped == 0


def test_a_subscriber_that_takes_nothing_holds_its_publisher_up_once(both: Any) -> None:
    server, peer = both
    with peer.subscribe("news"):
        began = time.monotonic()
        for number in range(4 * NEWS_WINDOW):
            server.publish("news", number)
        assert time.monotonic() - began < 2  # 0.002 s each would be 6


def test_small_and_large_values_stay_in_order_and_none_waits_for_credit_that_never_comes(both: Any) -> None:
    server, peer = both
    values = [[number] if number % 7 == 0 else LARGE if number % 3 == 0 else number for number in range(3000)]
    with peer.subscribe("news") as messages, ThreadPoolExecutor(1) as pool:
        told = pool.submit(heard, messages, len(values))
        for value in values:
            server.publish("news", value)
        assert told.result(60) == values


def test_large_values_go_on_after_many_small_ones(both: Any) -> None:
    server, peer = both
    with peer.subscribe("news") as messages:
        for _ in range(3):
            for number in range(NEWS_WINDOW - WINDOW - 10):
                server.publish("news", number)
            assert len(heard(messages, NEWS_WINDOW - WINDOW - 10)) == NEWS_WINDOW - WINDOW - 10
            for _ in range(2 * WINDOW):
                server.publish("news", LARGE)
            assert heard(messages, 2 * WINDOW) == [LARGE] * (2 * WINDOW)


def test_what_a_slow_subscriber_lost_is_counted_and_the_rest_is_in_order(both: Any) -> None:
    server, peer = both
    count = 4 * NEWS_WINDOW
    with peer.subscribe("news", limit=100) as messages:
        for number in range(count):
            server.publish("news", number)
        notes = [messages.receive(timeout=20)]
        while notes[-1].value != count - 1:
            notes.append(messages.receive(timeout=20))
        assert [note.value for note in notes] == sorted(note.value for note in notes)
        assert sum(note.missed for note in notes) == count - len(notes) == messages.dropped > 0
        server.publish("news", "more")
        assert messages.receive(timeout=20) == tincans.Note("news", "more")


def test_two_publishers_are_heard_by_all_subscribers_each_in_its_order(both: Any) -> None:
    server, peer = both
    with peer.subscribe("n.*") as first, peer.subscribe("n.>") as second, ThreadPoolExecutor(4) as pool:
        told = [pool.submit(heard, messages, 4000) for messages in (first, second)]

        def publish(name: int) -> None:
            for number in range(2000):
                server.publish("n.x", [name, number] if number % 50 == 0 else 10_000 * name + number)

        done = [pool.submit(publish, name) for name in (1, 2)]
        assert not any(each.result(60) for each in done)
        for each in told:
            numbers = [10_000 * v[0] + v[1] if type(v) is list else v for v in each.result(60)]
            for name in (1, 2):
                assert [n for n in numbers if n // 10_000 == name] == list(range(10_000 * name, 10_000 * name + 2000))


def test_news_reaches_a_thread_while_another_one_reads_for_it(both: Any) -> None:
    server, peer = both
    server.expose(lambda: 7, name="seven")
    with peer.subscribe("a") as first, peer.subscribe("b") as second, ThreadPoolExecutor(2) as pool:
        told = [pool.submit(heard, messages, 3000) for messages in (first, second)]
        for number in range(3000):
            server.publish("a", number)
            server.publish("b", -number)
            if number % 100 == 0:
                assert peer.call.seven() == 7
        assert told[0].result(60) == list(range(3000)) and told[1].result(60) == [-n for n in range(3000)]


def test_a_closed_subscription_gives_nothing_any_more_even_when_something_is_here(both: Any) -> None:
    server, peer = both
    with peer.subscribe("news") as messages:
        for number in range(10):
            server.publish("news", number)
        assert messages.receive(timeout=20).value == 0
        messages.close()
        with pytest.raises(tincans.ClosedError):
            messages.receive(timeout=1)


def test_a_request_behind_news_is_served_while_its_reader_is_busy(both: Any) -> None:
    server, peer = both
    called = threading.Event()
    peer.expose(called.set, name="ring")
    server.expose(lambda: tincans.caller().call.ring(), name="call_back")
    with peer.subscribe("news") as messages:
        stop, numbers = threading.Event(), itertools.count()

        def publish() -> None:
            while not stop.is_set():
                server.publish("news", next(numbers))

        with ThreadPoolExecutor(2) as pool:
            pool.submit(publish)
            try:
                heard(messages, 2000)
                pool.submit(lambda: peer.call.call_back())
                eventually(called.is_set)
            finally:
                stop.set()


def test_what_is_owed_is_granted_sooner_when_something_large_came() -> None:
    inlet = Inlet(NEWS_WINDOW)
    for number in range(WINDOW):
        inlet.add(number)
        inlet.next()
    assert inlet.owed() == 0 and inlet.is_behind()
    inlet.hurry()
    assert inlet.owed() == WINDOW and not inlet.is_behind()
