"""A connection over a socket pair: delivery, deadlines, limits, and the price in system calls."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import pytest
from patience import PATIENCE, in_thread

from tincans.conformance.patience import eventually
from tincans.core.framing import FRAMES, LINES
from tincans.errors import (
    ProtocolError,
    TooLargeError,
    UnsendableError,
    WaitTimeoutError,
)
from tincans.toolkit.byte_stream import ByteStream

PRECISE = 0.05  # seconds; what a loaded test machine may add to a deadline

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


def clog(connection: ByteStream) -> int:
    """Send until nothing more fits; how many messages left whole or were begun."""
    for count in range(100_000):
        try:
            connection.send([b"%06d" % count + b"." * 1000], timeout=0)
        except WaitTimeoutError:
            return count
    raise AssertionError("it never clogged")


def plain(message: Any) -> list[bytes]:
    return [bytes(part) for part in message]


@pytest.mark.parametrize(
    "message",
    [
        [b""],
        [b"x"],
        [bytearray(b"array"), memoryview(b"view")],
        [b"", b"", b""],
        [b"e" * 20_000],
        [b"e", b"p" * 3_000_000],
    ],
    ids=["empty", "small", "other buffers", "empty parts", "beyond one receive", "megabytes"],
)
def test_a_message_arrives_as_it_was_sent(pair: Pair, message: list[Any]) -> None:
    sent = in_thread(lambda: pair[0].send(message, timeout=PATIENCE))
    received = pair[1].receive(timeout=PATIENCE)
    assert plain(received) == plain(message)
    assert sent.result(PATIENCE) is None


def test_messages_arrive_in_order_whatever_their_sizes(pair: Pair) -> None:
    sizes = [0, 1, 8, 16_383, 16_384, 16_385, 65_536, 500_000, 3, 0, 100_001]
    messages = [[b"%d" % size, b"\xa5" * size] for size in sizes] + [[b"\x5a" * size] for size in sizes]
    done = in_thread(lambda: [pair[0].send(message, timeout=PATIENCE) for message in messages])
    assert [plain(pair[1].receive(timeout=PATIENCE)) for _ in messages] == messages
    done.result(PATIENCE)


def test_both_directions_work_at_the_same_time(pair: Pair) -> None:
    """Each side sends more than fits before it has received anything."""
    large = [b"", b"x" * 5_000_000]
    sending = [in_thread(lambda end=end: end.send(large, timeout=PATIENCE)) for end in pair]  # type: ignore[misc]
    receiving = [in_thread(lambda end=end: end.receive(timeout=PATIENCE)) for end in pair]  # type: ignore[misc]
    assert [len(outcome.result(PATIENCE)[1]) for outcome in receiving] == [5_000_000] * 2
    assert [outcome.result(PATIENCE) for outcome in sending] == [None, None]


def test_more_buffers_than_the_kernel_takes_at_once_all_arrive(pair: Pair) -> None:
    message = [b"%05d" % number + b"." * 50 for number in range(1025)]
    done = in_thread(lambda: pair[0].send(message, timeout=PATIENCE))
    assert plain(pair[1].receive(timeout=PATIENCE)) == message
    done.result(PATIENCE)


@pytest.mark.alone
@pytest.mark.parametrize("timeout", [0.001, 0.03, 0.2])
def test_a_receive_in_vain_ends_at_its_deadline(pair: Pair, timeout: float) -> None:
    pair[0].receive(timeout=0.01)  # so that the kernel has another timeout in mind
    started = monotonic()
    assert pair[0].receive(timeout=timeout) is None
    assert timeout - 0.001 <= monotonic() - started < timeout + PRECISE


def test_a_longer_wait_after_a_shorter_one_is_not_cut_short(pair: Pair) -> None:
    pair[0].receive(timeout=0.06)
    started = monotonic()
    assert pair[0].receive(timeout=0.1) is None
    assert monotonic() - started >= 0.1


@pytest.mark.alone
def test_a_receive_at_once_takes_only_what_is_there(pair: Pair) -> None:
    started = monotonic()
    assert pair[1].receive(timeout=0) is None
    assert monotonic() - started < PRECISE
    pair[0].send([b"there"], timeout=0)
    assert pair[1].receive(timeout=0) == [b"there"]


def test_a_receive_without_a_timeout_waits_for_the_message(pair: Pair) -> None:
    pair[1].receive(timeout=0.01)
    received = in_thread(lambda: pair[1].receive(timeout=None))
    eventually(lambda: pair[1]._receiving)
    pair[0].send([b"late"], timeout=1)
    assert received.result(PATIENCE) == [b"late"]


@pytest.mark.alone
def test_trickled_bytes_do_not_prolong_a_deadline(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    frame = FRAMES.encode([b"x" * 1000])[0]
    stop = threading.Event()

    def trickle() -> None:
        for number in range(len(frame)):
            if stop.wait(0.01):
                return
            other.send(frame[number : number + 1])

    trickling = in_thread(trickle)
    started = monotonic()
    assert connection.receive(timeout=0.2) is None
    assert monotonic() - started < 0.2 + PRECISE
    stop.set()
    trickling.result(PATIENCE)


def test_a_message_may_arrive_over_several_receives(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    frame = b"".join(FRAMES.encode([b"envelope", b"part" * 20_000]))
    for start in range(0, len(frame), 10_007):
        assert connection.receive(timeout=0) is None
        other.sendall(frame[start : start + 10_007])
    assert plain(connection.receive(timeout=0)) == [b"envelope", b"part" * 20_000]


@pytest.mark.alone
def test_a_clogged_send_is_refused_at_its_deadline_with_nothing_sent(pair: Pair) -> None:
    clog(pair[0])
    assert pair[0].flush(timeout=0) in (True, False)
    started = monotonic()
    with pytest.raises(WaitTimeoutError, match="nothing of it was sent"):
        pair[0].send([b"refused"], timeout=0.1)
    assert 0.1 <= monotonic() - started < 0.1 + PRECISE


def test_a_message_that_has_begun_is_finished_before_anything_else(pair: Pair) -> None:
    large = bytearray(b"x" * 2_000_000)
    pair[0].send([b"large", large], timeout=0.01)
    assert not pair[0].flush(timeout=0)
    large[:] = b"y" * len(large)  # the buffer is the caller's again
    receiving = in_thread(lambda: [pair[1].receive(timeout=PATIENCE) for _ in range(2)])
    pair[0].send([b"next"], timeout=PATIENCE)
    first, second = receiving.result(PATIENCE)
    assert plain(first) == [b"large", b"x" * 2_000_000]
    assert second == [b"next"]


def test_flush_says_when_all_has_left(pair: Pair) -> None:
    assert pair[0].flush(timeout=0)
    pair[0].send([b"large", b"x" * 2_000_000], timeout=0)
    assert not pair[0].flush(timeout=0.01)
    receiving = in_thread(lambda: pair[1].receive(timeout=PATIENCE))
    assert pair[0].flush(timeout=PATIENCE)
    assert len(receiving.result(PATIENCE)[1]) == 2_000_000


def test_no_message_is_lost_or_torn_in_a_clogged_stream(pair: Pair) -> None:
    count = clog(pair[0])
    receiving = in_thread(lambda: [pair[1].receive(timeout=PATIENCE) for _ in range(count + 1)])
    assert pair[0].flush(timeout=PATIENCE)
    pair[0].send([b"last"], timeout=PATIENCE)
    messages = receiving.result(PATIENCE)
    assert [int(message[0][:6]) for message in messages[:-1]] == list(range(count))
    assert messages[-1] == [b"last"]


def test_an_interrupted_send_still_finishes_its_message(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle: what has begun to leave is kept."""

    def interrupted() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("tincans.toolkit.byte_stream.select.poll", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pair[0].send([b"", b"x" * 2_000_000], timeout=None)
    monkeypatch.undo()
    receiving = in_thread(lambda: pair[1].receive(timeout=PATIENCE))
    assert pair[0].flush(timeout=PATIENCE)
    assert len(receiving.result(PATIENCE)[1]) == 2_000_000


def test_one_byte_over_the_limit_is_refused_with_nothing_sent(pair: Pair) -> None:
    pair[0].max_message = 1000
    for message in ([b"x" * 1001], [b"x" * 500, bytearray(501)], [memoryview(bytearray(1008)).cast("d")]):
        with pytest.raises(TooLargeError, match="1,000"):
            pair[0].send(message, timeout=1)
    assert pair[1].receive(timeout=0) is None
    pair[0].send([b"x" * 500, b"y" * 500], timeout=1)
    assert pair[1].receive(timeout=1) == [b"x" * 500, b"y" * 500]


def test_a_message_over_the_receivers_limit_ends_the_connection(pair: Pair) -> None:
    pair[1].max_message = 1000
    pair[0].send([b"x" * 1001], timeout=1)
    with pytest.raises(ProtocolError, match="1000"):
        pair[1].receive(timeout=1)


def test_a_raised_limit_holds_at_once(pair: Pair) -> None:
    pair[0].max_message = pair[1].max_message = 10
    pair[0].max_message = pair[1].max_message = 1000
    pair[0].send([b"x" * 1000], timeout=1)
    assert pair[1].receive(timeout=1) == [b"x" * 1000]


def test_what_cannot_be_framed_is_refused_with_nothing_sent(pair: Pair) -> None:
    for parts in ([], [b"", memoryview(b"123456")[::2]]):
        with pytest.raises(UnsendableError):
            pair[0].send(parts, timeout=1)
    pair[0].send([b"fine"], timeout=1)
    assert pair[1].receive(timeout=1) == [b"fine"]


def test_pending_knows_of_a_message_that_was_taken_in_with_another(pair: Pair) -> None:
    assert not pair[1].pending()
    for word in (b"one", b"two"):
        pair[0].send([word], timeout=1)
    assert not pair[1].pending()
    assert pair[1].receive(timeout=1) == [b"one"]
    assert pair[1].pending()
    assert pair[1].receive(timeout=0) == [b"two"]
    assert not pair[1].pending()


def test_pending_with_half_a_message_is_no(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    frame = FRAMES.encode([b"half"])[0]
    other.sendall(frame + frame[:-1])
    assert connection.receive(timeout=1) == [b"half"]
    assert not connection.pending()
    other.sendall(frame[-1:])
    assert connection.receive(timeout=1) == [b"half"]


def test_pending_garbage_is_reported_by_the_next_receive(raw: tuple[ByteStream, socket.socket]) -> None:
    connection, other = raw
    other.sendall(FRAMES.encode([b"fine"])[0] + b"garbage, garbage")
    assert connection.receive(timeout=1) == [b"fine"]
    assert connection.pending()
    with pytest.raises(ProtocolError):
        connection.receive(timeout=0)


def test_the_descriptor_polls_readable_when_a_message_is_there(pair: Pair) -> None:
    poll = select.poll()
    descriptor = pair[1].fileno()
    assert descriptor is not None
    poll.register(descriptor, select.POLLIN)
    assert not poll.poll(0)
    pair[0].send([b"x"], timeout=1)
    assert poll.poll(PATIENCE * 1000)


def test_lines_work_as_well() -> None:
    here, there = socket.socketpair()
    connection = ByteStream(here, LINES)
    there.sendall(b"add 2 5\r\nadd 3 ")
    assert connection.receive(timeout=1) == [b"add 2 5"]
    assert connection.receive(timeout=0) is None
    there.sendall(b"4\n")
    assert connection.receive(timeout=1) == [b"add 3 4"]
    connection.send([b"7"], timeout=1)
    assert there.recv(10) == b"7\n"
    connection.close()
    there.close()


class Narrow:
    """A socket that takes a few bytes at a time, as a full one does."""

    def __init__(self, stream: socket.socket, width: int) -> None:
        self.stream = stream
        self.width = width

    def send(self, data: Any, flags: int) -> int:
        return self.stream.send(data[: self.width], flags)

    def sendmsg(self, buffers: Any, ancillary: Any, flags: int) -> int:
        return self.send(b"".join(buffers), flags)

    def set_receive_timeout(self, seconds: float | None) -> None:
        pass

    def poll_for(self) -> tuple[int, float]:
        return select.POLLOUT, 1.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 100])
def test_a_stream_that_takes_little_at_a_time_gets_all(width: int) -> None:
    here, there = socket.socketpair()
    sender, receiver = ByteStream(Narrow(here, width), FRAMES), ByteStream(there, FRAMES)
    for message in ([b"small"], [b""], [b"several", b"parts"], [b"x" * 100]):
        sender.send(message, timeout=1)
        assert receiver.receive(timeout=1) == message
    sender.close()
    receiver.close()


class Counting:
    """A socket that counts its system calls."""

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.calls: list[str] = []

    def set_receive_timeout(self, seconds: float | None) -> None:
        self.calls.append("setsockopt")

    def poll_for(self) -> tuple[int, float]:
        return select.POLLOUT, 1.0

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            return getattr(self.stream, name)(*arguments)

        return call


@pytest.mark.parametrize("parts", [1, 3])
def test_a_small_message_costs_one_system_call_each_way(parts: int) -> None:
    here, there = (Counting(end) for end in socket.socketpair())
    sender, receiver = ByteStream(here, FRAMES), ByteStream(there, FRAMES)
    receiver.receive(timeout=0)
    for timeout in (30.0, 29.9999, 29.0):
        sender.send([b"x"] * parts, timeout=timeout)
        receiver.receive(timeout=timeout)
    assert here.calls == ["send" if parts == 1 else "sendmsg"] * 3
    assert there.calls == ["recv", "setsockopt", "recv", "recv", "recv"]
    sender.close()
    receiver.close()


def test_messages_that_came_together_cost_one_system_call_together() -> None:
    here, there = socket.socketpair()
    counting = Counting(there)
    sender, receiver = ByteStream(here, FRAMES), ByteStream(counting, FRAMES)
    for _ in range(10):
        sender.send([b"x"], timeout=1)
    assert [receiver.receive(timeout=1) for _ in range(10)] == [[b"x"]] * 10
    assert counting.calls.count("recv") == 1
    sender.close()
    receiver.close()


class Record:
    """A stream that, as TLS does, keeps the rest of a record where no poll sees it."""

    def __init__(self, *records: bytes) -> None:
        self._records = [*records]
        self._rest = b""

    def recv(self, count: int, flags: int = 0, /) -> bytes:
        if not self._rest:
            if not self._records:
                raise BlockingIOError
            self._rest = self._records.pop(0)
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def pending(self) -> int:
        return len(self._rest)

    def send(self, data: Any, flags: int = 0, /) -> int:
        raise AssertionError("nothing is sent here")

    sendmsg = recv_into = send

    def set_receive_timeout(self, seconds: float | None) -> None:
        """It never waits."""

    def poll_for(self) -> tuple[int, float]:
        return select.POLLOUT, 1.0

    def fileno(self) -> int:
        return -1

    def shutdown(self, how: int, /) -> None:
        """Nobody is at the other end."""

    close = pending


def test_pending_knows_of_the_rest_of_a_record_that_no_poll_tells_of() -> None:
    first, second = FRAMES.encode([b"a" * 8_185])[0], FRAMES.encode([b"b" * 8_186])[0]
    stream = first + second
    connection = ByteStream(Record(stream[:3], stream[3:]), FRAMES)  # type: ignore[arg-type]
    assert connection.receive(timeout=1) == [b"a" * 8_185]
    assert connection.pending()
    assert connection.receive(timeout=0) == [b"b" * 8_186]
