"""Messages through a ring in shared memory: what goes in comes out, whole, in order, within the limits.

Rules of this file
- Both ends are in this program; `pair` gives them and closes them.
- Waiting, waking and death are in test_ring_waiting.py.
"""

from __future__ import annotations

import array
import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tincans.errors import ProtocolError, TincansError, TooLargeError, UnsendableError

ring = pytest.importorskip("tincans._speed.ring", reason="no C core was built: apt-get install gcc")

SMALL = 4096
NO_ROOM = b"l" * 100
"""A message as long as those that `fill` sends, so that the full ring has no room for it."""
Pair = Callable[..., tuple["ring.Ring", "ring.Ring"]]


@pytest.fixture
def pair() -> Iterator[Pair]:
    opened = []

    def open_pair(capacity: int = SMALL, **settings: float) -> tuple[ring.Ring, ring.Ring]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            client = ring.offer(ours, capacity=capacity, **settings)
            server = ring.accept(theirs, **settings)
        opened.extend((client, server))
        return client, server

    yield open_pair
    for end in opened:
        end.close()


def in_background(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Run `work` in a thread; the list gets its result or its exception."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


@pytest.mark.parametrize("sizes", [[0], [1], [7], [8], [9], [0, 0, 0], [3, 0, 5], [1000, 1, 900], [2] * 20])
def test_parts_arrive_as_they_were_sent(pair: Pair, sizes: list[int]) -> None:
    client, server = pair()
    parts = [bytes([65 + index % 26]) * size for index, size in enumerate(sizes)]
    assert client.send(parts, 1.0) is True
    assert server.receive(1.0) == parts


def test_both_directions_work_at_once(pair: Pair) -> None:
    client, server = pair()
    client.send([b"to the server"], 1.0)
    server.send([b"to the client"], 1.0)
    assert (client.receive(1.0), server.receive(1.0)) == ([b"to the client"], [b"to the server"])


@pytest.mark.parametrize("size", [SMALL // 2, SMALL, SMALL + 1, 10 * SMALL + 3, 3_000_000])
def test_a_message_of_any_size_passes_through_a_small_ring(pair: Pair, size: int) -> None:
    client, server = pair()
    part = random.Random(size).randbytes(size)
    thread, results = in_background(lambda: client.send([b"head", part], 10.0))
    assert server.receive(10.0) == [b"head", part]
    thread.join(10)
    assert results == [True]


def test_ten_thousand_messages_arrive_in_order(pair: Pair) -> None:
    client, server = pair()
    sizes = [random.Random(number).choice((1, 20, 100, 3000, 9000)) for number in range(10_000)]

    def send_all() -> None:
        for number, size in enumerate(sizes):
            assert client.send([number.to_bytes(4, "big"), b"x" * size], 10.0)

    thread, results = in_background(send_all)
    for number, size in enumerate(sizes):
        head, tail = server.receive(10.0)
        assert (int.from_bytes(head, "big"), len(tail)) == (number, size)
    thread.join(10)
    assert results == [None]


@pytest.mark.parametrize("part", [bytearray(b"abcd"), memoryview(b"abcd"), array.array("B", b"abcd")])
def test_any_contiguous_buffer_is_a_part(pair: Pair, part: object) -> None:
    client, server = pair()
    client.send((part,), 1.0)
    assert server.receive(1.0) == [b"abcd"]


@pytest.mark.parametrize("parts", [[], ["text"], [b"ok", 5], [memoryview(b"abcdef")[::2]], [b""] * 70_000, 5])
def test_what_is_not_a_list_of_buffers_is_refused(pair: Pair, parts: object) -> None:
    client, server = pair()
    with pytest.raises((UnsendableError, TypeError)):
        client.send(parts, 1.0)
    client.send([b"after"], 1.0)
    assert server.receive(1.0) == [b"after"]


def test_a_message_over_our_limit_is_not_sent_at_all(pair: Pair) -> None:
    client, server = pair()
    client.max_message = 10
    with pytest.raises(TooLargeError, match=r"11 bytes.*10"):
        client.send([b"x" * 6, b"x" * 5], 1.0)
    client.send([b"x" * 10], 1.0)
    assert server.receive(1.0) == [b"x" * 10]


def test_a_message_over_the_receivers_limit_breaks_the_connection(pair: Pair) -> None:
    client, server = pair()
    server.max_message = 10
    client.send([b"x" * 6, b"x" * 5], 1.0)
    with pytest.raises(ProtocolError, match="limit of 10"):
        server.receive(1.0)


def fill(end: ring.Ring) -> int:
    """How many messages of 100 bytes fit until the ring is full."""
    count = 0
    while end.send([b"%100d" % count], 0.0):
        count += 1
    return count


def test_a_full_ring_refuses_at_once_and_loses_nothing(pair: Pair) -> None:
    client, server = pair()
    count = fill(client)
    assert 30 < count < 42
    for number in range(count):
        assert server.receive(0.0) == [b"%100d" % number]
    assert server.receive(0.0) is None


def test_a_refused_message_can_be_sent_again(pair: Pair) -> None:
    client, server = pair()
    count = fill(client)
    assert client.send([NO_ROOM], 0.01) is False
    assert client.flush(0.0) is True
    for _ in range(count):
        server.receive(0.0)
    assert client.send([NO_ROOM], 0.0) is True
    assert server.receive(0.0) == [NO_ROOM]


def test_a_timeout_in_the_middle_keeps_the_rest(pair: Pair) -> None:
    client, server = pair()
    long = random.Random(1).randbytes(20_000)
    assert client.send([long, b"tail"], 0.0) is True
    assert client.flush(0.0) is False
    assert client.send([b"not yet"], 0.0) is False
    assert server.receive(0.0) is None
    thread, results = in_background(lambda: client.flush(10.0))
    assert server.receive(10.0) == [long, b"tail"]
    thread.join(10)
    assert results == [True]


def test_a_later_message_goes_behind_the_kept_rest(pair: Pair) -> None:
    client, server = pair()
    long = bytes(range(256)) * 100
    client.send([long], 0.0)
    thread, results = in_background(lambda: client.send([b"second"], 10.0))
    assert [server.receive(10.0), server.receive(10.0)] == [[long], [b"second"]]
    thread.join(10)
    assert results == [True]


def test_a_buffer_may_be_changed_after_send_kept_a_rest(pair: Pair) -> None:
    client, server = pair()
    long = bytearray(b"a" * 20_000)
    client.send([long], 0.0)
    long[:] = b"b" * 20_000
    thread, _ = in_background(lambda: client.flush(10.0))
    assert server.receive(10.0) == [b"a" * 20_000]
    thread.join(10)


def test_a_list_that_its_own_parts_shorten_is_refused(pair: Pair) -> None:
    client, server = pair()
    parts: list[object] = []

    class Shortening:
        def __buffer__(self, flags: int) -> memoryview:  # asked from Python 3.12 on; before, it is no buffer
            parts.clear()
            return memoryview(b"x")

    parts.extend([Shortening(), b"y" * 50, b"z"])
    with pytest.raises(UnsendableError):
        client.send(parts, 1.0)
    client.send([b"after"], 1.0)
    assert server.receive(1.0) == [b"after"]


def test_what_is_here_is_received_without_asking_for_a_bell(pair: Pair) -> None:
    client, server = pair()
    assert server.receive_here(True) is None
    client.send([b"one"], 1.0)
    client.send([b"two", b"parts"], 1.0)
    assert server.receive_here(False) is None  # the last look was before
    assert server.receive_here(True) == b"one"
    client.send([b"three"], 1.0)
    assert server.receive_here(False) == [b"two", b"parts"]
    assert server.receive_here(False) is None
    assert server.receive_here(True) == b"three"
    server.close()
    with pytest.raises(TincansError):
        server.receive_here(True)


@pytest.mark.parametrize("capacity", [0, -1, 100, 4095, 6000, 2**31, 2**70])
def test_a_wrong_capacity_is_refused_with_what_is_right(capacity: int) -> None:
    with pytest.raises(TincansError, match="power of two from 4096"):
        ring.Ring.create(capacity)


def test_the_limits_are_told(pair: Pair) -> None:
    client, server = pair(capacity=8192, max_message=77, spin=10e-6)
    assert (client.capacity, server.max_message) == (8192, 77)
    assert client.spin in (0.0, 10e-6)  # 0 with one CPU
