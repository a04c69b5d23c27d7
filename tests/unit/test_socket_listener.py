"""Accepting: in time, undisturbed by strangers, broken connections, or a lack of descriptors."""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import struct
from collections.abc import Iterator
from time import monotonic, process_time
from typing import Any

import pytest
from patience import PATIENCE, forked_child, in_thread, open_descriptors

from tincans.conformance.patience import eventually
from tincans.contracts import Connection
from tincans.core.framing import FRAMES
from tincans.errors import ClosedError
from tincans.toolkit.byte_stream import ByteStream
from tincans.toolkit.socket_listener import SocketListener


def admit(stream: socket.socket) -> Connection:
    return ByteStream(stream, FRAMES)


@pytest.fixture
def listener() -> Iterator[SocketListener]:
    made = SocketListener(socket.create_server(("127.0.0.1", 0), backlog=100), "tcp://here", admit)
    yield made
    made.close()


def call(listener: SocketListener) -> socket.socket:
    return socket.create_connection(listener._listening.getsockname())


@pytest.mark.alone
def test_accepting_in_vain_ends_at_its_deadline(listener: SocketListener) -> None:
    started = monotonic()
    assert listener.accept(timeout=0.1) is None
    assert 0.1 <= monotonic() - started < 0.15
    assert listener.accept(timeout=0) is None


def test_a_waiting_accept_gets_the_next_connection(listener: SocketListener) -> None:
    accepting = in_thread(lambda: listener.accept(timeout=None))
    eventually(lambda: listener._accepting == 1)
    caller = call(listener)
    accepting.result(PATIENCE).close()
    caller.close()


def test_silent_strangers_hold_up_nobody(listener: SocketListener) -> None:
    silent = [call(listener) for _ in range(50)]
    accepted = [listener.accept(timeout=1) for _ in silent]
    caller = call(listener)
    caller.sendall(FRAMES.encode([b"honest"])[0])
    connection = listener.accept(timeout=1)
    assert connection is not None and connection.receive(timeout=1) == [b"honest"]
    for one in (*silent, *accepted, caller, connection):
        assert one is not None
        one.close()


def test_a_connection_reset_before_it_is_accepted_is_survived(listener: SocketListener) -> None:
    broken = call(listener)
    broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    broken.close()
    caller = call(listener)
    caller.sendall(FRAMES.encode([b"fine"])[0])
    received: Any = None
    while received is None:
        connection = listener.accept(timeout=1)
        assert connection is not None
        try:
            received = connection.receive(timeout=1)
        except ConnectionError:
            pass
        connection.close()
    assert received == [b"fine"]
    caller.close()


@pytest.mark.parametrize("reason", [errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN])
def test_an_error_of_one_connection_is_no_error_of_the_listener(listener: SocketListener, reason: int) -> None:
    real, failures = listener._listening, [OSError(reason, os.strerror(reason))]

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def accept(self) -> Any:
            if failures:
                raise failures.pop()
            return real.accept()

    caller = call(listener)
    listener._listening = Failing()  # type: ignore[assignment]
    connection = listener.accept(timeout=1)
    assert connection is not None and not failures
    connection.close()
    caller.close()


def test_who_may_not_come_in_is_closed_and_counted(listener: SocketListener) -> None:
    allowed = iter([None, "yes"])
    listener._admit = lambda stream: ByteStream(stream, FRAMES) if next(allowed) else None
    refused, welcome = call(listener), call(listener)
    connection = listener.accept(timeout=1)
    assert connection is not None and listener.refused == 1
    refused.settimeout(PATIENCE)
    assert refused.recv(1) == b""
    for one in (refused, welcome, connection):
        one.close()


def test_one_that_breaks_while_it_is_checked_is_dropped(listener: SocketListener) -> None:
    def breaks(stream: socket.socket) -> Connection:
        raise OSError(errno.ENOTCONN, "gone")

    listener._admit = breaks
    caller = call(listener)
    assert listener.accept(timeout=0.05) is None
    assert listener.refused == 1
    caller.close()


def test_out_of_descriptors_the_caller_is_told_and_the_listener_lives_on(listener: SocketListener) -> None:
    callers = [call(listener) for _ in range(3)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(one.split()[0]) for one in open_descriptors())
    filler: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        with pytest.raises(OSError):
            while True:
                filler.append(os.dup(0))
        used = process_time()
        assert listener.accept(timeout=0.2) is None
        assert process_time() - used < 0.1, "it span"
        assert listener.refused == 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in filler:
            os.close(descriptor)
    for caller in callers:
        caller.settimeout(PATIENCE)
        assert caller.recv(1) == b""
        caller.close()
    late = call(listener)
    connection = listener.accept(timeout=1)
    assert connection is not None
    connection.close()
    late.close()


def test_closing_wakes_a_waiting_accept(listener: SocketListener) -> None:
    accepting = in_thread(lambda: listener.accept(timeout=None))
    eventually(lambda: listener._accepting == 1)
    listener.close()
    with pytest.raises(ClosedError):
        accepting.result(PATIENCE)


def test_use_after_close_is_a_closed_error_and_closing_twice_is_fine(listener: SocketListener) -> None:
    listener.close()
    listener.close()
    with pytest.raises(ClosedError):
        listener.accept(timeout=0)
    with pytest.raises(ClosedError):
        listener.fileno()


def test_closing_lets_go_of_every_descriptor() -> None:
    before = open_descriptors()
    listener = SocketListener(socket.create_server(("127.0.0.1", 0)), "tcp://here", admit)
    listener.accept(timeout=0)
    listener.close()
    assert open_descriptors() == before


def test_the_release_happens_once(listener: SocketListener) -> None:
    released: list[int] = []
    made = SocketListener(socket.create_server(("127.0.0.1", 0)), "tcp://here", admit, lambda: released.append(1))
    made.close()
    made.close()
    assert released == [1]


def test_its_descriptor_polls_readable_when_somebody_calls(listener: SocketListener) -> None:
    poll = select.poll()
    descriptor = listener.fileno()
    assert descriptor is not None
    poll.register(descriptor, select.POLLIN)
    assert not poll.poll(0)
    caller = call(listener)
    assert poll.poll(PATIENCE * 1000)
    caller.close()


def test_a_forked_child_does_not_go_on_listening(listener: SocketListener) -> None:
    place = listener._listening.getsockname()
    with forked_child():
        listener.abandon()  # as if killed
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place)
