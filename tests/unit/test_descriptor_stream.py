"""DescriptorStream keeps every promise of contracts.Connection, over plain pipes."""

from __future__ import annotations

import gc
import os
import select
import signal
import struct
import time
import tracemalloc

import numpy as np
import pytest
from descriptor_ends import DEADLINE, Outcome, as_bytes, descriptors, ends

from tincans.conformance.patience import eventually
from tincans.contracts import Buffer, Connection
from tincans.core.framing import Frames, Lines
from tincans.errors import (
    ClosedError,
    DisconnectedError,
    ProtocolError,
    TooLargeError,
    UnsendableError,
    WaitTimeoutError,
)
from tincans.toolkit.descriptor_stream import DescriptorStream

SIZES = [0, 1, 4087, 4088, 4089, 16_384, 65_528, 65_536, 65_537, 1_048_576, 3_000_001]


def test_it_is_a_connection() -> None:
    with ends() as (here, _):
        assert isinstance(here, Connection)


@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_arrives_whole(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    with ends() as (here, there):
        sender = Outcome(lambda: here.send([data], timeout=DEADLINE))
        assert as_bytes(there.receive(timeout=DEADLINE)) == [data]
        assert sender.join().error is None


@pytest.mark.parametrize("size", SIZES)
def test_parts_stay_apart(size: int) -> None:
    parts: list[Buffer] = [b"envelope", bytes(size), bytearray(b"x" * 7), memoryview(b"abcdefgh").cast("d"), b""]
    with ends() as (here, there):
        sender = Outcome(lambda: here.send(parts, timeout=DEADLINE))
        assert as_bytes(there.receive(timeout=DEADLINE)) == [bytes(part) for part in parts]
        assert sender.join().error is None


def test_more_parts_than_one_system_call_takes_arrive() -> None:
    parts = [b"e", *(bytes([n % 256]) * 20_000 for n in range(1024))]
    with ends() as (here, there):
        sender = Outcome(lambda: here.send(parts, timeout=DEADLINE))
        assert as_bytes(there.receive(timeout=DEADLINE)) == parts
        assert sender.join().error is None


def test_messages_arrive_in_order() -> None:
    with ends() as (here, there):
        sender = Outcome(lambda: [here.send([b"%d" % n * (n % 700)], timeout=DEADLINE) for n in range(2000)])
        for n in range(2000):
            assert as_bytes(there.receive(timeout=DEADLINE)) == [b"%d" % n * (n % 700)]
        assert sender.join().error is None


def test_many_messages_leave_in_one_go() -> None:
    with ends() as (here, there):
        here.send_many([[b"one"], [b"two", b"buffer"], [b"three"]], timeout=1)
        received = [as_bytes(there.receive(timeout=1)) for _ in range(3)]
        assert received == [[b"one"], [b"two", b"buffer"], [b"three"]]


def test_the_buffer_may_be_reused_when_send_returns() -> None:
    buffer = bytearray(b"a" * 1_000_000)
    with ends() as (here, there):
        here.send([b"e", buffer], timeout=0)
        buffer[:] = b"b" * len(buffer)
        flusher = Outcome(lambda: here.flush(timeout=DEADLINE))
        assert as_bytes(there.receive(timeout=DEADLINE)) == [b"e", b"a" * 1_000_000]
        assert flusher.join().value is True


def test_receive_without_a_message_returns_none_at_its_timeout() -> None:
    with ends() as (here, _):
        start = time.monotonic()
        assert here.receive(timeout=0.05) is None
        assert 0.05 <= time.monotonic() - start < 0.5


def test_receive_at_once_does_not_wait() -> None:
    with ends() as (here, _):
        start = time.monotonic()
        for _ in range(100):
            assert here.receive(timeout=0) is None
        assert time.monotonic() - start < 0.5


def test_half_a_message_does_not_extend_the_timeout() -> None:
    read_fd, feed = os.pipe()
    unread, write_fd = os.pipe()
    stream = DescriptorStream(read_fd, write_fd, framing=Frames())
    start = time.monotonic()
    receiver = Outcome(lambda: stream.receive(timeout=0.1))
    frame = Frames().encode([b"x" * 30])[0]
    for byte in frame[:-1]:
        os.write(feed, bytes([byte]))
    assert receiver.join().value is None
    assert time.monotonic() - start < 1
    os.write(feed, frame[-1:])
    assert as_bytes(stream.receive(timeout=1)) == [b"x" * 30]
    stream.close()
    os.close(feed)
    os.close(unread)


def test_a_message_of_the_largest_size_passes_and_one_byte_more_is_refused() -> None:
    with ends(max_message=1000) as (here, there):
        here.send([b"x" * 400, b"y" * 600], timeout=1)
        with pytest.raises(TooLargeError, match=r"1,001 bytes.*1,000"):
            here.send([b"x" * 401, b"y" * 600], timeout=1)
        with pytest.raises(TooLargeError):
            here.send([b"x" * 1001], timeout=1)
        assert sum(map(len, as_bytes(there.receive(timeout=1)))) == 1000
        assert there.receive(timeout=0) is None


def test_the_owner_may_change_the_limit() -> None:
    with ends() as (here, there):
        here.max_message = there.max_message = 10
        with pytest.raises(TooLargeError):
            here.send([b"x" * 11], timeout=1)
        here.max_message = 100
        here.send([b"x" * 11], timeout=1)
        with pytest.raises(ProtocolError):
            there.receive(timeout=1)


def test_a_length_that_lies_takes_no_memory() -> None:
    read_fd, feed = os.pipe()
    unread, write_fd = os.pipe()
    stream = DescriptorStream(read_fd, write_fd, framing=Frames(), max_message=1024**3)
    os.write(feed, struct.pack("<HHIQ", 0x01CA, 1, 4, 1024**3 - 4) + b"abcdefgh")
    tracemalloc.start()
    try:
        assert stream.receive(timeout=0.02) is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    stream.close()
    os.close(feed)
    os.close(unread)


def test_garbage_is_a_protocol_error_after_the_messages_before_it() -> None:
    with ends() as (here, there):
        here.send([b"good"], timeout=1)
        os.write(here._writer.end.fd, b"GET / HTTP/1.1\r\n")
        assert as_bytes(there.receive(timeout=1)) == [b"good"]
        with pytest.raises(ProtocolError):
            there.receive(timeout=1)


def test_what_no_frame_can_hold_is_refused_and_nothing_is_sent() -> None:
    with ends(Lines()) as (here, there):
        with pytest.raises(UnsendableError, match=r"^A line cannot hold a line break"):
            here.send([b"two\nlines"], timeout=1)
        with pytest.raises(UnsendableError):
            here.send([b"two", b"parts"], timeout=1)
        here.send([b"fine"], timeout=1)
        assert as_bytes(there.receive(timeout=1)) == [b"fine"]


def test_a_scattered_array_is_refused() -> None:
    with ends() as (here, _), pytest.raises(UnsendableError):
        here.send([b"e", memoryview(np.zeros((4, 4)))[::2]], timeout=1)


# -- a full string ---------------------------------------------------------------------------------------------


def fill(stream: DescriptorStream) -> int:
    """Send until nothing more leaves; how many messages the other end will get."""
    for count in range(100_000):
        try:
            stream.send([b"%d" % count], timeout=0)
        except WaitTimeoutError:
            return count
    raise AssertionError("it is never full")


def test_send_to_a_full_string_waits_its_time_and_sends_nothing() -> None:
    with ends() as (here, there):
        count = fill(here)
        start = time.monotonic()
        with pytest.raises(WaitTimeoutError, match="Nothing of this message was sent"):
            here.send([b"late"], timeout=0.05)
        assert 0.05 <= time.monotonic() - start < 0.9
        assert [int(as_bytes(there.receive(timeout=1))[0]) for _ in range(count)] == list(range(count))
        assert there.receive(timeout=0) is None


def test_send_goes_on_when_the_other_end_receives() -> None:
    with ends() as (here, there):
        count = fill(here)
        sender = Outcome(lambda: here.send([b"last"], timeout=DEADLINE))
        received = [as_bytes(there.receive(timeout=DEADLINE)) for _ in range(count + 1)]
        assert received[-1] == [b"last"]
        assert sender.join().error is None


def test_a_small_message_that_only_half_fits_is_finished() -> None:
    messages = [bytes([65 + n]) * 10_000 for n in range(7)]
    with ends() as (here, there):
        for message in messages:
            here.send([message], timeout=0)
        flusher = Outcome(lambda: here.flush(timeout=DEADLINE))
        assert [as_bytes(there.receive(timeout=DEADLINE)) for _ in messages] == [[message] for message in messages]
        assert flusher.join().value is True


def test_what_could_not_leave_is_finished_by_flush() -> None:
    big = os.urandom(1_000_000)
    with ends() as (here, there):
        here.send([b"e", big], timeout=0)
        assert here.flush(timeout=0) is False
        flusher = Outcome(lambda: here.flush(timeout=DEADLINE))
        assert as_bytes(there.receive(timeout=DEADLINE)) == [b"e", big]
        assert flusher.join().value is True


def test_what_could_not_leave_goes_before_the_next_message() -> None:
    big = os.urandom(1_000_000)
    with ends() as (here, there):
        here.send([b"e", big], timeout=0)
        with pytest.raises(WaitTimeoutError):
            here.send([b"next"], timeout=0.01)
        sender = Outcome(lambda: here.send([b"next"], timeout=DEADLINE))
        assert as_bytes(there.receive(timeout=DEADLINE)) == [b"e", big]
        assert as_bytes(there.receive(timeout=DEADLINE)) == [b"next"]
        assert sender.join().error is None


class Alarm(Exception):
    """Raised by a signal's handler."""


def test_an_exception_in_the_middle_of_a_send_leaves_no_half_message() -> None:
    def ring(*_: object) -> None:
        raise Alarm

    big = os.urandom(1_000_000)
    before = signal.signal(signal.SIGALRM, ring)
    try:
        with ends() as (here, there):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(Alarm):
                here.send([b"e", big], timeout=DEADLINE)
            flusher = Outcome(lambda: here.flush(timeout=DEADLINE))
            assert as_bytes(there.receive(timeout=DEADLINE)) == [b"e", big]
            assert flusher.join().value is True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# -- the end ---------------------------------------------------------------------------------------------------


def test_the_other_ends_end_wakes_a_receiver() -> None:
    with ends() as (here, there):
        receiver = Outcome(lambda: here.receive(timeout=None))
        eventually(receiver.asleep)
        there.close()
        assert isinstance(receiver.join().error, DisconnectedError)


def test_the_other_ends_end_wakes_a_sender() -> None:
    with ends() as (here, there):
        fill(here)
        sender = Outcome(lambda: here.send([b"late"], timeout=None))
        eventually(sender.asleep)
        there.close()
        error = sender.join().error
        assert isinstance(error, DisconnectedError)
        assert error.outcome == "not_sent"


def test_messages_before_the_end_are_handed_out_first() -> None:
    with ends() as (here, there):
        there.send([b"one"], timeout=1)
        there.send([b"two"], timeout=1)
        there.close()
        assert as_bytes(here.receive(timeout=0)) == [b"one"]
        assert as_bytes(here.receive(timeout=None)) == [b"two"]
        for timeout in (0, 1, None):
            with pytest.raises(DisconnectedError):
                here.receive(timeout=timeout)


def test_half_a_message_before_the_end_is_discarded() -> None:
    with ends() as (here, there):
        there.send([b"whole"], timeout=1)
        os.write(there._writer.end.fd, Frames().encode([b"half a message"])[0][:12])
        there.close()
        assert as_bytes(here.receive(timeout=1)) == [b"whole"]
        with pytest.raises(DisconnectedError):
            here.receive(timeout=1)


def test_the_reason_for_the_other_ends_end_is_told() -> None:
    with ends(why_gone=lambda: " It was tired.") as (here, there):
        there.close()
        with pytest.raises(DisconnectedError, match="It was tired"):
            here.receive(timeout=1)


def test_close_wakes_a_receiver() -> None:
    with ends() as (here, _):
        receiver = Outcome(lambda: here.receive(timeout=None))
        eventually(receiver.asleep)
        here.close()
        assert isinstance(receiver.join().error, ClosedError)


def test_close_wakes_a_sender() -> None:
    with ends() as (here, _):
        fill(here)
        sender = Outcome(lambda: here.send([b"late"], timeout=None))
        eventually(sender.asleep)
        here.close()
        assert isinstance(sender.join().error, ClosedError)


def test_a_closed_end_says_so_and_may_be_closed_again() -> None:
    with ends() as (here, _):
        here.close()
        here.close()
        for use in (
            lambda: here.receive(timeout=0),
            lambda: here.send([b"x"], timeout=0),
            lambda: here.send([b"x", bytes(100_000)], timeout=0),
            lambda: here.send_many([[b"x"]], timeout=0),
            lambda: here.flush(timeout=0),
        ):
            with pytest.raises(ClosedError):
                use()


def test_the_owner_is_told_of_the_end_once() -> None:
    told: list[int] = []
    read_fd, other_out = os.pipe()
    other_in, write_fd = os.pipe()
    stream = DescriptorStream(read_fd, write_fd, framing=Frames(), closed=lambda: told.append(1))
    stream.close()
    stream.close()
    del stream
    assert told == [1]
    os.close(other_out)
    os.close(other_in)


def test_no_descriptor_is_left_after_close() -> None:
    before = descriptors()
    for _ in range(20):
        with ends() as (here, there):
            fill(here)
            sender = Outcome(lambda end=here: end.send([b"late"], timeout=None))
            receiver = Outcome(lambda end=here: end.receive(timeout=None))
            there.receive(timeout=1)
            here.close()
            sender.join()
            receiver.join()
    assert descriptors() == before


def test_a_forgotten_end_closes_itself() -> None:
    before = descriptors()
    with ends() as (here, there):
        here_fd = here.fileno()
        assert here_fd is not None
    read_fd, other_out = os.pipe()
    other_in, write_fd = os.pipe()
    gc.disable()  # its last reference must be enough
    try:
        stream = DescriptorStream(read_fd, write_fd, framing=Frames())
        stream.send([b"x"], timeout=1)
        del stream, here, there
        os.close(other_out)
        os.close(other_in)
        assert descriptors() == before
    finally:
        gc.enable()


def test_closing_while_both_sides_are_busy_never_touches_a_stranger() -> None:
    for _ in range(200):
        with ends() as (here, there):
            sender = Outcome(lambda end=here: [end.send([b"x" * 100], timeout=1) for _ in range(1000)])
            receiver = Outcome(lambda end=there: [end.receive(timeout=1) for _ in range(1000)])
            here.close()
            there.close()
            victims = [os.pipe() for _ in range(3)]  # these take the numbers that were just given back
            sender.join()
            receiver.join()
            for read_fd, write_fd in victims:
                assert not select.select([read_fd], [], [], 0)[0]
                os.close(read_fd)
                os.close(write_fd)


def test_a_forked_child_does_not_keep_the_string_alive() -> None:
    with ends() as (here, there):
        tell, ask = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ask)
            os.read(tell, 1)  # stays until the parent lets it go
            os._exit(0)
        os.close(tell)
        try:
            there.close()
            with pytest.raises(DisconnectedError):
                here.receive(timeout=DEADLINE)
        finally:
            os.close(ask)
            os.waitpid(pid, 0)
