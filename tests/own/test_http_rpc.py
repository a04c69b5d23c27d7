"""JSON-RPC by the specification's own examples, and XML-RPC with what only XML can break."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from http_stage import Stage, serving

import tincans
from tincans.conformance.patience import eventually
from tincans.core import json_rpc
from tincans.errors import ProtocolError, UnsupportedError
from tincans.protocols.http import xml_rpc

NULL_ERROR = {"jsonrpc": "2.0", "id": None}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with serving() as made:
        server = made.server

        @server.expose
        def subtract(minuend: int, subtrahend: int) -> int:
            return minuend - subtrahend

        @server.expose
        def update(*values: int) -> None:
            made.closed.append(f"update {sum(values)}")

        @server.expose
        def sum_up(*values: int) -> int:
            return sum(values)

        server.expose(sum_up, name="sum")

        @server.expose
        def notify_hello(n: int) -> None:
            pass

        @server.expose
        def get_data() -> list[Any]:
            return ["hello", 5]

        yield made


def told(stage: Stage, text: str | bytes) -> Any:
    """The response to a text; None when there is none."""
    body = text if isinstance(text, bytes) else text.encode()
    answer = stage.ask("POST", "/jsonrpc", body)
    return json.loads(answer.body) if answer.body else None


def without_details(answer: Any) -> Any:
    """The specification fixes the codes, and leaves the texts to us."""
    if isinstance(answer, list):
        return [without_details(each) for each in answer]
    if "error" in answer:
        return {**answer, "error": answer["error"]["code"]}
    return answer


# The examples of section 7 of the specification: what is sent, what must come back (of an error its code).
EXAMPLES = [
    (
        '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}',
        {"jsonrpc": "2.0", "result": 19, "id": 1},
    ),
    (
        '{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}',
        {"jsonrpc": "2.0", "result": -19, "id": 2},
    ),
    (
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
        {"jsonrpc": "2.0", "result": 19, "id": 3},
    ),
    (
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
        {"jsonrpc": "2.0", "result": 19, "id": 4},
    ),
    ('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', None),
    ('{"jsonrpc": "2.0", "method": "foobar"}', None),
    ('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', {"jsonrpc": "2.0", "error": -32601, "id": "1"}),
    ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', NULL_ERROR | {"error": -32700}),
    ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', NULL_ERROR | {"error": -32600}),
    (
        '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method"]',
        NULL_ERROR | {"error": -32700},
    ),
    ("[]", NULL_ERROR | {"error": -32600}),
    ("[1]", [NULL_ERROR | {"error": -32600}]),
    ("[1,2,3]", [NULL_ERROR | {"error": -32600}] * 3),
    (
        '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},'
        ' {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},'
        ' {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"}, {"foo": "boo"},'
        ' {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},'
        ' {"jsonrpc": "2.0", "method": "get_data", "id": "9"}]',
        [
            {"jsonrpc": "2.0", "result": 7, "id": "1"},
            {"jsonrpc": "2.0", "result": 19, "id": "2"},
            NULL_ERROR | {"error": -32600},
            {"jsonrpc": "2.0", "error": -32601, "id": "5"},
            {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"},
        ],
    ),
    (
        '[{"jsonrpc": "2.0", "method": "notify_hello", "params": [1]},'
        ' {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]',
        None,
    ),
]


@pytest.mark.parametrize(("sent", "wanted"), EXAMPLES)
def test_the_examples_of_the_json_rpc_specification_hold(stage: Stage, sent: str, wanted: Any) -> None:
    answer = told(stage, sent)
    assert (answer and without_details(answer)) == wanted


def test_a_json_rpc_notification_is_run_though_not_answered(stage: Stage) -> None:
    told(stage, '{"jsonrpc": "2.0", "method": "update", "params": [100]}')
    eventually(lambda: "update 100" in stage.closed)


@pytest.mark.parametrize(
    ("params", "code"),
    [('["x", 1]', -32602), ("[1]", -32602), ('{"minuend": 1, "x": 2}', -32602)],
)
def test_wrong_params_have_the_code_of_wrong_params(stage: Stage, params: str, code: int) -> None:
    answer = told(stage, f'{{"jsonrpc": "2.0", "method": "subtract", "params": {params}, "id": 1}}')
    assert (answer["error"]["code"], answer["error"]["data"]["code"]) == (code, "argument")


def test_an_exception_has_a_code_of_the_implementation(stage: Stage) -> None:
    answer = told(stage, '{"jsonrpc": "2.0", "method": "fail", "params": ["oh"], "id": 1}')
    assert answer["error"] == {"code": -32000, "message": "oh", "data": {"code": "remote", "type": "ValueError"}}


@pytest.mark.parametrize("id", ["1", "-5", "1.5", '"text"', "null", "12345678901234567890123"])
def test_an_id_comes_back_as_it_was(stage: Stage, id: str) -> None:
    answer = stage.ask("POST", "/jsonrpc", f'{{"jsonrpc":"2.0","method":"get_data","id":{id}}}'.encode())
    assert answer.body == f'{{"jsonrpc":"2.0","result":["hello",5],"id":{id}}}'.encode()


def test_an_answer_that_is_none_is_a_protocol_error() -> None:
    for text in (b"", b"[]", b"{}", b'{"jsonrpc":"2.0","id":1}', b"<html>"):
        with pytest.raises(ProtocolError):
            json_rpc.answered(text)


def test_a_json_rpc_client_names_arguments_or_places_them(stage: Stage) -> None:
    with tincans.connect(f"jsonrpc+http://127.0.0.1:{stage.port}") as peer:
        assert peer.call.subtract(42, 23) == peer.call.subtract(minuend=42, subtrahend=23) == 19
        assert peer.call.subtract(42, subtrahend=23) == 19
        assert peer.call.count(3) == [0, 1, 2]
        peer.notify.update(1000)
        eventually(lambda: "update 1000" in stage.closed)
        with pytest.raises(UnsupportedError, match="calls only"):
            peer.publish("x", 1)


VALUES = [
    None,
    True,
    0,
    2**31,
    -(2**63),
    1.5,
    "",
    " a ",
    "<&>]]>\r\n\t'\"",
    "ä\N{PEDESTRIAN}",
    b"",
    b"\x00\xff",
    [],
    [[], [1, [None]]],
    {},
    {"": {"<": [1]}},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_survives_xml(value: Any) -> None:
    assert xml_rpc.parsed_response(xml_rpc.result_text(value)) == value
    assert xml_rpc.parsed_call(xml_rpc.call_text("f", (value, value))) == ("f", [value, value])


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">%b]>
<methodCall><methodName>&z;</methodName></methodCall>""" % b"".join(
    b'<!ENTITY %c "%b">' % (letter + 1, b"&%c;" % letter * 10) for letter in b"abcdefghijklmnopqrstuvwxy"
)
HOSTILE = {
    "a billion laughs": BOMB,
    "a file of ours": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><methodCall>&e;</methodCall>',
    "a document type": b"<!DOCTYPE methodCall><methodCall><methodName>add</methodName></methodCall>",
    "a depth without end": b"<methodCall><methodName>f</methodName><params><param>" + b"<value><array><data>" * 10_000,
    "no xml": b"{}",
    "half a call": b"<methodCall><methodName>add",
    "another root": b"<html/>",
    "no name": b"<methodCall/>",
    "a strange type": b"<methodCall><methodName>f</methodName><params><param><value><x/></value></param></params>"
    b"</methodCall>",
    "a value anywhere": b"<methodCall><value>1</value></methodCall>",
    "a bad number": b"<methodCall><methodName>f</methodName><params><param><value><int>x</int></value></param></params>"
    b"</methodCall>",
    "a bad boolean": b"<methodCall><methodName>f</methodName><params><param><value><boolean>7</boolean></value></param>"
    b"</params></methodCall>",
    "a strange encoding": b'<?xml version="1.0" encoding="utf-7"?><methodCall/>',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_xml_is_a_protocol_error(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        xml_rpc.parsed_call(text)


def test_hostile_xml_is_answered_by_a_fault(stage: Stage) -> None:
    answer = stage.ask("POST", "/RPC2", BOMB, Content_Type="text/xml")
    assert b"<int>-32700</int>" in answer.body
    assert stage.ask("POST", "/add", [2, 5]).json == 7


def test_what_xml_cannot_say_is_refused_with_its_path(stage: Stage) -> None:
    with tincans.connect(f"xmlrpc+http://127.0.0.1:{stage.port}") as peer:
        for value in (["\x00"], [2**64], [float("nan")], [object()]):
            with pytest.raises(tincans.UnsendableError, match=r"args\[0\]\[0\]"):
                peer.call.echo(value)
        assert peer.call.add(2, b=5) == peer.call.add(a=2, b=5) == 7
        assert peer.call.join(["x"], upper=True) == "X"
        assert peer.call.count(3) == [0, 1, 2]
