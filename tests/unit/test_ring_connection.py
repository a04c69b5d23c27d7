"""Messages through a ring, with the memory of large parts beside it: in their places, and a peer that is believed in
nothing."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE, open_descriptors

from tincans.core.framing import FRAMES, Passed
from tincans.errors import FullError, ProtocolError, TooLargeError, WaitTimeoutError
from tincans.toolkit.descriptor_passing import DescriptorPassing
from tincans.toolkit.live_memory import segment_of
from tincans.toolkit.memory_pool import POOL
from tincans.toolkit.sealed_memory import frozen_copy, share
from tincans.toolkit.unix_stream import UnixStream

ring = pytest.importorskip("tincans._speed.ring", reason="no C core was built: apt-get install gcc")

from tincans.toolkit.ring_connection import RingConnection  # noqa: E402 - it needs the C core

MEBI = 1 << 20
CAPACITY = 64 * 1024
Pair = tuple[RingConnection, RingConnection]


def connected(*, passing: bool = True, capacity: int = CAPACITY) -> Pair:
    ours, theirs = socket.socketpair()
    client, server = ring.offer(ours, capacity=capacity), ring.accept(theirs)
    beside = DescriptorPassing(trusted=True) if passing else None
    here, there = (
        RingConnection(end, UnixStream(stream, FRAMES, passing=beside), max_message=1 << 30)
        for end, stream in ((client, ours), (server, theirs))
    )
    return here, there


@pytest.fixture
def pair() -> Iterator[Pair]:
    POOL.clear()
    ends = connected()
    yield ends
    for end in ends:
        end.close()
    POOL.clear()


def trip(pair: Pair, *parts: Any) -> list[Any]:
    pair[0].send(list(parts), timeout=PATIENCE)
    received = pair[1].receive(timeout=PATIENCE)
    assert received is not None
    return received


def test_large_parts_come_as_memory_in_their_places(pair: Pair) -> None:
    parts = [b"envelope", b"a" * 10, b"b" * MEBI, b"", b"c" * (2 * MEBI), b"d"]
    received = trip(pair, *parts)
    assert [bytes(part) for part in received] == parts
    assert [segment_of(part) is not None for part in received] == [False, False, True, False, True, False]


def test_memory_that_is_passed_again_and_again_is_not_copied_and_waits_when_the_socket_is_full(pair: Pair) -> None:
    held = POOL.take(MEBI, writable=False)
    array = np.asarray(held)
    array[:] = 7
    sent, in_use = 0, POOL.in_use()
    with pytest.raises(WaitTimeoutError):
        while True:
            pair[0].send([b"envelope %d" % sent, array], timeout=0)
            sent += 1
    assert sent > 20  # as many as the socket or the ring takes
    assert POOL.in_use() == in_use
    for number in range(sent):
        received = pair[1].receive(timeout=PATIENCE)
        assert received is not None
        assert bytes(received[0]) == b"envelope %d" % number
        assert (len(received[1]), received[1][-1]) == (MEBI, 7)
    assert pair[1].receive(timeout=0) is None
    assert trip(pair, b"envelope", array)[0] == b"envelope"


@pytest.mark.parametrize("parts", [[b""], [b"", b"x"], [b"", b"x" * MEBI], [b"", b"", b""]])
def test_a_message_that_begins_with_nothing_is_a_message(pair: Pair, parts: list[bytes]) -> None:
    assert [bytes(part) for part in trip(pair, *parts)] == parts


def test_without_passing_large_parts_go_through_the_ring() -> None:
    here, there = connected(passing=False, capacity=4 * MEBI)
    assert [bytes(part) for part in trip((here, there), b"envelope", b"x" * MEBI)] == [b"envelope", b"x" * MEBI]
    here.close()
    there.close()


def test_what_is_shared_does_not_count_against_the_limit_and_the_rest_does(pair: Pair) -> None:
    pair[0].max_message = pair[1].max_message = MEBI
    array = np.ones(MEBI)
    assert np.frombuffer(trip(pair, b"envelope", array.data)[1]).sum() == MEBI
    with pytest.raises(TooLargeError):
        pair[0].send([b"x" * (MEBI + 1), array.data], timeout=1)
    assert trip(pair, b"next") == [b"next"]


def fill(pair: Pair) -> int:
    """Messages until the ring has no room; how many."""
    count = 0
    with pytest.raises(WaitTimeoutError):
        while True:
            pair[0].send([b"s"], timeout=0)
            count += 1
    return count


def test_a_message_whose_memory_has_left_follows_when_the_ring_has_room_and_before_anything_else(pair: Pair) -> None:
    count = fill(pair)
    large = [b"envelope", b"x" * MEBI, b"inline"]
    pair[0].send(large, timeout=0)
    assert pair[0].owes_word and not pair[0].flush(timeout=0)
    with pytest.raises(WaitTimeoutError):
        pair[0].send([b"next"], timeout=0)
    for _ in range(count):
        assert pair[1].receive(timeout=1) == [b"s"]
    pair[0].send([b"next"], timeout=1)
    assert not pair[0].owes_word
    received = pair[1].receive(timeout=1)
    assert received is not None and [bytes(part) for part in received] == large
    assert pair[1].receive(timeout=1) == [b"next"]
    assert len(POOL._segments) == 1


def test_a_full_pool_sends_nothing_and_the_connection_goes_on(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(POOL, "limit", MEBI)
    with pytest.raises(FullError):
        pair[0].send([b"envelope", b"x" * 2 * MEBI], timeout=1)
    assert trip(pair, b"next") == [b"next"]


def table(number: int, *rows: tuple[int, int, int]) -> bytes:
    return struct.pack("<Q", number) + b"".join(struct.pack("<3Q", *row) for row in rows)


HOSTILE: dict[str, list[bytes]] = {
    "no table": [b"", b""],
    "a torn table": [b"", table(1, (1, 10, 0))[:-1], b"envelope"],
    "no envelope": [b"", table(1, (1, 10, 0))],
    "in place of the envelope": [b"", table(1, (0, 10, 0)), b"envelope"],
    "far behind": [b"", table(1, (2, 10, 0)), b"envelope"],
    "twice the same": [b"", table(1, (1, 10, 0), (1, 10, 0)), b"envelope"],
    "backwards": [b"", table(1, (2, 10, 0), (1, 10, 0)), b"envelope"],
    "far too many": [b"", table(1, *((n, 10, 0) for n in range(1, 300))), b"envelope"],
}


@pytest.mark.parametrize("parts", HOSTILE.values(), ids=HOSTILE)
def test_an_impossible_table_is_refused(pair: Pair, parts: list[bytes]) -> None:
    pair[0]._ring_send(parts, 1)
    with pytest.raises(ProtocolError):
        pair[1].receive(timeout=1)


def announced(pair: Pair, number: int, length: int, offset: int = 0) -> None:
    pair[0]._ring_send([b"", table(number, (1, length, offset)), b"envelope"], 1)


@pytest.mark.parametrize("came", [0, 2, 3])
def test_memory_with_another_number_or_of_another_count_is_refused_and_closed(pair: Pair, came: int) -> None:
    before = open_descriptors()
    descriptors = [frozen_copy(b"x" * 5000) for _ in range(came or 1)]
    pair[0]._stream.send_batch(1 if came else 7, descriptors, timeout=1)
    announced(pair, 1, 5000)
    with pytest.raises(ProtocolError, match="descriptors"):
        pair[1].receive(timeout=1)
    assert open_descriptors() == before


@pytest.mark.parametrize(("length", "offset"), [(5001, 0), (1, 5000), ((1 << 63) - 1, 0), (1, 1 << 63)])
def test_memory_that_is_smaller_than_said_is_refused(pair: Pair, length: int, offset: int) -> None:
    pair[0]._stream.send_batch(1, [frozen_copy(b"x" * 5000)], timeout=1)
    announced(pair, 1, length, offset)
    with pytest.raises(ProtocolError, match="promised"):
        pair[1].receive(timeout=1)


def test_memory_with_holes_is_refused_for_looking_would_take_memory(pair: Pair) -> None:
    descriptor = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, 1 << 40)
    from tincans.toolkit.sealed_memory import FROZEN, seal

    seal(descriptor, FROZEN)
    pair[0]._stream.send_batch(1, [descriptor], timeout=1)
    announced(pair, 1, 1 << 40)
    with pytest.raises(ProtocolError, match="holes"):
        pair[1].receive(timeout=1)


def test_a_stranger_who_may_say_little_may_pass_nothing(pair: Pair) -> None:
    pair[1].max_message = 64 * 1024
    pair[0]._stream.send_batch(1, [frozen_copy(b"x" * 5000)], timeout=1)
    announced(pair, 1, 5000)
    with pytest.raises(ProtocolError, match="cannot travel"):
        pair[1].receive(timeout=1)


def test_what_was_announced_and_not_sent_is_not_waited_for(pair: Pair) -> None:
    announced(pair, 1, 5000)
    with pytest.raises(ProtocolError, match="did not send"):
        pair[1].receive(timeout=PATIENCE)


def test_weighing_tells_what_counts_and_what_is_copied(pair: Pair) -> None:
    shared = share(b"x" * MEBI)
    assert pair[0].weigh([b"envelope", b"y" * MEBI, shared, b"small"]) == (13, MEBI)
    assert Passed(5, 0).length == 5
