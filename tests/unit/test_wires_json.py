"""The json wire: the very lines that a program in another language reads and writes.

Rules of this file
- Lines are compared as text where they are the protocol. That values survive is tested in test_values.py.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from value_trips import trip

from tincans.core.messages import (
    Cancel,
    Credit,
    End,
    Failure,
    Goodbye,
    Hello,
    Item,
    Message,
    Ping,
    Pong,
    Proof,
    Publication,
    Reply,
    Request,
)
from tincans.errors import ProtocolError, UnsendableError
from tincans.wires.json import WIRE

LINES = [
    (Request(1, "add", (2, 5), timeout=30.0), '{"id":1,"call":"add","args":[2,5],"timeout":30.0}'),
    (Request(1, "f", (), {"x": 1.5}, key="k"), '{"id":1,"call":"f","args":[],"kwargs":{"x":1.5},"key":"k"}'),
    (Request(0, "log", ("x",)), '{"call":"log","args":["x"]}'),
    (Request(1, "f", ((1,),)), '{"id":1,"call":"f","args":[{"$tuple":[1]}]}'),
    (Reply(1, 7), '{"id":1,"result":7}'),
    (Reply(1, None), '{"id":1,"result":null}'),
    (Reply(1, None, stream=True), '{"id":1,"result":null,"stream":true}'),
    (
        Failure(1, "remote", "ValueError", "no", "line 1\nline 2"),
        '{"id":1,"error":{"code":"remote","type":"ValueError","message":"no","traceback":"line 1\\nline 2"}}',
    ),
    (Failure(1, "closed", "E", "no"), '{"id":1,"error":{"code":"closed","type":"E","message":"no"}}'),
    (Item(1, "x"), '{"id":1,"item":"x"}'),
    (Credit(1, 5), '{"id":1,"credit":5}'),
    (End(1), '{"id":1,"end":true}'),
    (Cancel(1), '{"id":1,"cancel":true}'),
    (Publication(1, "news", 5, 2), '{"id":1,"topic":"news","value":5,"dropped":2}'),
    (Publication(1, "news", 5), '{"id":1,"topic":"news","value":5}'),
    (Ping(7), '{"ping":7}'),
    (Pong(7), '{"pong":7}'),
    (Proof(b"\xff"), '{"proof":"/w=="}'),
    (Goodbye("done"), '{"goodbye":"done"}'),
]
HELLO = Hello(1, "tincans", 5, "alice", 100, b"\0n", b"p\xff", "key", ("add", "sub"))


@pytest.mark.parametrize(("message", "line"), LINES, ids=str)
def test_a_message_is_this_line(message: Message, line: str) -> None:
    assert WIRE.encode(message) == [line.encode()]


@pytest.mark.parametrize(("message", "line"), LINES, ids=str)
def test_this_line_is_the_message(message: Message, line: str) -> None:
    heard: Any = WIRE.decode([line.encode()])
    assert type(heard) is type(message)
    assert WIRE.encode(heard) == [line.encode()]


def test_a_greeting_arrives_unchanged() -> None:
    assert WIRE.decode(WIRE.encode(HELLO)) == HELLO


def test_every_kind_of_message_has_a_line_here() -> None:
    assert {type(message) for message, _ in LINES} | {Hello} == {
        getattr(kind, "__origin__", kind) for kind in get_args(Message)
    }


@pytest.mark.parametrize(
    ("value", "tagged"),
    [
        ((1, (2,)), '{"$tuple":[1,{"$tuple":[2]}]}'),
        (b"hi", '{"$bytes":"aGk="}'),
        (float("nan"), '{"$float":"nan"}'),
        (1 + 2j, '{"$complex":[1.0,2.0]}'),
        ({1: "a", (2,): "b"}, '{"$dict":[[1,"a"],[{"$tuple":[2]},"b"]]}'),
        ({"$x": 1}, '{"$dict":[["$x",1]]}'),
        ({"$x": 1, "y": 2}, '{"$x":1,"y":2}'),
        ({"x": {1}}, '{"x":{"$set":[1]}}'),
        (2**70, str(2**70)),
        (np.array([[1, 2]], "i2"), '{"$array":["<i2",[1,2],false,"AQACAA=="]}'),
    ],
    ids=str,
)
def test_a_value_is_this_json(value: Any, tagged: str) -> None:
    assert WIRE.encode(Reply(1, value)) == [f'{{"id":1,"result":{tagged}}}'.encode()]


def test_a_keyword_argument_that_looks_like_a_tag_is_none() -> None:
    for value in (5, (5,)):
        request: Any = WIRE.decode(WIRE.encode(Request(1, "f", (), {"$a": value})))
        assert WIRE.reader(Any)(request.kwargs, request) == {"$a": value}


def test_a_line_is_heard_from_any_kind_of_buffer() -> None:
    for make in (bytes, bytearray, memoryview):
        reply: Any = WIRE.decode([make(b'{"id":1,"result":{"$tuple":[1]}}')])
        assert WIRE.reader(Any)(reply.value, reply) == (1,)


def test_a_call_needs_no_more_than_its_name() -> None:
    request: Any = WIRE.decode([b'{"call":"stop"}'])
    assert (request.id, request.name, bytes(request.args), request.kwargs, request.timeout) == (
        0,
        "stop",
        b"[]",
        None,
        None,
    )


def test_keyword_arguments_may_be_null() -> None:
    assert WIRE.decode([b'{"call":"stop","kwargs":null}']).kwargs is None  # type: ignore[union-attr]


def test_an_error_needs_no_more_than_to_be_one() -> None:
    assert WIRE.decode([b'{"id":1,"error":{}}']) == Failure(1, "remote", "Exception", "")


def test_a_tag_that_is_spelled_with_escapes_is_a_tag_all_the_same() -> None:
    reply: Any = WIRE.decode([b'{"id":1,"result":{"\\u0024tuple":[1]}}'])
    assert WIRE.reader(Any)(reply.value, reply) == (1,)


def test_keys_of_a_dict_are_read_as_the_annotated_type() -> None:
    reply: Any = WIRE.decode([b'{"id":1,"result":{"1":{"$tuple":["2024-01-01"]},"2":[]}}'])
    assert WIRE.reader(dict[int, list[str]])(reply.value, reply) == {1: ["2024-01-01"], 2: []}


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "\u2028", "\x85", "\0"])
def test_a_line_holds_no_line_break(text: str) -> None:
    (line,) = WIRE.encode(Request(1, "f", (text, {text: (text,)}), {"x": text}, key=text))
    assert b"\n" not in line and b"\r" not in line
    assert trip(WIRE, {text: (text,)}) == {text: (text,)}


def test_an_undecoded_body_with_line_breaks_in_it_becomes_one_line() -> None:
    body = msgspec.Raw(b'{\n "x": "a b"\n}')
    assert WIRE.encode(Reply(1, body)) == [b'{"id":1,"result":{"x":"a b"}}']


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"7",
        b"null",
        b"[]",
        b"{}",
        b"add 2 5",
        b'{"id":1}',
        b'{"id":1,"result":1,"error":{}}',
        b'{"id":1,"resul":7}',
        b'{"call":5}',
        b'{"id":"1","call":"f"}',
        b'{"id":1,"call":"f"} x',
        b'{"id":1.5,"call":"f"}',
        b'{"id":1,"end":false}',
        b'{"id":1,"topic":"x"}',
        b'{"id":1,"result":}',
        b'{"id":1,"result":[}',
        b'{"id":1,"result":\xff}',
        b'{"call":"\xff"}',
        b'{"hello":{}}',
        b'{"hello":{"version":"1"}}',
        b'{"proof":"%"}',
        b'{"id":1,"result":NaN}',
        b'{"call":"f","argz":[]}',
        b'{"a":' * 100_000,
        b'{"id":1,"result":' + b"[" * 100_000,
        b'{"id":99999999999999999999999,"end":true}',
        b"\xef\xbb\xbf{}",
        b'{"id":1,"call":"\\ud800"}',
    ],
    ids=lambda line: repr(line)[:40],
)
def test_what_is_no_message_is_a_protocol_error(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="no message of the json wire"):
        WIRE.decode([line])


def test_a_message_is_one_part() -> None:
    for parts in ([], [b'{"ping":1}', b"x"]):
        with pytest.raises(ProtocolError):
            WIRE.decode(parts)


@pytest.mark.parametrize(
    "value",
    [
        '{"$spam":1}',
        '{"$":1}',
        '{"$tuple":5}',
        '{"$tuple":{"a":1}}',
        '{"$bytes":"%%%"}',
        '{"$bytes":5}',
        '{"$bytes":"aGk"}',
        '{"$int":"x"}',
        '{"$dict":[[1]]}',
        '{"$dict":[[[],1]]}',
        '{"$dict":{"a":1}}',
        '{"$dict":["ab"]}',
        '{"$set":[[]]}',
        '{"$decimal":1.5}',
        '{"$array":["<f8",[1],false,"aGk="]}',
        '{"$array":["|O",[1],false,"AAAAAAAAAAA="]}',
        '{"$array":["<f8",[1],false,0]}',
        '{"$function":1}',
        '{"$float":[]}',
        '{"$complex":[1,"2"]}',
        '{"$fraction":[1,0]}',
        "1" * 5000,
        '{"$table":["table",null,"aGk="]}',
    ],
    ids=lambda value: value[:40],
)
def test_a_forged_value_is_a_validation_error(value: str) -> None:
    message: Any = WIRE.decode([f'{{"id":1,"result":{value}}}'.encode()])
    for as_type in (Any, int):
        with pytest.raises(msgspec.ValidationError):
            WIRE.reader(as_type)(message.value, message)


def test_a_list_of_two_letters_is_no_pair() -> None:
    message: Any = WIRE.decode([b'{"id":1,"result":{"$dict":[["a","b"]]}}'])
    assert WIRE.reader(Any)(message.value, message) == {"a": "b"}


def test_an_unknown_tag_says_how_to_write_such_a_dict() -> None:
    message: Any = WIRE.decode([b'{"id":1,"result":{"$gt":5}}'])
    with pytest.raises(msgspec.ValidationError, match=r'Write a dict with only such a key as \{"\$dict"'):
        WIRE.reader(Any)(message.value, message)


def test_what_is_no_message_is_not_sent() -> None:
    with pytest.raises(UnsendableError, match="no message"):
        WIRE.encode("add 2 5")  # type: ignore[arg-type]
