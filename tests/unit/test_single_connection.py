"""A listener with one connection gives it once, waits, and ends with it."""

from __future__ import annotations

import os
import select

import pytest
from descriptor_ends import Outcome, descriptors

from tincans.conformance.patience import eventually
from tincans.core.framing import Frames
from tincans.errors import ClosedError
from tincans.toolkit.descriptor_stream import DescriptorStream
from tincans.toolkit.single_connection import SingleConnection


def single() -> SingleConnection:
    read_fd, write_fd = os.pipe()
    return SingleConnection(
        "stdio:", lambda closed: DescriptorStream(read_fd, write_fd, framing=Frames(), closed=closed)
    )


def readable(listener: SingleConnection) -> bool:
    return bool(select.select([listener.fileno()], [], [], 0)[0])


def test_the_connection_is_given_once() -> None:
    listener = single()
    assert readable(listener)
    connection = listener.accept(timeout=0)
    assert connection is not None
    assert not readable(listener)
    assert listener.accept(timeout=0) is None
    assert listener.accept(timeout=0.01) is None
    connection.close()
    listener.close()


def test_the_end_of_the_connection_ends_a_waiting_accept() -> None:
    listener = single()
    connection = listener.accept(timeout=0)
    assert connection is not None
    waiter = Outcome(lambda: listener.accept(timeout=None))
    eventually(waiter.asleep)
    connection.close()
    assert isinstance(waiter.join().error, ClosedError)
    assert readable(listener)
    listener.close()


def test_closing_the_listener_leaves_an_accepted_connection_open() -> None:
    listener = single()
    connection = listener.accept(timeout=0)
    assert connection is not None
    listener.close()
    listener.close()
    connection.send([b"x"], timeout=1)
    assert connection.receive(timeout=1) == [b"x"]
    connection.close()
    with pytest.raises(ClosedError):
        listener.accept(timeout=0)


def test_closing_the_listener_closes_a_connection_that_nobody_took() -> None:
    before = descriptors()
    listener = single()
    listener.close()
    assert descriptors() == before
