"""The method tcp: loopback unless told otherwise, and quick to say what is wrong."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from patience import PATIENCE, in_thread

from tincans.contracts import Connection, Listener
from tincans.core.address import parse
from tincans.core.framing import FRAMES
from tincans.errors import AddressError, DisconnectedError, NameInUseError, UnreachableError
from tincans.transports.tcp import TRANSPORT


def listen(url: str) -> Listener:
    return TRANSPORT.listen(parse(url), framing=FRAMES)


def connect(url: str, timeout: float = 5) -> Connection:
    return TRANSPORT.connect(parse(url), timeout=timeout, framing=FRAMES)


def accepted(listener: Listener) -> Connection:
    connection = listener.accept(timeout=PATIENCE)
    assert connection is not None
    return connection


@pytest.fixture(params=["tcp://127.0.0.1:0", "tcp://:0", "tcp://localhost:0", "tcp://[::1]:0"])
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    made = listen(request.param)
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[Connection, Connection]]:
    listener = listen("tcp://127.0.0.1:0")
    here, there = connect(listener.address), accepted(listener)
    listener.close()
    yield here, there
    here.close()
    there.close()


def test_the_address_to_copy_has_the_real_port(listener: Listener) -> None:
    assert parse(listener.address).port
    here, there = connect(listener.address), accepted(listener)
    here.send([b"hello"], timeout=1)
    assert there.receive(timeout=1) == [b"hello"]
    here.close()
    there.close()


def test_large_messages_arrive_whole(pair: tuple[Connection, Connection]) -> None:
    content = bytes(range(256)) * 40_000
    sending = in_thread(lambda: pair[0].send([b"large", content], timeout=PATIENCE))
    received = pair[1].receive(timeout=PATIENCE)
    assert received is not None and [bytes(part) for part in received] == [b"large", content]
    sending.result(PATIENCE)


def test_both_ends_know_the_others_address(pair: tuple[Connection, Connection]) -> None:
    for one in pair:
        host, _, port = one.identity.address.rpartition(":")
        assert host == "127.0.0.1" and port.isdigit()
        assert one.identity.uid is None and one.identity.pid is None


def test_packets_are_sent_at_once_and_a_dead_network_is_noticed(pair: tuple[Connection, Connection]) -> None:
    for one in pair:
        stream: Any = one._stream  # type: ignore[attr-defined]
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


def test_the_end_of_the_other_side_is_seen_after_its_messages(pair: tuple[Connection, Connection]) -> None:
    pair[1].send([b"unread"], timeout=1)
    pair[0].send([b"farewell"], timeout=1)
    pair[0].close()
    assert pair[1].receive(timeout=1) == [b"farewell"]
    with pytest.raises(DisconnectedError):
        pair[1].receive(timeout=PATIENCE)


def test_nobody_there_is_said_at_once() -> None:
    with socket.socket() as holder:  # bound and not listening: nobody else can come to listen there
        holder.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableError, match="Start the server"):
            connect(f"tcp://127.0.0.1:{holder.getsockname()[1]}", timeout=PATIENCE)


def test_an_unknown_host_is_said() -> None:
    with pytest.raises(UnreachableError, match="cannot be found"):
        connect("tcp://no-such-host.invalid:9000")


def test_reaching_oneself_is_reaching_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback the kernel may give a caller the very port it calls; that is no server."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    made = socket.socket

    def bound(family: int, kind: int) -> socket.socket:
        stream = made(family, kind)
        stream.bind(("127.0.0.1", port))
        return stream

    monkeypatch.setattr("tincans.transports.tcp.socket.socket", bound)
    with pytest.raises(UnreachableError):
        connect(f"tcp://127.0.0.1:{port}")


def test_a_port_in_use_is_refused() -> None:
    listener = listen("tcp://127.0.0.1:0")
    with pytest.raises(NameInUseError, match="Choose another port"):
        listen(listener.address)
    listener.close()


def test_the_next_server_can_start_at_once_on_the_same_port() -> None:
    listener = listen("tcp://127.0.0.1:0")
    here, there = connect(listener.address), accepted(listener)
    there.close()  # the side that closes first keeps the port in TIME_WAIT
    here.close()
    listener.close()
    listen(listener.address).close()


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1"])
def test_listening_beyond_loopback_needs_a_key(host: str) -> None:
    with pytest.raises(AddressError, match="key_file"):
        listen(f"tcp://{host}:0")
    with pytest.raises(AddressError, match="key_file"):
        listen(f"tcp://{host}:0?key=")


def test_with_a_key_it_listens_beyond_loopback_and_never_shows_the_key() -> None:
    listener = listen("tcp://0.0.0.0:0?key=open-sesame&key_name=cave")
    assert "open-sesame" not in listener.address
    assert parse(listener.address).host == socket.gethostname().lower()
    connection = connect(f"tcp://127.0.0.1:{parse(listener.address).port}?key=open-sesame")
    accepted(listener).close()
    connection.close()
    listener.close()


@pytest.mark.parametrize("bad", ["tcp://127.0.0.1", "tcp://127.0.0.1:1/path", "tcp:9000", "tcp://127.0.0.1:1?x=1"])
def test_an_address_that_makes_no_sense_says_what_would(bad: str) -> None:
    for attempt in (listen, connect):
        with pytest.raises(AddressError):
            attempt(bad)


def test_port_zero_is_for_listening_only() -> None:
    with pytest.raises(AddressError, match="port"):
        connect("tcp://127.0.0.1:0")


def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(AddressError, match="this machine"):
        listen("tcp://192.0.2.1:0?key=x")
