"""The end of a connection over a socket pair: death, garbage, closing, forking."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from patience import PATIENCE, forked_child, in_thread

from tincans.conformance.patience import eventually
from tincans.core.framing import FRAMES
from tincans.errors import ClosedError, DisconnectedError, ProtocolError
from tincans.toolkit.byte_stream import ByteStream

Pair = tuple[ByteStream, ByteStream]


@pytest.fixture
def pair() -> Iterator[Pair]:
    here, there = (ByteStream(end, FRAMES) for end in socket.socketpair())
    yield here, there
    here.close()
    there.close()


@pytest.fixture
def raw() -> Iterator[tuple[ByteStream, socket.socket]]:
    """A connection, and the bare socket at its other end."""
    here, there = socket.socketpair()
    connection = ByteStream(here, FRAMES)
    yield connection, there
    connection.close()
    there.close()


def test_messages_that_came_before_the_end_are_handed_out_first(pair: Pair) -> None:
    for number in range(3):
        pair[0].send([b"%d" % number], timeout=1)
    pair[0].close()
    assert [pair[1].receive(timeout=1) for _ in range(3)] == [[b"0"], [b"1"], [b"2"]]
    for _ in range(2):
        with pytest.raises(DisconnectedError):
            pair[1].receive(timeout=1)


def test_messages_are_handed_out_even_when_the_other_end_left_ours_unread(pair: Pair) -> None:
    pair[1].send([b"never received"], timeout=1)
    pair[0].send([b"farewell"], timeout=1)
    pair[0].close()
    with pytest.raises(DisconnectedError) as refusal:
        pair[1].send([b"too late"], timeout=1)
    assert refusal.value.outcome == "not_sent"
    assert pair[1].receive(timeout=1) == [b"farewell"]
    with pytest.raises(DisconnectedError):
        pair[1].receive(timeout=1)


def test_the_death_of_the_other_end_wakes_a_waiting_receive(pair: Pair) -> None:
    waiting = in_thread(lambda: pair[1].receive(timeout=None))
    eventually(lambda: pair[1]._receiving)
    pair[0].close()
    with pytest.raises(DisconnectedError):
        waiting.result(PATIENCE)


def test_the_death_of_the_other_end_wakes_a_clogged_send(pair: Pair) -> None:
    waiting = in_thread(lambda: pair[0].send([b"", b"x" * 5_000_000], timeout=None))
    eventually(lambda: pair[0]._sending and not select.select([], [pair[0].fileno()], [], 0)[1])
    pair[1].close()
    with pytest.raises(DisconnectedError):
        waiting.result(PATIENCE)


def test_an_end_in_the_middle_of_a_message_says_so(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    other.sendall(FRAMES.encode([b"whole"])[0] + FRAMES.encode([b"torn"])[0][:-1])
    other.close()
    assert connection.receive(timeout=1) == [b"whole"]
    with pytest.raises(DisconnectedError, match="middle of a message"):
        connection.receive(timeout=1)


def test_garbage_is_a_protocol_error_from_then_on(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    other.sendall(FRAMES.encode([b"fine"])[0] + b"GET / HTTP/1.1\r\n\r\n")
    assert connection.receive(timeout=1) == [b"fine"]
    for _ in range(2):
        with pytest.raises(ProtocolError):
            connection.receive(timeout=1)


def test_after_garbage_the_sender_of_it_is_cut(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    other.sendall(b"garbage, garbage")
    with pytest.raises(ProtocolError):
        connection.receive(timeout=1)
    other.settimeout(PATIENCE)
    assert other.recv(10) == b""


def test_closing_wakes_a_waiting_receive(pair: Pair) -> None:
    waiting = in_thread(lambda: pair[0].receive(timeout=None))
    eventually(lambda: pair[0]._receiving)
    pair[0].close()
    with pytest.raises(ClosedError):
        waiting.result(PATIENCE)


def test_closing_wakes_a_clogged_send(pair: Pair) -> None:
    waiting = in_thread(lambda: pair[0].send([b"", b"x" * 5_000_000], timeout=None))
    eventually(lambda: pair[0]._sending)
    pair[0].close()
    with pytest.raises(ClosedError):
        waiting.result(PATIENCE)


class Deaf:
    """A socket whose receive does not notice that it was shut down until a test lets it."""

    def __init__(self) -> None:
        self.notice = threading.Event()
        self.closed = False

    def recv(self, count: int, flags: int = 0) -> bytes:
        assert self.notice.wait(PATIENCE)
        return b""

    def set_receive_timeout(self, seconds: float | None) -> None:
        pass

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def __getattr__(self, name: str) -> Any:
        return None


def test_the_descriptor_is_closed_by_the_last_who_is_inside_and_not_before() -> None:
    stream = Deaf()
    connection = ByteStream(stream, FRAMES)
    waiting = in_thread(lambda: connection.receive(timeout=1))
    eventually(lambda: connection._receiving)
    connection.close()
    assert not stream.closed
    stream.notice.set()
    assert isinstance(waiting.exception(PATIENCE), ClosedError)
    assert stream.closed


def test_closing_twice_is_closing_once(pair: Pair) -> None:
    pair[0].close()
    pair[0].close()


def test_every_use_after_close_is_a_closed_error(pair: Pair) -> None:
    pair[0].close()
    for use in (
        lambda: pair[0].send([b"x"], timeout=1),
        lambda: pair[0].send([b"x", b"y"], timeout=1),
        lambda: pair[0].receive(timeout=1),
        lambda: pair[0].receive(timeout=0),
        lambda: pair[0].flush(timeout=1),
        lambda: pair[0].fileno(),
    ):
        with pytest.raises(ClosedError):
            use()


def test_a_forked_child_letting_go_does_not_disturb_its_parent(pair: Pair) -> None:
    child = os.fork()
    if child == 0:
        try:
            pair[0].receive(timeout=1)
        except ClosedError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    pair[0].send([b"still here"], timeout=1)
    assert pair[1].receive(timeout=1) == [b"still here"]


def test_the_end_is_seen_though_a_forked_child_lives(pair: Pair) -> None:
    with forked_child():
        pair[0].abandon()  # as if killed: no word to the kernel but that this program's descriptor is gone
        with pytest.raises(DisconnectedError):
            pair[1].receive(timeout=PATIENCE)
