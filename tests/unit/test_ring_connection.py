"""A ring and the socket beside it: what is announced comes, in order, and nobody waits longer than he said."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from time import monotonic

import pytest
from patience import PATIENCE, in_thread

from tincans.core.framing import FRAMES
from tincans.errors import WaitTimeoutError
from tincans.toolkit.byte_stream import ByteStream
from tincans.toolkit.ring_connection import BESIDE, NEXT_IS_BESIDE, RingConnection

ring = pytest.importorskip("tincans._speed.ring", reason="the C core is not built")

CAPACITY = 64 * 1024
LARGE = [b"envelope", b"x" * BESIDE]
Pair = tuple[RingConnection, RingConnection]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Both ends of a string with a small ring."""
    ours, theirs = socket.socketpair()
    rings = ring.offer(ours, capacity=CAPACITY), ring.accept(theirs)
    here, there = (
        RingConnection(one, ByteStream(end, FRAMES), max_message=2**30)
        for one, end in zip(rings, (ours, theirs), strict=True)
    )
    yield here, there
    here.close()
    there.close()


def test_a_receive_keeps_its_time_while_an_announced_message_is_on_its_way(pair: Pair) -> None:
    here, there = pair
    here._ring_send(NEXT_IS_BESIDE, 1.0)
    began = monotonic()
    assert there.receive(timeout=0.05) is None
    assert there.receive(timeout=0) is None
    assert monotonic() - began < 5
    assert there.prepare_wait()  # no descriptor would tell of it
    sending = in_thread(lambda: here._stream.send(LARGE, timeout=PATIENCE))
    assert there.receive(timeout=PATIENCE) == LARGE
    sending.result(PATIENCE)
    here.send([b"next"], timeout=1.0)
    assert there.receive(timeout=PATIENCE) == [b"next"]


def test_a_message_beside_a_full_ring_is_announced_later_and_in_order(pair: Pair) -> None:
    here, there = pair
    count = 0
    with pytest.raises(WaitTimeoutError):
        while True:
            here.send([b"s"], timeout=0)
            count += 1
    taking = in_thread(lambda: there._stream._stream.recv(1, socket.MSG_PEEK))  # type: ignore[call-arg]
    sending = in_thread(lambda: here.send(LARGE, timeout=0.2))
    taking.result(PATIENCE)
    sending.result(PATIENCE)
    assert not here.flush(timeout=0)
    for _ in range(count):
        assert there.receive(timeout=PATIENCE) == [b"s"]
    rest = in_thread(lambda: here.flush(timeout=PATIENCE))
    assert there.receive(timeout=PATIENCE) == LARGE
    assert rest.result(PATIENCE)
    here.send([b"next"], timeout=1.0)
    assert there.receive(timeout=PATIENCE) == [b"next"]
