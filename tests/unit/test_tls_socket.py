"""TLS under tcp: nobody waits for a stranger's handshake, and nothing goes in plain text by mistake."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from time import monotonic

import pytest
from certificates import certificates
from patience import PATIENCE, in_thread

from tincans.conformance.patience import eventually
from tincans.contracts import Connection, Listener
from tincans.core.address import parse
from tincans.core.framing import FRAMES
from tincans.errors import (
    AddressError,
    ClosedError,
    DeniedError,
    DisconnectedError,
    ProtocolError,
    UnreachableError,
    WaitTimeoutError,
)
from tincans.transports.tcp import TRANSPORT

PLACE = certificates()
SERVER = f"tcp://127.0.0.1:0?tls=yes&cert={PLACE}/server.pem"
TRUST = f"tls=yes&ca={PLACE}/authority.pem"

Pair = tuple[Connection, Connection]


def listen(url: str = SERVER) -> Listener:
    return TRANSPORT.listen(parse(url), framing=FRAMES)


def connect(listener: Listener, options: str = TRUST, host: str = "127.0.0.1", timeout: float = PATIENCE) -> Connection:
    url = f"tcp://{host}:{parse(listener.address).port}?{options}"
    return TRANSPORT.connect(parse(url), timeout=timeout, framing=FRAMES)


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = listen()
    yield made
    made.close()


@pytest.fixture
def pair(listener: Listener) -> Iterator[Pair]:
    connecting = in_thread(lambda: connect(listener))
    there = listener.accept(timeout=PATIENCE)
    assert there is not None
    assert there.receive(timeout=0.01) is None  # which answers the handshake
    eventually(lambda: connecting.done() or there.receive(timeout=0.01) is not None)
    here = connecting.result(PATIENCE)
    yield here, there
    here.close()
    there.close()


def test_messages_go_both_ways(pair: Pair) -> None:
    for sender, receiver in (pair, pair[::-1]):
        sender.send([b"hello", b"small"], timeout=PATIENCE)
        assert receiver.receive(timeout=PATIENCE) == [b"hello", b"small"]


def test_what_travels_is_encrypted(pair: Pair) -> None:
    secret = b"the secret of the cave"
    stream = socket.socket(fileno=socket.dup(pair[1].fileno() or -1))
    pair[0].send([secret * 100], timeout=PATIENCE)
    stream.settimeout(PATIENCE)
    assert secret not in stream.recv(10_000)
    stream.close()


@pytest.mark.parametrize("size", [16_000, 16_384, 16_385, 100_000, 3_000_000])
def test_messages_of_many_records_arrive_whole(pair: Pair, size: int) -> None:
    message = [b"envelope", b"\xa5" * size, b"", b"tail" * 10]
    sending = in_thread(lambda: [pair[0].send(message, timeout=PATIENCE) for _ in range(3)])
    for _ in range(3):
        received = pair[1].receive(timeout=PATIENCE)
        assert received is not None and [bytes(part) for part in received] == message
    sending.result(PATIENCE)


def test_both_directions_work_at_the_same_time(pair: Pair) -> None:
    large = [b"", b"x" * 3_000_000]
    sending = [in_thread(lambda end=end: end.send(large, timeout=PATIENCE)) for end in pair]  # type: ignore[misc]
    receiving = [in_thread(lambda end=end: end.receive(timeout=PATIENCE)) for end in pair]  # type: ignore[misc]
    assert [len(outcome.result(PATIENCE)[1]) for outcome in receiving] == [3_000_000] * 2
    assert [outcome.result(PATIENCE) for outcome in sending] == [None, None]


@pytest.mark.alone
def test_a_receive_in_vain_ends_at_its_deadline(pair: Pair) -> None:
    for timeout in (0, 0.01, 0.1):
        started = monotonic()
        assert pair[0].receive(timeout=timeout) is None
        assert timeout <= monotonic() - started < timeout + 0.05


def test_no_message_is_lost_or_torn_in_a_clogged_stream(pair: Pair) -> None:
    count = 0
    with pytest.raises(WaitTimeoutError):
        while True:
            pair[0].send([b"%06d" % count + b"." * 5000], timeout=0)
            count += 1
    receiving = in_thread(lambda: [pair[1].receive(timeout=PATIENCE) for _ in range(count + 1)])
    assert pair[0].flush(timeout=PATIENCE)
    pair[0].send([b"last"], timeout=PATIENCE)
    messages = receiving.result(PATIENCE)
    assert [int(message[0][:6]) for message in messages[:-1]] == list(range(count))
    assert messages[-1] == [b"last"]


def test_a_message_that_has_begun_is_finished_before_anything_else(pair: Pair) -> None:
    large = bytearray(b"x" * 8_000_000)
    pair[0].send([b"large", large], timeout=0.05)
    assert not pair[0].flush(timeout=0)
    large[:] = b"y" * len(large)
    receiving = in_thread(lambda: [pair[1].receive(timeout=PATIENCE) for _ in range(2)])
    pair[0].send([b"next"], timeout=PATIENCE)
    first, second = receiving.result(PATIENCE)
    assert [bytes(part) for part in first] == [b"large", b"x" * 8_000_000]
    assert second == [b"next"]


def test_a_server_may_speak_first(listener: Listener) -> None:
    connecting = in_thread(lambda: connect(listener))
    there = listener.accept(timeout=PATIENCE)
    assert there is not None
    there.send([b"welcome"], timeout=PATIENCE)
    here = connecting.result(PATIENCE)
    assert here.receive(timeout=PATIENCE) == [b"welcome"]
    here.close()
    there.close()


def test_a_silent_stranger_holds_up_nobody(listener: Listener) -> None:
    silent = socket.create_connection(("127.0.0.1", parse(listener.address).port or 0))
    stranger = listener.accept(timeout=PATIENCE)
    assert stranger is not None and stranger.receive(timeout=0) is None
    connecting = in_thread(lambda: connect(listener))
    there = listener.accept(timeout=PATIENCE)
    assert there is not None
    there.send([b"welcome"], timeout=PATIENCE)
    here = connecting.result(PATIENCE)
    assert here.receive(timeout=PATIENCE) == [b"welcome"]
    for one in (silent, stranger, here, there):
        one.close()


def test_a_stranger_without_tls_is_a_protocol_error(listener: Listener) -> None:
    stranger = socket.create_connection(("127.0.0.1", parse(listener.address).port or 0))
    stranger.sendall(FRAMES.encode([b"in plain text"])[0])
    there = listener.accept(timeout=PATIENCE)
    assert there is not None
    with pytest.raises(ProtocolError, match="tls=yes"):
        there.receive(timeout=PATIENCE)
    there.close()
    stranger.close()


def test_a_server_without_tls_is_noticed() -> None:
    listener = listen("tcp://127.0.0.1:0")
    connecting = in_thread(lambda: connect(listener))
    there = listener.accept(timeout=PATIENCE)
    assert there is not None
    there.send([b"in plain text"], timeout=1)
    with pytest.raises(ProtocolError, match="tls=yes"):
        connecting.result(PATIENCE)
    there.close()
    listener.close()


def test_a_silent_server_is_unreachable_at_the_deadline(listener: Listener) -> None:
    started = monotonic()
    with pytest.raises(UnreachableError, match="handshake"):
        connect(listener, timeout=0.2)
    assert monotonic() - started < 0.4


@pytest.mark.parametrize(("options", "host"), [("tls=yes", "127.0.0.1"), (TRUST, "127.0.0.2")], ids=["signer", "host"])
def test_a_certificate_that_does_not_hold_is_denied(listener: Listener, options: str, host: str) -> None:
    """Signed by nobody we know, or made for another name."""
    listener = listen(SERVER.replace("127.0.0.1", host))
    connecting = in_thread(lambda: connect(listener, options, host))
    there = listener.accept(timeout=PATIENCE)
    assert there is not None
    with pytest.raises((DeniedError, DisconnectedError)):
        there.receive(timeout=PATIENCE)
    with pytest.raises(DeniedError, match="certificate"):
        connecting.result(PATIENCE)
    there.close()
    listener.close()


def test_whoever_asks_not_to_verify_is_not_protected_and_not_hindered(listener: Listener) -> None:
    connecting = in_thread(lambda: connect(listener, "tls=yes&tls_verify=no"))
    there = listener.accept(timeout=PATIENCE)
    assert there is not None
    there.send([b"welcome"], timeout=PATIENCE)
    connecting.result(PATIENCE).close()
    there.close()


def test_a_client_without_a_certificate_is_denied_where_one_is_asked_for() -> None:
    listener = listen(SERVER + f"&ca={PLACE}/authority.pem")
    connecting = in_thread(lambda: connect(listener))
    there = listener.accept(timeout=PATIENCE)
    assert there is not None
    with pytest.raises((DeniedError, ProtocolError)):
        there.receive(timeout=PATIENCE)
    with pytest.raises((DeniedError, DisconnectedError)):
        connecting.result(PATIENCE).receive(timeout=PATIENCE)
    there.close()
    listener.close()


def test_a_client_with_a_certificate_comes_in_also_beyond_loopback() -> None:
    listener = listen(SERVER.replace("127.0.0.1", "0.0.0.0") + f"&ca={PLACE}/authority.pem")
    connecting = in_thread(lambda: connect(listener, TRUST + f"&cert={PLACE}/client.pem"))
    there = listener.accept(timeout=PATIENCE)
    assert there is not None
    there.send([b"welcome"], timeout=PATIENCE)
    here = connecting.result(PATIENCE)
    assert here.receive(timeout=PATIENCE) == [b"welcome"]
    for one in (here, there, listener):
        one.close()


def test_tls_without_client_certificates_does_not_open_the_network() -> None:
    with pytest.raises(AddressError, match="key_file"):
        listen(SERVER.replace("127.0.0.1", "0.0.0.0"))


@pytest.mark.parametrize(
    "url",
    [
        "tcp://127.0.0.1:0?tls=yes",
        "tcp://127.0.0.1:0?tls=yes&cert=/no/such/file",
        f"tcp://127.0.0.1:0?tls=yes&cert={__file__}",
        f"tcp://127.0.0.1:0?tls=yes&cert={PLACE}/authority.pem",
        f"tcp://127.0.0.1:0?cert={PLACE}/server.pem",
    ],
    ids=["none", "no file", "no certificate", "no key", "no tls"],
)
def test_files_that_do_not_fit_are_said(url: str) -> None:
    with pytest.raises(AddressError, match="cert"):
        listen(url)


def test_closing_wakes_a_waiting_receive(pair: Pair) -> None:
    waiting = in_thread(lambda: pair[0].receive(timeout=None))
    eventually(lambda: pair[0]._receiving)  # type: ignore[attr-defined]
    pair[0].close()
    with pytest.raises(ClosedError):
        waiting.result(PATIENCE)


def test_the_death_of_the_other_end_wakes_a_waiting_receive(pair: Pair) -> None:
    waiting = in_thread(lambda: pair[0].receive(timeout=None))
    eventually(lambda: pair[0]._receiving)  # type: ignore[attr-defined]
    pair[1].close()
    with pytest.raises(DisconnectedError):
        waiting.result(PATIENCE)
