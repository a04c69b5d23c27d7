"""What a hostile or careless client of the HTTP port meets: limits, keys, and no second reading of one request."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from certificates import certificates
from http_stage import Stage, is_closed_within, serving, until_silent

import tincans
from tincans.errors import AddressError, DeniedError, NameInUseError

CERTIFICATES = certificates()
HEAD = b"POST /add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with serving("http://127.0.0.1:0?max_message=64k&client_timeout=1") as made:
        yield made


def honest(stage: Stage) -> None:
    assert stage.ask("POST", "/add", [2, 5]).json == 7


def test_who_says_nothing_is_cut(stage: Stage) -> None:
    with stage.connected() as silent:
        honest(stage)
        assert is_closed_within(silent, 5)


def test_who_sends_a_head_byte_by_byte_is_cut_and_holds_up_nobody(stage: Stage) -> None:
    with stage.connected() as slow:
        began = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() - began < 6:
                slow.sendall(b"G")
                honest(stage)
                time.sleep(0.1)
        assert time.monotonic() - began < 5


def test_who_sends_a_body_byte_by_byte_is_cut(stage: Stage) -> None:
    with stage.connected() as slow:
        slow.sendall(HEAD + b"Content-Length: 50000\r\n\r\n[")
        began = time.monotonic()
        assert is_closed_within(slow, 6)
        assert time.monotonic() - began < 6
    honest(stage)


def test_a_thousand_silent_clients_hold_up_nobody(stage: Stage) -> None:
    crowd = [stage.connected() for _ in range(300)]
    try:
        for _ in range(20):
            honest(stage)
    finally:
        for each in crowd:
            each.close()


def test_a_body_over_the_limit_is_refused_before_it_comes(stage: Stage) -> None:
    answer = stage.raw(HEAD + b"Content-Length: 100000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_in_pieces_over_the_limit_is_refused(stage: Stage) -> None:
    piece = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    answer = stage.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + piece * 4)
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_head_over_the_limit_is_refused(stage: Stage) -> None:
    assert stage.raw(b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431")
    assert stage.raw(b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 200 + b"\r\n").startswith(b"HTTP/1.1 431")
    assert stage.raw(b"GET /" + b"x" * 500_000).startswith((b"HTTP/1.1 431", b"HTTP/1.1 414"))


SMUGGLED = b"GET /add?a=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        b"Content-Length: 6\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: +6\r\n",
        b"Content-Length: 6, 6\r\n",
    ],
    ids=lambda lines: lines.decode().strip().replace("\r\n", " & "),
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(stage: Stage, lines: bytes) -> None:
    answer = stage.raw(HEAD + lines + b"\r\n" + b"0\r\n\r\n" + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


def test_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    requests = b"".join(HEAD + b"Content-Length: %d\r\n\r\n[%d]" % (2 + len(str(i)), i) for i in range(50))
    answer = stage.raw(requests)
    found = [int(part.partition(b"HTTP/1.1")[0]) for part in answer.split(b"\r\n\r\n")[1:]]
    assert found == [i + 10 for i in range(50)]


def test_garbage_ends_its_own_connection_only(stage: Stage) -> None:
    with stage.connected() as other:
        assert stage.raw(b"\x16\x03\x01\x02\x00\x01\x00").startswith(b"HTTP/1.1 400")
        other.sendall(HEAD + b"Content-Length: 5\r\n\r\n[2,5]")
        assert until_silent(other).endswith(b"\r\n\r\n7")


def test_who_does_not_take_the_answer_is_cut(stage: Stage) -> None:
    with stage.connected() as deaf:
        body = b'{"value":"' + b"x" * 60_000 + b'"}'
        request = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        request += b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        with pytest.raises(OSError):
            deaf.settimeout(10)
            for _ in range(1000):
                deaf.sendall(request)
    honest(stage)


def test_a_deep_body_is_a_clear_error(stage: Stage) -> None:
    answer = stage.ask("POST", "/echo", b"[" * 30_000)
    assert answer.status in (400, 422)
    honest(stage)


def test_another_name_for_this_machine_is_refused(stage: Stage) -> None:
    assert stage.ask("GET", "/", Host="evil.example").status == 403
    assert stage.ask("GET", "/", Host=f"localhost:{stage.port}").status == 200


def test_a_page_of_another_site_is_refused_unless_asked_for(stage: Stage) -> None:
    assert stage.ask("POST", "/add", [1], Origin="https://evil.example").status == 403
    assert stage.ask("POST", "/add", [1], Origin=f"http://127.0.0.1:{stage.port}").status == 200
    with serving("http://127.0.0.1:0?cors=https://good.example") as open_stage:
        answer = open_stage.ask("POST", "/add", [1], Origin="https://good.example")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://good.example")
        asked = {"Origin": "https://good.example", "Access_Control_Request_Method": "POST"}
        preflight = open_stage.ask("OPTIONS", "/add", **asked)
        assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, "https://good.example")
        assert open_stage.ask("POST", "/add", [1], Origin="https://evil.example").status == 403


def test_without_the_key_nothing_is_told() -> None:
    with serving("http://127.0.0.1:0?key=right&key_name=bob") as keyed:
        for path in ("/", "/openapi.json", "/add?a=1", "/nothing"):
            answer = keyed.ask("GET", path)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert keyed.ask("GET", path, Authorization="Bearer wrong").status == 401
            assert keyed.ask("GET", path, Authorization="Basic right").status == 401
        assert keyed.ask("GET", "/add?a=1", Authorization="Bearer right").json == 11
        with pytest.raises(DeniedError, match="key"):
            tincans.connect(f"http://127.0.0.1:{keyed.port}?key=wrong", timeout=3)


def test_listening_beyond_this_machine_takes_a_key() -> None:
    with pytest.raises(AddressError, match="key"):
        tincans.serve("http://0.0.0.0:0")


def test_a_port_that_is_taken_is_named(stage: Stage) -> None:
    with pytest.raises(NameInUseError, match=str(stage.port)):
        tincans.serve(f"http://127.0.0.1:{stage.port}")


def test_tls_is_an_option() -> None:
    with (
        serving(f"http://127.0.0.1:0?tls=yes&cert={CERTIFICATES}/server.pem") as secure,
        tincans.connect(f"http://127.0.0.1:{secure.port}?tls=yes&ca={CERTIFICATES}/authority.pem") as peer,
    ):
        assert peer.call.add(2, 5) == 7
        assert list(peer.call.count(3)) == [0, 1, 2]
        with pytest.raises(tincans.UnreachableError):
            tincans.connect(f"http://127.0.0.1:{secure.port}?tls=yes", timeout=1)


def test_closing_ends_the_open_streams_soon() -> None:
    with serving() as made, tincans.connect(made.url) as peer, peer.subscribe("news") as notes:
        made.server.publish("news", 1)
        assert notes.receive(timeout=5).value == 1
        began = time.monotonic()
        made.server.close()
        assert time.monotonic() - began < 3
