"""The method `pipe`: rendezvous, private pairs, death, and what a listener bears. Strangers: test_pipe_strangers.py."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from descriptor_ends import DEADLINE, Outcome, descriptors
from pipe_stage import connect, program, serving

from tincans.conformance.patience import eventually
from tincans.contracts import Transport
from tincans.core.address import parse
from tincans.core.framing import Frames
from tincans.errors import (
    AddressError,
    ClosedError,
    DisconnectedError,
    NameInUseError,
    TincansError,
    UnreachableError,
)
from tincans.finder import find_wire
from tincans.toolkit import descriptor_reader
from tincans.toolkit.descriptor_stream import DescriptorStream
from tincans.toolkit.fifo_pair import FifoPair
from tincans.transports import pipe
from tincans.transports.pipe import TRANSPORT, PipeListener

ECHO = """
listener = TRANSPORT.listen(parse("pipe:alice"), framing=Frames())
print("ready", flush=True)
connection = listener.accept(timeout=30)
while True:
    connection.send(connection.receive(timeout=None), timeout=30)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime directory of this test, for its programs too."""
    monkeypatch.setenv("TINCANS_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@contextmanager
def joined(url: str = "pipe:alice") -> Iterator[tuple[DescriptorStream, DescriptorStream, PipeListener]]:
    """Both ends of one connection, and the listener."""
    with serving(url) as listener:
        client = Outcome(lambda: connect(url))
        there = listener.accept(timeout=DEADLINE)
        here = client.join().value
        assert there is not None
        assert isinstance(here, DescriptorStream)
        try:
            yield here, there, listener
        finally:
            here.close()
            there.close()


def test_it_is_a_transport() -> None:
    transport: Transport = TRANSPORT
    assert transport.board(parse("pipe:alice"), wire=find_wire(""), timeout=0) is None


@pytest.mark.parametrize("url", ["pipe:alice", "pipe:{place}/deep.pipe", "pipe:///{place}/slashes"])
def test_both_ends_talk(url: str, place: Path) -> None:
    with joined(url.format(place=place)) as (here, there, _):
        here.send([b"hello", b"buffer"], timeout=1)
        assert there.receive(timeout=1) == [b"hello", b"buffer"]
        there.send([b"yes"], timeout=1)
        assert here.receive(timeout=1) == [b"yes"]


def test_two_programs_talk() -> None:
    with program(ECHO):
        here = connect()
        for size in (0, 1, 70_000, 2_000_000):
            data = os.urandom(size)
            here.send([b"e", data], timeout=DEADLINE)
            assert here.receive(timeout=DEADLINE) == [b"e", data]
        here.close()


def test_clients_do_not_hear_each_other() -> None:
    with serving() as listener:
        clients = [Outcome(connect) for _ in range(5)]
        servers = [listener.accept(timeout=DEADLINE) for _ in range(5)]
        ours = [client.join().value for client in clients]
        for number, end in enumerate(ours):
            end.send([b"%d" % number], timeout=1)
        heard = []
        for server in servers:
            assert server is not None
            message = server.receive(timeout=1)
            assert message is not None
            server.send(message, timeout=1)
            heard.append(bytes(message[0]))
        assert sorted(heard) == [b"%d" % number for number in range(5)]
        assert [end.receive(timeout=1) for end in ours] == [[b"%d" % number] for number in range(5)]
        for end in (*ours, *servers):
            end.close()


def test_no_name_is_left_once_both_ends_are_open(place: Path) -> None:
    with joined():
        assert sorted(path.name for path in place.iterdir()) == ["alice.fifo", "alice.fifo.lock"]
    assert list(place.iterdir()) == []


def test_no_descriptor_is_left() -> None:
    with joined():
        pass
    before = descriptors()
    for _ in range(10):
        with joined() as (here, _, _):
            here.receive(timeout=0.001)
    with pytest.raises(UnreachableError):
        connect()
    assert descriptors() == before


def test_the_kernel_says_who_the_other_end_is() -> None:
    with joined() as (here, there, _):
        assert (here.identity.uid, here.identity.pid) == (os.geteuid(), None)
        assert (there.identity.uid, there.identity.pid) == (os.geteuid(), None)
        assert f"says it has pid {os.getpid()}" in there.identity.address


def test_options_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptor_reader, "useful_spin", lambda wanted: wanted)
    with joined("pipe:alice?max_message=1k&spin=7") as (here, there, listener):
        assert (here.max_message, there.max_message) == (1024, 1024)
        assert here._reader._spin == there._reader._spin == 7e-6
        assert listener.address == "pipe:alice"


@pytest.mark.parametrize(
    "url", ["pipe:", "pipe:a/b", "pipe://host/name", "pipe:/", "pipe:/a%00b", "pipe:x?speed=1", "pipe:/no/such/place"]
)
def test_an_address_that_names_no_pipe_is_refused(url: str) -> None:
    with pytest.raises(AddressError):
        TRANSPORT.listen(parse(url), framing=Frames())


# -- nobody there ----------------------------------------------------------------------------------------------


def test_without_a_server_connect_says_so_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(UnreachableError, match="Nobody serves pipe:alice"):
        connect()
    assert time.monotonic() - start < 1


def test_a_killed_servers_pipe_is_unreachable_at_once_and_blocks_nobody(place: Path) -> None:
    with program(ECHO) as server:
        server.kill()
        server.wait()
        assert (place / "alice.fifo").is_fifo()
        start = time.monotonic()
        with pytest.raises(UnreachableError):
            connect()
        assert time.monotonic() - start < 1
    with joined() as (here, there, _):
        here.send([b"again"], timeout=1)
        assert there.receive(timeout=1) == [b"again"]


def test_a_live_servers_name_is_in_use() -> None:
    with program(ECHO) as server, pytest.raises(NameInUseError, match=f"pid {server.pid}"):
        TRANSPORT.listen(parse("pipe:alice"), framing=Frames())


def test_a_server_that_does_not_accept_is_waited_for_no_longer_than_the_timeout(place: Path) -> None:
    with serving():
        before = descriptors()
        start = time.monotonic()
        with pytest.raises(UnreachableError, match="did not answer in time"):
            connect(timeout=0.1)
        assert 0.1 <= time.monotonic() - start < 1
        assert descriptors() == before
        assert sorted(path.name for path in place.iterdir()) == ["alice.fifo", "alice.fifo.lock"]


def test_a_server_that_dies_before_it_accepts_ends_the_wait() -> None:
    with program(
        "TRANSPORT.listen(parse('pipe:alice'), framing=Frames()); print('ready', flush=True); input()"
    ) as server:
        client = Outcome(connect)
        eventually(lambda: client.asleep())
        server.kill()
        error = client.join().error
        assert isinstance(error, UnreachableError)
        assert "ended before it answered" in str(error)


def test_a_client_that_gave_up_is_not_accepted() -> None:
    with serving() as listener:
        with pytest.raises(UnreachableError):
            connect(timeout=0.01)
        assert listener.accept(timeout=0) is None


# -- death -----------------------------------------------------------------------------------------------------


def test_killing_the_server_wakes_a_waiting_client() -> None:
    with program(ECHO) as server:
        here = connect()
        here.send([b"x"], timeout=1)
        assert here.receive(timeout=DEADLINE) == [b"x"]
        waiter = Outcome(lambda: here.receive(timeout=None))
        eventually(waiter.asleep)
        server.send_signal(signal.SIGKILL)
        start = time.monotonic()
        assert isinstance(waiter.join().error, DisconnectedError)
        assert time.monotonic() - start < 1
        with pytest.raises(DisconnectedError):
            here.send([b"x"], timeout=1)
        here.close()


def test_what_a_killed_client_had_sent_is_received() -> None:
    with (
        serving() as listener,
        program(
            "print('ready', flush=True)\n"
            "connection = TRANSPORT.connect(parse('pipe:alice'), timeout=10, framing=Frames())\n"
            "connection.send([b'last words'], timeout=1)\n"
            "os.kill(os.getpid(), 9)\n"
        ),
    ):
        there = listener.accept(timeout=DEADLINE)
        assert there is not None
        assert there.receive(timeout=DEADLINE) == [b"last words"]
        with pytest.raises(DisconnectedError):
            there.receive(timeout=DEADLINE)
        there.close()


DIES_WHILE_CONNECTING = """
FifoPair.make(Path(os.environ["TINCANS_RUNTIME_DIR"], "alice.fifo"))
print("ready", flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_clients_killed_while_connecting_left_is_removed_at_the_next_start(place: Path) -> None:
    with program(DIES_WHILE_CONNECTING) as client:
        client.wait()
    assert len(list(place.iterdir())) == 2
    with serving():
        assert sorted(path.name for path in place.iterdir()) == ["alice.fifo", "alice.fifo.lock"]


def test_what_clients_killed_while_connecting_left_is_removed_by_a_running_server(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as listener:
        with program(DIES_WHILE_CONNECTING) as client:
            client.wait()
        assert len(list(place.iterdir())) == 4
        monkeypatch.setattr(pipe, "_SWEEP_SECONDS", 0.0)
        client_end = Outcome(connect)
        there = listener.accept(timeout=DEADLINE)
        assert there is not None
        client_end.join().value.close()
        there.close()
        assert len(list(place.iterdir())) == 2


def test_a_connecting_clients_pair_is_never_taken_for_a_dead_ones(place: Path) -> None:
    pair = FifoPair.make(place / "alice.fifo")
    with serving():
        assert len(list(place.iterdir())) == 4
    pair.close()
    pair.remove()
    assert list(place.iterdir()) == []


# -- the listener ----------------------------------------------------------------------------------------------


def test_accept_returns_none_at_its_timeout() -> None:
    with serving() as listener:
        start = time.monotonic()
        assert listener.accept(timeout=0.05) is None
        assert time.monotonic() - start >= 0.05
        assert listener.accept(timeout=0) is None


def test_close_wakes_a_waiting_accept() -> None:
    with serving() as listener:
        waiter = Outcome(lambda: listener.accept(timeout=None))
        eventually(waiter.asleep)
        listener.close()
        assert isinstance(waiter.join().error, ClosedError)
        listener.close()
        with pytest.raises(ClosedError):
            listener.accept(timeout=0)


def test_a_closed_name_can_be_served_again() -> None:
    for _ in range(3):
        with joined() as (here, there, _):
            here.send([b"x"], timeout=1)
            assert there.receive(timeout=1) == [b"x"]


def test_the_descriptor_stays_readable_while_clients_wait() -> None:
    with serving() as listener:
        assert not select.select([listener.fileno()], [], [], 0)[0]
        clients = [Outcome(connect) for _ in range(3)]
        for _ in range(3):
            eventually(lambda: select.select([listener.fileno()], [], [], 0)[0])
            there = listener.accept(timeout=0)
            assert there is not None
        assert not select.select([listener.fileno()], [], [], 0)[0]
        assert all(client.join().error is None for client in clients)


def test_a_client_is_not_lost_when_descriptors_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    join_pair, refusals = pipe.join_pair, iter([True, True, False])

    def short_of_descriptors(place: Path, token: str) -> tuple[int, int]:
        if next(refusals):
            raise TincansError("Too many open files", temporary=True)
        return join_pair(place, token)

    monkeypatch.setattr(pipe, "join_pair", short_of_descriptors)
    with serving() as listener:
        client = Outcome(connect)
        for _ in range(2):
            with pytest.raises(TincansError, match="Too many"):
                listener.accept(timeout=DEADLINE)
            assert select.select([listener.fileno()], [], [], 0)[0]
        assert listener.accept(timeout=DEADLINE) is not None
        assert client.join().error is None


def test_a_forked_childs_end_does_not_end_the_parents_service() -> None:
    with serving() as listener:
        pid = os.fork()
        if pid == 0:
            listener.close()
            os._exit(0)
        os.waitpid(pid, 0)
        client = Outcome(connect)
        assert listener.accept(timeout=DEADLINE) is not None
        assert client.join().error is None


def test_a_forked_child_does_not_hold_the_name() -> None:
    code = (
        "listener = TRANSPORT.listen(parse('pipe:alice'), framing=Frames())\n"
        "if os.fork() == 0:\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    with program(code) as server:
        server.kill()
        server.wait()
        with serving():
            pass
