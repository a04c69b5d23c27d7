"""The method `memory` keeps the contract as strictly as a real string, and shows who keeps buffers."""

from __future__ import annotations

import gc
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from descriptor_ends import DEADLINE, Outcome, descriptors

from tincans.conformance.patience import eventually
from tincans.contracts import Connection
from tincans.core.address import parse
from tincans.core.framing import Frames, Lines
from tincans.errors import (
    AddressError,
    ClosedError,
    DisconnectedError,
    NameInUseError,
    ProtocolError,
    TooLargeError,
    UnreachableError,
    UnsendableError,
    WaitTimeoutError,
)
from tincans.transports.memory import TRANSPORT, MemoryConnection, MemoryListener


def serve(url: str = "memory:alice") -> MemoryListener:
    return TRANSPORT.listen(parse(url), framing=Frames())


def connect(url: str = "memory:alice", timeout: float = 1.0) -> MemoryConnection:
    return TRANSPORT.connect(parse(url), timeout=timeout, framing=Frames())


@contextmanager
def joined(options: str = "") -> Iterator[tuple[MemoryConnection, MemoryConnection, MemoryListener]]:
    listener = serve(f"memory:alice{options}")
    here = connect(f"memory:alice{options}")
    there = listener.accept(timeout=1)
    assert there is not None
    try:
        yield here, there, listener
    finally:
        for end in (here, there, listener):
            end.close()


def test_it_is_a_connection() -> None:
    with joined() as (here, _, _):
        assert isinstance(here, Connection)


def test_both_ends_talk() -> None:
    with joined() as (here, there, _):
        here.send([b"e", memoryview(b"abcdefgh").cast("d"), bytearray(b"b")], timeout=1)
        here.send([b"two"], timeout=1)
        here.send([b""], timeout=1)
        assert [there.receive(timeout=1) for _ in range(3)] == [[b"e", b"abcdefgh", b"b"], [b"two"], [b""]]
        there.send([b"back"], timeout=1)
        assert here.receive(timeout=1) == [b"back"]


def test_a_buffer_changed_after_send_arrives_as_it_was() -> None:
    buffer = bytearray(b"before")
    with joined() as (here, there, _):
        here.send([buffer], timeout=1)
        buffer[:] = b"after!"
        assert there.receive(timeout=1) == [b"before"]


def test_receive_returns_none_at_its_timeout() -> None:
    with joined() as (here, _, _):
        assert here.receive(timeout=0) is None
        start = time.monotonic()
        assert here.receive(timeout=0.05) is None
        assert time.monotonic() - start >= 0.05


def test_send_waits_while_the_other_end_takes_nothing() -> None:
    with joined("?capacity=2") as (here, there, _):
        here.send([b"1"], timeout=0)
        here.send([b"2"], timeout=0)
        for timeout in (0, 0.02):
            with pytest.raises(WaitTimeoutError):
                here.send([b"3"], timeout=timeout)
        sender = Outcome(lambda: here.send([b"4"], timeout=DEADLINE))
        eventually(sender.asleep)
        assert [there.receive(timeout=DEADLINE) for _ in range(3)] == [[b"1"], [b"2"], [b"4"]]
        assert sender.join().error is None


def test_one_byte_over_the_limit_is_refused_on_either_side() -> None:
    with joined("?max_message=10") as (here, there, _):
        here.send([b"12345", b"67890"], timeout=1)
        with pytest.raises(TooLargeError):
            here.send([b"12345", b"678901"], timeout=1)
        assert there.receive(timeout=1) == [b"12345", b"67890"]
        here.max_message = 11
        here.send([b"12345678901"], timeout=1)
        with pytest.raises(ProtocolError):
            there.receive(timeout=1)


def test_what_no_frame_can_hold_is_refused() -> None:
    with joined() as (_, _, listener):
        here = TRANSPORT.connect(parse("memory:alice"), timeout=1, framing=Lines())
        there = listener.accept(timeout=1)
        assert there is not None
        with pytest.raises(UnsendableError):
            here.send([b"two\nlines"], timeout=1)
        with pytest.raises(UnsendableError):
            here.send([], timeout=1)
        assert there.receive(timeout=0) is None


def test_messages_before_the_end_are_handed_out_first() -> None:
    with joined() as (here, there, _):
        there.send([b"last"], timeout=1)
        there.close()
        assert here.receive(timeout=1) == [b"last"]
        with pytest.raises(DisconnectedError):
            here.receive(timeout=None)
        with pytest.raises(DisconnectedError) as caught:
            here.send([b"x"], timeout=1)
        assert caught.value.outcome == "not_sent"
        with pytest.raises(DisconnectedError):
            here.flush(timeout=0)


def test_the_other_ends_end_wakes_receiver_and_sender() -> None:
    with joined("?capacity=1") as (here, there, _):
        here.send([b"full"], timeout=1)
        waiters = [Outcome(lambda: here.receive(timeout=None)), Outcome(lambda: here.send([b"x"], timeout=None))]
        for waiter in waiters:
            eventually(waiter.asleep)
        there.close()
        assert all(isinstance(waiter.join().error, DisconnectedError) for waiter in waiters)


def test_close_wakes_receiver_and_sender() -> None:
    with joined("?capacity=1") as (here, _, _):
        here.send([b"full"], timeout=1)
        waiters = [Outcome(lambda: here.receive(timeout=None)), Outcome(lambda: here.send([b"x"], timeout=None))]
        for waiter in waiters:
            eventually(waiter.asleep)
        here.close()
        assert all(isinstance(waiter.join().error, ClosedError) for waiter in waiters)


def test_a_closed_end_says_so_and_may_be_closed_again() -> None:
    with joined() as (here, there, _):
        there.send([b"never taken"], timeout=1)
        here.close()
        here.close()
        for use in (
            lambda: here.receive(timeout=0),
            lambda: here.send([b"x"], timeout=0),
            lambda: here.flush(timeout=0),
        ):
            with pytest.raises(ClosedError):
                use()


def test_a_forgotten_end_tells_the_other() -> None:
    with joined() as (_, _, listener):
        here = connect()
        there = listener.accept(timeout=1)
        gc.disable()
        try:
            del here
            assert there is not None
            with pytest.raises(DisconnectedError):
                there.receive(timeout=0)
        finally:
            gc.enable()


def test_the_descriptor_is_readable_exactly_while_something_waits() -> None:
    with joined() as (here, there, _):
        there.send([b"1"], timeout=1)
        there.send([b"2"], timeout=1)
        readable = lambda: bool(select.select([here.fileno()], [], [], 0)[0])  # noqa: E731
        assert readable()
        here.receive(timeout=0)
        assert readable()
        here.receive(timeout=0)
        assert not readable()
        there.send([b"3"], timeout=1)
        assert readable()
        here.receive(timeout=0)
        there.close()
        assert readable()


def test_a_string_without_descriptors_can_be_asked_for() -> None:
    before = descriptors()
    with joined("?descriptor=no") as (here, there, listener):
        assert (here.fileno(), there.fileno(), listener.fileno()) == (None, None, None)
        assert descriptors() == before


def test_no_descriptor_is_left_after_close() -> None:
    before = descriptors()
    with joined() as (here, there, listener):
        assert None not in (here.fileno(), there.fileno(), listener.fileno())
        assert descriptors() == before + 3
    assert descriptors() == before


def test_pending_tells_of_waiting_messages() -> None:
    with joined() as (here, there, _):
        assert not there.pending()
        here.send([b"x"], timeout=1)
        assert there.pending()


def test_without_a_server_connect_says_so_at_once() -> None:
    with pytest.raises(UnreachableError, match="memory:nobody"):
        connect("memory:nobody")


def test_a_name_is_served_once_and_free_after_close() -> None:
    with joined() as (_, _, listener):
        with pytest.raises(NameInUseError):
            serve()
        listener.close()
        second = serve()
        listener.close()  # again, and it must not take the name away from its successor
        connect().close()
        second.close()


def test_clients_that_were_never_accepted_learn_of_the_servers_end() -> None:
    listener = serve()
    here = connect()
    listener.close()
    with pytest.raises(DisconnectedError):
        here.receive(timeout=1)


def test_a_server_that_accepts_nobody_is_unreachable_after_the_timeout() -> None:
    listener = serve()
    clients = [connect() for _ in range(128)]
    with pytest.raises(UnreachableError, match="accepted nobody"):
        connect(timeout=0.01)
    listener.close()
    assert len(clients) == 128


def test_close_wakes_a_waiting_accept() -> None:
    listener = serve()
    waiter = Outcome(lambda: listener.accept(timeout=None))
    eventually(waiter.asleep)
    listener.close()
    assert isinstance(waiter.join().error, ClosedError)
    with pytest.raises(ClosedError):
        listener.accept(timeout=0)


def test_accept_returns_none_at_its_timeout() -> None:
    with joined() as (_, _, listener):
        assert listener.accept(timeout=0) is None
        assert listener.accept(timeout=0.01) is None
        assert not select.select([listener.fileno()], [], [], 0)[0]
        connect()
        assert select.select([listener.fileno()], [], [], 0)[0]


@pytest.mark.parametrize("url", ["memory:", "memory://host/x", "memory:x?capacity=0", "memory:x?speed=1"])
def test_an_address_that_names_nothing_is_refused(url: str) -> None:
    with pytest.raises(AddressError):
        serve(url)
    with pytest.raises(AddressError):
        connect(url)


def test_a_forked_child_has_none_of_its_parents() -> None:
    with joined() as (here, there, _):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with pytest.raises(ClosedError):
                    here.send([b"from the child"], timeout=0)
                with pytest.raises(UnreachableError):
                    connect()
                serve()  # the name is free there
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        here.send([b"x"], timeout=1)
        assert there.receive(timeout=1) == [b"x"]
