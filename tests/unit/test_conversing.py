"""A conversation over a connection that is clogged for a while: what could not leave is said again, nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tincans.contracts import Identity, Parts
from tincans.core.json_rpc_conversation import Conversation
from tincans.core.messages import End, Reply
from tincans.errors import WaitTimeoutError
from tincans.pump.conversing import ConversingConnection
from tincans.wires.jsonrpc import WIRE


class Clogged:
    """A connection that takes nothing as long as it is `full`."""

    def __init__(self) -> None:
        self.identity = Identity()
        self.max_message = 1 << 20
        self.full = False
        self.sent: list[Any] = []
        self.arriving: list[bytes] = []

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        if self.full:
            raise WaitTimeoutError("full")
        self.sent += [json.loads(line) for line in b"".join(parts).splitlines()]

    def flush(self, *, timeout: float | None) -> bool:
        return True

    def receive(self, *, timeout: float | None) -> list[bytes] | None:
        return [self.arriving.pop(0)] if self.arriving else None


def heard(text: bytes, count: int) -> tuple[Clogged, ConversingConnection, list[Any]]:
    """A connection over which this came, and the requests in it."""
    inner = Clogged()
    connection = ConversingConnection(inner, Conversation(connecting=False))  # type: ignore[arg-type]
    inner.arriving.append(text + b"\n")
    parts = [connection.receive(timeout=1) for _ in range(count)]
    return inner, connection, [WIRE.decode(each) for each in parts if each is not None]


def say(connection: ConversingConnection, inner: Clogged, message: Any) -> None:
    """First in vain, then not, as whoever posts does it."""
    parts = WIRE.encode(message)
    inner.full = True
    with pytest.raises(WaitTimeoutError):
        connection.send(parts, timeout=0)
    inner.full = False
    connection.send(parts, timeout=0)


def test_an_answer_that_found_no_room_is_sent_when_there_is() -> None:
    inner, connection, (request,) = heard(b'{"jsonrpc":"2.0","method":"add","params":[2,5],"id":"a"}', 1)
    say(connection, inner, Reply(request.id, 7))
    assert inner.sent == [{"jsonrpc": "2.0", "result": 7, "id": "a"}]


def test_a_batch_that_found_no_room_is_sent_whole_and_each_answer_once() -> None:
    call = b'{"jsonrpc":"2.0","method":"add","params":[2,5],"id":%d}'
    inner, connection, (one, two) = heard(b"[%b,%b]" % (call % 1, call % 3), 2)
    connection.send(WIRE.encode(Reply(one.id, 1)), timeout=0)
    say(connection, inner, Reply(two.id, 2))
    assert [[answer["id"], answer["result"]] for answer in inner.sent[0]] == [[1, 1], [3, 2]]


def test_the_end_of_a_stream_that_found_no_room_is_sent_when_there_is() -> None:
    inner, connection, (request,) = heard(b'{"jsonrpc":"2.0","method":"count","params":[2],"id":"s"}', 1)
    say(connection, inner, Reply(request.id, None, stream=True))
    say(connection, inner, End(request.id))
    assert [each.get("method", "answer") for each in inner.sent] == ["answer", "$/end"]
    assert inner.sent[1]["params"]["id"] == "s"
