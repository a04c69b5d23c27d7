"""Looking at a socket before sleeping, and several messages of one system call."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Iterator

import pytest
from patience import PATIENCE, in_thread

from tincans import _speed
from tincans.core.framing import FRAMES
from tincans.errors import ClosedError, DisconnectedError, ProtocolError
from tincans.toolkit.byte_stream import ByteStream
from tincans.toolkit.descriptor_stream import DescriptorStream
from tincans.toolkit.looking import joining, take_apart, waiting
from tincans.toolkit.socket_platform import set_receive_timeout

pytestmark = pytest.mark.skipif(bool(_speed.why_not()), reason=_speed.why_not())

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def test_a_wait_gives_what_comes_later_and_none_when_nothing_does(ends: Ends) -> None:
    here, there = ends
    receive = waiting(here)
    for _ in range(20):  # looking stops paying, and begins again
        set_receive_timeout(here, 0.001)
        assert receive() is None
        set_receive_timeout(here, PATIENCE)
        later = in_thread(receive)
        there.send(b"hello")
        assert later.result(PATIENCE) == b"hello"
    there.close()
    assert receive() == b""


def test_shutting_down_ends_a_wait(ends: Ends) -> None:
    here, _ = ends
    set_receive_timeout(here, PATIENCE)
    later = in_thread(waiting(here))
    here.shutdown(socket.SHUT_RDWR)
    assert later.result(PATIENCE) == b""


def test_a_socket_that_was_closed_is_not_read_by_its_old_number() -> None:
    ours, there = socket.socketpair()
    stream = ByteStream(ours, FRAMES)
    with there:
        there.sendall(FRAMES.frame(b"first"))
        assert stream.receive(timeout=PATIENCE) == [b"first"]
        number = ours.fileno()
        stream.close()
        spare, other = socket.socketpair()
        with spare, other, os.fdopen(os.dup2(spare.fileno(), number), closefd=spare.fileno() != number):
            other.sendall(FRAMES.frame(b"somebody else's"))
            with pytest.raises(ClosedError):
                stream.receive(timeout=1)
            assert spare.recv(100) == FRAMES.frame(b"somebody else's")


def test_many_threads_wait_while_few_look(ends: Ends) -> None:
    pairs = [socket.socketpair() for _ in range(16)]
    try:
        waits = []
        for here, _ in pairs:
            set_receive_timeout(here, PATIENCE)
            waits.append(in_thread(waiting(here)))
        for number, (_, there) in enumerate(pairs):
            there.send(b"%d" % number)
        assert [wait.result(PATIENCE) for wait in waits] == [b"%d" % number for number in range(16)]
    finally:
        for here, there in pairs:
            here.close()
            there.close()


def messages(chance: random.Random) -> list[list[bytes]]:
    sizes = (0, 1, 7, 8, 9, 100, 5000)
    return [[chance.randbytes(chance.choice(sizes)) for _ in range(chance.choice((1, 1, 1, 3)))] for _ in range(30)]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_taken_apart_at_once_is_what_is_taken_apart_one_by_one(seed: int) -> None:
    chance = random.Random(seed)
    sent = messages(chance)
    data = b"".join(bytes(buffer) for parts in sent for buffer in FRAMES.encode(parts))
    reader = FRAMES.decoder(20_000)
    take_apart(reader)
    got: list[list[bytes]] = []
    while data:
        piece = chance.choice((1, 10, 3000, 16_000))
        reader.feed(data[:piece])
        data = data[piece:]
        while (message := reader.next()) is not None:
            got.append([bytes(part) for part in message])
    assert got == sent


def test_garbage_after_good_messages_is_told_after_them() -> None:
    reader = FRAMES.decoder(100)
    take_apart(reader)
    reader.feed(FRAMES.frame(b"one") + FRAMES.frame(b"two") + b"garbage!")
    assert [reader.next(), reader.next()] == [[b"one"], [b"two"]]
    with pytest.raises(ProtocolError):
        reader.next()


def test_a_message_over_the_limit_is_no_message_in_a_row_either() -> None:
    reader = FRAMES.decoder(100)
    take_apart(reader)
    reader.feed(FRAMES.frame(b"one") + FRAMES.frame(b"x" * 101))
    assert reader.next() == [b"one"]
    with pytest.raises(ProtocolError, match="limit"):
        reader.next()


def test_several_messages_are_joined_as_if_each_went_alone() -> None:
    several = (b"", b"one", b"x" * 3000)
    assert joining(FRAMES)(several) == b"".join(FRAMES.frame(one) for one in several)


def pipe_stream() -> tuple[DescriptorStream, int]:
    there, here = os.pipe()
    back, unused = os.pipe()
    os.close(back)
    return DescriptorStream(there, unused, framing=FRAMES), here


def test_what_came_along_through_a_pipe_is_pending_and_comes_before_its_end() -> None:
    stream, here = pipe_stream()
    several = [FRAMES.frame(b"one"), *FRAMES.encode([b"two", b"parts"]), FRAMES.frame(b"three"), FRAMES.frame(b"four")]
    os.write(here, b"".join(several))
    os.close(here)
    got = [stream.receive(timeout=PATIENCE)]
    while stream.pending():
        got.append(stream.receive(timeout=0))
    assert [[bytes(part) for part in parts or ()] for parts in got] == [
        [b"one"],
        [b"two", b"parts"],
        [b"three"],
        [b"four"],
    ]
    with pytest.raises(DisconnectedError):
        stream.receive(timeout=PATIENCE)
    stream.close()


def test_what_came_along_over_a_socket_is_pending_and_comes_before_its_end(ends: Ends) -> None:
    here, there = ends
    stream = ByteStream(here, FRAMES)
    several = [FRAMES.frame(b"one"), *FRAMES.encode([b"two", b"parts"]), FRAMES.frame(b"three"), FRAMES.frame(b"four")]
    there.sendall(b"".join(several))
    there.close()
    got = [stream.receive(timeout=PATIENCE)]
    while stream.pending():
        got.append(stream.receive(timeout=0))
    assert [[bytes(part) for part in parts or ()] for parts in got] == [
        [b"one"],
        [b"two", b"parts"],
        [b"three"],
        [b"four"],
    ]
    with pytest.raises(DisconnectedError):
        stream.receive(timeout=PATIENCE)
    stream.close()


def test_after_a_fork_the_child_looks_as_well(ends: Ends) -> None:
    here, there = ends
    stop = threading.Event()
    busy, other = socket.socketpair()
    set_receive_timeout(busy, 0.001)
    receive = waiting(busy)
    looking = in_thread(lambda: [receive() for _ in iter(stop.is_set, True)])
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                there.send(b"x")
                os._exit(0 if waiting(here)() == b"x" else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        looking.result(PATIENCE)
        busy.close()
        other.close()
