"""Large parts beside a Unix socket: no copy where there need be none, and a peer that is believed in nothing."""

from __future__ import annotations

import gc
import os
import socket
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from patience import PATIENCE, in_thread, open_descriptors

from tincans.contracts import Identity
from tincans.core.framing import FRAMES, Passed
from tincans.errors import DisconnectedError, FullError, ProtocolError, TooLargeError, WaitTimeoutError
from tincans.toolkit import memory_pool
from tincans.toolkit.byte_stream import ByteStream
from tincans.toolkit.descriptor_passing import DescriptorPassing, passing_for
from tincans.toolkit.live_memory import segment_of
from tincans.toolkit.sealed_memory import FROZEN, GET_SEALS, frozen_copy, share

Pair = tuple[ByteStream, ByteStream]
MEBI = 1 << 20


def connected(*, trusted: bool = True) -> Pair:
    here, there = (ByteStream(end, FRAMES, passing=DescriptorPassing(trusted)) for end in socket.socketpair())
    return here, there


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = connected()
    yield here, there
    here.close()
    there.close()


@pytest.fixture(autouse=True)
def _empty_pool() -> Iterator[None]:
    memory_pool.POOL.clear()
    yield
    memory_pool.POOL.clear()


@pytest.fixture
def raw() -> Iterator[tuple[ByteStream, socket.socket]]:
    """A connection, and the bare socket at its other end."""
    here, there = socket.socketpair()
    connection = ByteStream(here, FRAMES, passing=DescriptorPassing(trusted=True))
    yield connection, there
    connection.close()
    there.close()


def memory_of(part: Any) -> int:
    found = segment_of(part)
    assert found is not None, "it came through the socket"
    return os.fstat(found[0]).st_ino


def trip(pair: Pair, *parts: Any) -> list[Any]:
    pair[0].send([b"envelope", *parts], timeout=PATIENCE)
    received = pair[1].receive(timeout=PATIENCE)
    assert received is not None and received[0] == b"envelope"
    return received[1:]


def test_a_large_part_arrives_in_shared_memory_and_is_read_only(pair: Pair) -> None:
    sent = np.arange(MEBI, dtype=np.int64)
    (received,) = trip(pair, sent.data)
    assert segment_of(received) is not None
    assert received.readonly
    assert (np.frombuffer(received, np.int64) == sent).all()


def test_a_part_below_one_mebibyte_goes_through_the_socket(pair: Pair) -> None:
    receiving = in_thread(lambda: pair[1].receive(timeout=PATIENCE))
    pair[0].send([b"envelope", b"x" * (MEBI - 1)], timeout=PATIENCE)
    assert segment_of(receiving.result(PATIENCE)[1]) is None


def test_large_and_small_parts_keep_their_places(pair: Pair) -> None:
    parts = [b"a" * 10, b"b" * MEBI, b"", b"c" * (2 * MEBI), b"d" * 100_000]
    receiving = in_thread(lambda: pair[1].receive(timeout=PATIENCE))
    pair[0].send([b"envelope", *parts], timeout=PATIENCE)
    assert [bytes(part) for part in receiving.result(PATIENCE)] == [b"envelope", *parts]


def test_messages_before_and_after_a_large_one_are_not_disturbed(pair: Pair) -> None:
    for word in (b"before", b"x" * 10_000):
        pair[0].send([word], timeout=1)
    pair[0].send([b"large", b"y" * MEBI], timeout=PATIENCE)
    pair[0].send([b"after"], timeout=1)
    received = [pair[1].receive(timeout=1) for _ in range(4)]
    assert [bytes(message[0]) for message in received if message] == [b"before", b"x" * 10_000, b"large", b"after"]


def test_the_receivers_data_never_changes_when_the_sender_goes_on(pair: Pair) -> None:
    buffer = bytearray(b"a" * MEBI)
    kept = []
    for letter in b"abcde":
        buffer[:] = bytes([letter]) * MEBI
        kept.extend(trip(pair, buffer))
    assert [bytes(part) for part in kept] == [bytes([letter]) * MEBI for letter in b"abcde"]


def test_memory_is_used_again_once_the_receiver_has_dropped_it(pair: Pair) -> None:
    first = memory_of(trip(pair, b"a" * MEBI)[0])
    gc.collect()
    assert memory_of(trip(pair, b"b" * MEBI)[0]) == first


def test_the_receivers_data_outlives_the_connection(pair: Pair) -> None:
    (received,) = trip(pair, b"x" * MEBI)
    pair[0].close()
    pair[1].close()
    assert bytes(received) == b"x" * MEBI


def test_shared_memory_is_passed_without_a_copy(pair: Pair) -> None:
    array_ = np.frombuffer(share(np.arange(MEBI, dtype=np.int64).data), np.int64)
    received = trip(pair, array_.data, array_[1000:].data)
    assert [memory_of(part) for part in received] == [memory_of(array_)] * 2
    assert (np.frombuffer(received[1], np.int64) == array_[1000:]).all()


def test_what_was_received_is_passed_on_without_a_copy(pair: Pair) -> None:
    (received,) = trip(pair, b"x" * MEBI)
    pair[1].send([b"on", received], timeout=PATIENCE)
    returned = pair[0].receive(timeout=PATIENCE)
    assert returned is not None and memory_of(returned[1]) == memory_of(received)


def test_nothing_stays_open_when_the_data_is_dropped(pair: Pair) -> None:
    trip(pair, b"x" * MEBI)
    memory_pool.POOL.clear()
    before = open_descriptors()
    for _ in range(5):
        trip(pair, b"x" * MEBI, share(b"y" * MEBI))
    memory_pool.POOL.clear()
    assert open_descriptors() == before


def test_a_message_lost_in_flight_leaves_nothing_open() -> None:
    before = open_descriptors()
    here, there = connected()
    here.send([b"envelope", b"x" * MEBI], timeout=1)
    here.close()
    there.close()
    memory_pool.POOL.clear()
    assert open_descriptors() == before


def test_a_message_that_has_begun_keeps_its_descriptors_until_it_is_finished(pair: Pair) -> None:
    count = 0
    with pytest.raises(WaitTimeoutError):
        while True:
            pair[0].send([b"envelope", b"%07d" % count + b"x" * MEBI], timeout=0)
            count += 1
    receiving = in_thread(lambda: [pair[1].receive(timeout=PATIENCE) for _ in range(count)])
    assert pair[0].flush(timeout=PATIENCE)
    assert [int(bytes(message[1][:7])) for message in receiving.result(PATIENCE)] == list(range(count))


def test_a_kept_message_that_is_never_sent_closes_its_descriptors() -> None:
    before = open_descriptors()
    here, there = connected()
    with pytest.raises(WaitTimeoutError):
        while True:
            here.send([b"envelope", b"x" * MEBI], timeout=0)
    here.close()
    there.close()
    memory_pool.POOL.clear()
    assert open_descriptors() == before


def test_what_is_passed_does_not_count_against_the_limits(pair: Pair) -> None:
    pair[0].max_message = pair[1].max_message = MEBI
    assert bytes(trip(pair, b"x" * 3 * MEBI)[0]) == b"x" * 3 * MEBI
    before = open_descriptors()
    with pytest.raises(TooLargeError):
        pair[0].send([b"envelope", b"x" * 3 * MEBI, b"y" * (MEBI - 1), b"z" * 10], timeout=1)
    assert open_descriptors() == before


def test_who_may_say_little_passes_no_memory(pair: Pair) -> None:
    pair[0].max_message = MEBI - 1
    with pytest.raises(TooLargeError):
        pair[0].send([b"envelope", b"x" * MEBI], timeout=1)


def test_running_out_of_memory_sends_nothing_and_the_connection_goes_on(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tincans.toolkit.sealed_memory.os.memfd_create", refuse)
    with pytest.raises(FullError, match="No space"):
        pair[0].send([b"envelope", b"x" * 3 * MEBI], timeout=1)
    monkeypatch.undo()
    pair[0].send([b"next"], timeout=1)
    assert pair[1].receive(timeout=1) == [b"next"]


def test_more_large_parts_than_descriptors_may_be_spent_go_partly_through_the_socket(pair: Pair) -> None:
    block = share(b"z" * MEBI)
    receiving = in_thread(lambda: pair[1].receive(timeout=PATIENCE))
    pair[0].send([b"envelope", *[block] * 66], timeout=PATIENCE)
    received = receiving.result(PATIENCE)
    assert [bytes(part) == b"z" * MEBI for part in received[1:]] == [True] * 66
    assert [segment_of(part) is not None for part in received[1:]] == [True] * 64 + [False] * 2


def test_another_user_gets_frozen_memory_that_is_never_used_again() -> None:
    here, there = connected(trusted=False)
    kept = [trip((here, there), share(b"x" * MEBI))[0], trip((here, there), b"y" * MEBI)[0]]
    for part in kept:
        found = segment_of(part)
        assert found is not None
        assert fcntl_seals(found[0]) & FROZEN == FROZEN
    here.close()
    there.close()


def fcntl_seals(descriptor: int) -> int:
    import fcntl

    return fcntl.fcntl(descriptor, GET_SEALS)


def test_only_the_same_user_is_trusted_with_memory_that_is_used_again() -> None:
    assert passing_for(Identity(uid=os.geteuid())) == DescriptorPassing(trusted=True)
    assert passing_for(Identity(uid=os.geteuid() + 1)) == DescriptorPassing(trusted=False)
    assert passing_for(Identity()) == DescriptorPassing(trusted=False)


def send_raw(other: socket.socket, passed: list[Passed], given: list[int]) -> None:
    """A frame as a peer of another mind might send it, with whatever descriptors."""
    head, carrier, *rest = FRAMES.encode([b"envelope", *passed])
    other.sendall(head)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", given))] if given else []
    other.sendmsg([carrier, *rest], rights)
    for descriptor in given:
        os.close(descriptor)


def test_what_a_peer_of_another_make_sends_by_the_rules_is_understood(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    send_raw(other, [Passed(3, 1)], [frozen_copy(b"01234")])
    received = connection.receive(timeout=1)
    assert received is not None and [bytes(part) for part in received] == [b"envelope", b"123"]


@pytest.mark.parametrize("given", [0, 1, 3])
def test_another_number_of_descriptors_than_announced_is_refused_and_closed(
    raw: tuple[ByteStream, socket.socket], given: int
) -> None:
    connection, other = raw
    before = open_descriptors()
    send_raw(other, [Passed(3, 1)] * 2, [frozen_copy(b"01234") for _ in range(given)])
    with pytest.raises(ProtocolError, match=f"{given} arrived"):
        connection.receive(timeout=1)
    assert open_descriptors() == before


def test_unsealed_memory_is_refused_and_all_descriptors_closed(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    before = open_descriptors()
    unsealed = os.memfd_create("test", os.MFD_CLOEXEC)
    os.ftruncate(unsealed, 5)
    send_raw(other, [Passed(3, 1)] * 3, [frozen_copy(b"01234"), unsealed, frozen_copy(b"01234")])
    with pytest.raises(ProtocolError, match="not sealed"):
        connection.receive(timeout=1)
    assert open_descriptors() == before


def test_memory_smaller_than_promised_is_refused(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    send_raw(other, [Passed(5, 1)], [frozen_copy(b"01234")])
    with pytest.raises(ProtocolError, match="promised"):
        connection.receive(timeout=1)


def test_descriptors_that_nobody_announced_are_closed(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    before = open_descriptors()
    strange = frozen_copy(b"01234")
    other.sendmsg([FRAMES.encode([b"plain"])[0]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [strange] * 9))])
    os.close(strange)
    assert connection.receive(timeout=1) == [b"plain"]
    assert open_descriptors() == before


def test_an_end_where_descriptors_were_due_is_a_disconnection(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    other.sendall(FRAMES.encode([b"envelope", Passed(5, 0)])[0])
    other.close()
    with pytest.raises(DisconnectedError):
        connection.receive(timeout=1)


def test_silence_where_descriptors_are_due_ends_at_the_deadline(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    other.sendall(FRAMES.encode([b"envelope", Passed(5, 0)])[0])
    assert connection.receive(timeout=0.05) is None
    assert connection.receive(timeout=0) is None


def test_received_descriptors_do_not_survive_an_exec(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    send_raw(other, [Passed(5, 0)], [frozen_copy(b"01234")])
    received = connection.receive(timeout=1)
    found = segment_of(received[1]) if received else None
    assert found is not None and not os.get_inheritable(found[0])
