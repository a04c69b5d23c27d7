"""Waiting on pipes and sockets in one C call: `read_ready` and `wait_readable`, and the core's absence.

Rules of this file
- Descriptors are made for each test, non-blocking as the functions ask for.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from test_ring import in_background

from tincans._speed import why_not

core = pytest.importorskip("tincans._speed._core", reason="no C core was built: apt-get install gcc")
NO_SPIN = core.Patience(0.0)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield near.fileno(), far.fileno()


def test_read_ready_takes_what_is_there(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"hello")
    assert core.read_ready(pipe[0], 100, NO_SPIN, 0.0) == b"hello"


@pytest.mark.parametrize("size", [1, 3, 100_000])
def test_read_ready_takes_no_more_than_asked(pipe: tuple[int, int], size: int) -> None:
    os.write(pipe[1], b"hello")
    assert core.read_ready(pipe[0], size, NO_SPIN, 0.0) == b"hello"[:size]


@pytest.mark.parametrize("spin", [0.0, 0.005])
def test_read_ready_is_none_when_nothing_comes_in_time(pipe: tuple[int, int], spin: float) -> None:
    start = time.monotonic()
    assert core.read_ready(pipe[0], 100, core.Patience(spin), 0.02) is None
    assert 0.02 <= time.monotonic() - start < 5
    assert core.read_ready(pipe[0], 100, core.Patience(spin), 0.0) is None


@pytest.mark.parametrize("spin", [0.0, 0.05])
def test_read_ready_waits_for_what_comes_later(pipe: tuple[int, int], spin: float) -> None:
    thread, results = in_background(lambda: core.read_ready(pipe[0], 100, core.Patience(spin), 10.0))
    os.write(pipe[1], b"late")
    thread.join(10)
    assert results == [b"late"]


def test_read_ready_is_empty_at_the_end() -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    os.close(writer)
    assert core.read_ready(reader, 100, NO_SPIN, None) == b""
    os.close(reader)


def test_read_ready_says_what_the_system_says() -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    os.close(writer)
    os.close(reader)
    with pytest.raises(OSError, match="Bad file descriptor"):
        core.read_ready(reader, 100, NO_SPIN, None)


@pytest.mark.parametrize(
    "arguments", [(), (0, 1, 2), (0, 0, NO_SPIN, 1.0), (-1, 1, NO_SPIN, 1.0), ("x", 1, NO_SPIN, 1.0), (0, 1, 0.0, 1.0)]
)
def test_read_ready_refuses_wrong_arguments(arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, ValueError)):
        core.read_ready(*arguments)


def test_wait_readable_tells_which_one_is_ready(pipe: tuple[int, int]) -> None:
    wake, ring_it = os.pipe()
    assert core.wait_readable(pipe[0], wake, 0.0) == 0
    os.write(pipe[1], b"x")
    assert core.wait_readable(pipe[0], wake, 5.0) == 1
    os.write(ring_it, b"x")
    assert core.wait_readable(pipe[0], wake, None) == 3
    os.read(pipe[0], 1)
    assert core.wait_readable(pipe[0], wake, 5.0) == 2
    os.close(wake)
    os.close(ring_it)


def test_the_environment_can_turn_the_core_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_not() == ""
    monkeypatch.setenv("TINCANS_PURE", "1")
    assert "TINCANS_PURE" in why_not()


def _read_ready(ours: socket.socket) -> object:
    ours.setblocking(False)
    return core.read_ready(ours.fileno(), 100, core.Patience(0.3), 5.0)


def _receive_ready(ours: socket.socket) -> object:
    return core.receive_ready(ours.fileno(), 100, core.Patience(0.3), 5.0)


def _receive_waiting(ours: socket.socket) -> object:
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, (5).to_bytes(8, "little") + bytes(8))
    return core.receive_waiting(ours.fileno(), core.Patience(0.3))


def _ring_receive(ours: socket.socket) -> object:
    end = pytest.importorskip("tincans._speed.ring").offer(ours, spin=0.3)
    try:
        return end.receive(5.0)
    finally:
        end.close()


@pytest.mark.parametrize("wait", [_read_ready, _receive_ready, _receive_waiting, _ring_receive])
def test_a_signal_that_comes_while_a_wait_spins_is_handled_before_it_sleeps(wait: Callable[[Any], object]) -> None:
    def raise_it(*_: object) -> None:
        raise InterruptedError("the handler's own")

    ours, theirs = socket.socketpair()
    before = signal.signal(signal.SIGALRM, raise_it)
    with ours, theirs:
        try:
            began = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(InterruptedError, match="own"):
                wait(ours)
            assert time.monotonic() - began < 3
        finally:
            signal.signal(signal.SIGALRM, before)
