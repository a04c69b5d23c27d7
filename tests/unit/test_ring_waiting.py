"""Waiting on a ring: timeouts, pollers, closing, death, forks and signals.

Rules of this file
- A wait in a thread has begun when its end is ASLEEP in epoll; `until` waits for what can be seen of it.
- Death is the death of a real program.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_ring import NO_ROOM, SMALL, Pair, fill, in_background, pair, ring

from tincans.conformance.patience import eventually
from tincans.errors import ClosedError, DisconnectedError, ProtocolError, TincansError, WaitTimeoutError

__all__ = ["pair"]

ECHO = """
import socket, sys
from tincans._speed import ring
end = ring.accept(socket.socket(fileno=int(sys.argv[1])))
while (message := end.receive(20.0)) is not None:
    if message == [b"die"]:
        end.send([b"last words"], 1.0)
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    end.send(message, 20.0)
"""


@contextlib.contextmanager
def other_program() -> Iterator[tuple[ring.Ring, subprocess.Popen[bytes]]]:
    """A ring to another program that echoes, and dies when told to."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            command = [sys.executable, "-c", ECHO, str(theirs.fileno())]
            program = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        end = ring.offer(ours, capacity=SMALL)
    try:
        yield end, program
    finally:
        end.close()
        program.kill()
        program.wait()


def ask(end: ring.Ring, parts: list[bytes]) -> list[bytes] | None:
    assert end.send(parts, 10.0)
    return end.receive(10.0)


def sleeps(thread_id: int) -> bool:
    """Whether a thread of this program waits in the kernel."""
    try:
        status = Path(f"/proc/self/task/{thread_id}/stat").read_text()
    except FileNotFoundError:  # not begun, or over
        return False
    return status.rpartition(")")[2].split()[0] == "S"


def readable(descriptor: int | None, seconds: float) -> bool:
    assert descriptor is not None
    poller = select.epoll()
    with contextlib.closing(poller):
        poller.register(descriptor, select.EPOLLIN)
        return bool(poller.poll(seconds))


def test_receive_waits_as_long_as_told(pair: Pair) -> None:
    client, _ = pair()
    start = time.monotonic()
    assert client.receive(0.05) is None
    assert 0.05 <= time.monotonic() - start < 5


def test_receive_at_once_does_not_wait(pair: Pair) -> None:
    client, _ = pair()
    start = time.monotonic()
    assert client.receive(0) is None
    assert client.receive(-1.0) is None
    assert time.monotonic() - start < 1


@pytest.mark.alone
def test_an_idle_wait_uses_no_processor_time(pair: Pair) -> None:
    client, _ = pair()
    start = time.thread_time()
    client.receive(0.3)
    assert time.thread_time() - start < 0.03


def test_what_is_expected_is_waited_for_awake_once_whatever_was_learned(pair: Pair) -> None:
    client, _ = pair(spin=0.01)

    def used() -> float:
        start = time.thread_time()
        client.receive(0.05)
        return time.thread_time() - start

    if not client.spin:  # on one CPU nobody spins
        return
    assert eventually(lambda: used() < 0.002), "it learns that nothing comes"

    def awake() -> bool:
        client.expect()
        return used() > 0.005  # a busy machine may not let it spin all the time

    assert eventually(awake)
    assert used() < 0.002, "the next one is waited for as before"


def test_a_sleeping_receiver_is_woken_by_a_message(pair: Pair) -> None:
    client, server = pair(spin=0.0)
    thread, results = in_background(lambda: client.receive(10.0))
    eventually(lambda: sleeps(thread.native_id or 0))
    server.send([b"wake up"], 1.0)
    thread.join(10)
    assert results == [[b"wake up"]]


def test_a_sleeping_sender_is_woken_by_space(pair: Pair) -> None:
    client, server = pair(spin=0.0)
    count = fill(client)
    thread, results = in_background(lambda: client.send([NO_ROOM], 10.0))
    eventually(lambda: sleeps(thread.native_id or 0))
    for _ in range(count):
        server.receive(1.0)
    assert server.receive(10.0) == [NO_ROOM]
    thread.join(10)
    assert results == [True]


def test_a_poller_is_woken_after_receive_found_nothing(pair: Pair) -> None:
    client, server = pair()
    for number in range(200):
        assert client.receive(0) is None
        assert not readable(client.fileno(), 0)
        server.send([b"%d" % number], 1.0)
        assert readable(client.fileno(), 5)
        assert client.receive(0) == [b"%d" % number]


def test_a_poller_is_woken_after_a_wait_ended_in_time(pair: Pair) -> None:
    client, server = pair()
    assert client.receive(0.001) is None
    server.send([b"late"], 1.0)
    assert readable(client.fileno(), 5)


def test_a_poller_that_comes_first_sees_what_was_sent_before(pair: Pair) -> None:
    client, server = pair()
    server.send([b"early"], 1.0)
    assert readable(client.fileno(), 5)


def test_prepare_wait_tells_whether_there_is_something(pair: Pair) -> None:
    client, server = pair()
    assert client.prepare_wait() is False
    server.send([b"now"], 1.0)
    assert client.prepare_wait() is True
    assert client.receive(0) == [b"now"]


def test_closing_wakes_our_waiting_receiver(pair: Pair) -> None:
    client, _ = pair()
    thread, results = in_background(lambda: client.receive(None))
    eventually(lambda: sleeps(thread.native_id or 0))
    client.close()
    thread.join(10)
    assert isinstance(results[0], ClosedError)


def test_closing_wakes_their_waiting_receiver(pair: Pair) -> None:
    client, server = pair()
    thread, results = in_background(lambda: client.receive(None))
    eventually(lambda: sleeps(thread.native_id or 0))
    server.close()
    thread.join(10)
    assert isinstance(results[0], DisconnectedError)


@pytest.mark.parametrize("closer", [0, 1])
def test_closing_either_end_wakes_a_waiting_sender(pair: Pair, closer: int) -> None:
    ends = pair()
    fill(ends[0])
    thread, results = in_background(lambda: ends[0].send([NO_ROOM], None))
    eventually(lambda: sleeps(thread.native_id or 0))
    ends[closer].close()
    thread.join(10)
    assert isinstance(results[0], (ClosedError, DisconnectedError)[closer])


def test_what_was_sent_before_closing_is_received_first(pair: Pair) -> None:
    client, server = pair()
    server.send([b"one"], 1.0)
    server.send([b"two"], 1.0)
    server.close()
    assert [client.receive(1.0), client.receive(0)] == [[b"one"], [b"two"]]
    with pytest.raises(DisconnectedError):
        client.receive(0)
    with pytest.raises(DisconnectedError):
        client.receive(None)


def test_half_a_message_of_a_closed_end_is_never_received(pair: Pair) -> None:
    client, server = pair()
    server.send([b"x" * 20_000], 0.0)
    server.close()
    with pytest.raises(DisconnectedError):
        client.receive(5.0)


def test_sending_to_a_closed_end_says_that_it_was_not_sent(pair: Pair) -> None:
    client, server = pair()
    server.close()
    with pytest.raises(DisconnectedError) as caught:
        client.send([b"anyone?"], 1.0)
    assert caught.value.outcome == "not_sent"


def test_a_closed_ring_says_so_everywhere(pair: Pair) -> None:
    client, _ = pair()
    client.close()
    client.close()
    assert client.closed
    assert client.fileno() is None
    uses: list[Callable[[], object]] = [
        lambda: client.send([b"x"], 1.0),
        lambda: client.receive(1.0),
        lambda: client.flush(1.0),
        client.prepare_wait,
    ]
    for use in uses:
        with pytest.raises(ClosedError):
            use()


def test_another_program_answers() -> None:
    with other_program() as (end, _):
        for size in (0, 20, 5000, 100_000):
            assert ask(end, [b"x" * size, b"y"]) == [b"x" * size, b"y"]


def test_the_death_of_the_other_program_wakes_a_waiter() -> None:
    with other_program() as (end, program):
        ask(end, [b"are you there?"])
        thread, results = in_background(lambda: end.receive(None))
        eventually(lambda: sleeps(thread.native_id or 0))
        program.kill()
        thread.join(10)
        assert isinstance(results[0], DisconnectedError)


def test_the_death_of_the_other_program_wakes_a_poller() -> None:
    with other_program() as (end, program):
        ask(end, [b"are you there?"])
        assert end.receive(0) is None
        program.kill()
        assert readable(end.fileno(), 10)
        with pytest.raises(DisconnectedError):
            end.receive(0)


def test_last_words_are_received_before_the_death() -> None:
    with other_program() as (end, program):
        end.send([b"die"], 10.0)
        program.wait()
        assert end.receive(0) == [b"last words"]
        with pytest.raises(DisconnectedError):
            end.receive(10.0)


def test_a_forked_child_cannot_use_its_parents_ring(pair: Pair) -> None:
    client, server = pair()
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            try:
                client.send([b"from the child"], 1.0)
            except ClosedError:
                status = 0
            client.close()
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.send([b"from the parent"], 1.0)
    assert server.receive(1.0) == [b"from the parent"]


def test_a_child_that_closes_does_not_hide_the_death_of_its_parent(pair: Pair) -> None:
    client, server = pair()
    asleep, awake = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            client.close()
            os.close(awake)
            os.read(asleep, 1)  # lives on, until the test lets go
        os._exit(0)
    client.close()
    with pytest.raises(DisconnectedError):
        server.receive(5.0)
    os.close(awake)
    os.waitpid(child, 0)
    os.close(asleep)


def test_a_signal_handler_runs_during_a_wait_and_may_end_it(pair: Pair) -> None:
    client, server = pair()

    def raise_it(*_: object) -> None:
        raise InterruptedError("the handler's own")

    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(InterruptedError, match="own"):
            client.receive(20.0)
        assert time.monotonic() - start < 10
    finally:
        signal.signal(signal.SIGALRM, before)
    server.send([b"still works"], 1.0)
    assert client.receive(1.0) == [b"still works"]


def test_a_second_thread_in_the_same_direction_is_refused(pair: Pair) -> None:
    client, _ = pair()
    thread, _ = in_background(lambda: client.receive(None))
    eventually(lambda: sleeps(thread.native_id or 0))
    with pytest.raises(TincansError, match="Two threads"):
        client.receive(0)
    client.close()
    thread.join(10)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_closed_and_dropped_rings_leave_no_descriptor(pair: Pair) -> None:
    before = open_descriptors()
    for close in (True, False):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            client, server = ring.offer(ours, capacity=SMALL), ring.accept(theirs)
        fill(client)
        assert client.send([NO_ROOM], 0.001) is False
        if close:
            client.close()
            server.close()
        del client, server
    assert open_descriptors() == before


def unsealed_memory(good: int) -> int:
    memory = os.memfd_create("unsealed", os.MFD_ALLOW_SEALING)
    os.pwrite(memory, os.pread(good, 4096 + 2 * SMALL, 0), 0)
    return memory


def device(_: int) -> int:
    return os.open("/dev/null", os.O_RDWR)


# What a careless or hostile program might pass: which of memory, bell and bell is replaced, and by what.
WRONG_OFFERS = {"unsealed memory": (0, unsealed_memory), "no memory": (0, device), "no bell": (2, device)}


@pytest.mark.parametrize("name", WRONG_OFFERS)
def test_a_wrong_offer_is_a_protocol_error_and_leaves_nothing(name: str) -> None:
    before = open_descriptors()
    place, make = WRONG_OFFERS[name]
    offered = list(ring.Ring.create(SMALL))
    replaced = offered[place]
    offered[place] = make(replaced)
    os.close(replaced)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"tincans-ring-1"], offered)
        with pytest.raises(ProtocolError):
            ring.accept(theirs)
    for descriptor in offered:
        os.close(descriptor)
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("greeting", "count"), [(b"tincans-ring-1", 2), (b"tincans-ring-1", 0), (b"tincans-ring-2", 3)]
)
def test_an_offer_of_another_kind_is_a_protocol_error(greeting: bytes, count: int) -> None:
    before = open_descriptors()
    good = ring.Ring.create(SMALL)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [greeting], good[:count])
        with pytest.raises(ProtocolError, match="version"):
            ring.accept(theirs)
    for descriptor in good:
        os.close(descriptor)
    assert open_descriptors() == before


def test_memory_larger_than_the_limit_is_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = ring.offer(ours, capacity=2 * SMALL)
        with pytest.raises(ProtocolError, match="size"):
            ring.accept(theirs, capacity_limit=SMALL)
        client.close()


def test_a_stranger_who_says_nothing_is_given_up_in_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(WaitTimeoutError):
        ring.accept(theirs, timeout=0.05)


def test_a_stranger_who_hangs_up_is_a_disconnection() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()
        with pytest.raises(DisconnectedError):
            ring.accept(theirs)
