"""What HTTP carries, mutated: JSON-RPC, XML-RPC, events, queries. Only our own errors come out, whatever goes in."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tincans.core import json_rpc
from tincans.core.interface import Function, Parameter
from tincans.errors import ProtocolError
from tincans.protocols.http import xml_rpc
from tincans.protocols.http.events import EventReader, event_text
from tincans.protocols.http.openapi_caller import operations
from tincans.protocols.http.problems import Problem, error_from
from tincans.protocols.http.query import named_arguments

SEEDS = [
    b'{"jsonrpc":"2.0","method":"add","params":[2,5],"id":1}',
    b'[{"jsonrpc":"2.0","method":"add","id":1},{"jsonrpc":"2.0","result":7,"id":1}]',
    b'{"jsonrpc":"2.0","error":{"code":-32601,"message":"m"},"id":null}',
    xml_rpc.call_text("add", (1, "a", [None, {"b": b"c"}])),
    xml_rpc.result_text({"a": [1.5, True]}),
    xml_rpc.fault_text(1, "ValueError: x"),
    b"data: 7\n\nevent: end\ndata: null\n\n",
    b"a=1&b=%20&c",
]
VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(categories=["L", "N"])), inner),
    max_leaves=20,
)
QUERIED = Function("f", "f(a)", parameters=(Parameter("a", schema={"type": "integer"}), Parameter("b")))


@st.composite
def mutated(draw: Any) -> bytes:
    """A text with some of it changed."""
    text = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 5))] = draw(
            st.binary(max_size=4) | st.sampled_from([b"<", b"&", b"]", b'"'])
        )
    return bytes(text)


@given(mutated())
def test_mutated_texts_give_our_own_errors_only(text: bytes) -> None:
    assert json_rpc.heard(text).calls
    for parse in (json_rpc.answered, xml_rpc.parsed_call, xml_rpc.parsed_response):
        with contextlib.suppress(ProtocolError, xml_rpc.Fault):
            parse(text)
    with contextlib.suppress(ProtocolError):
        list(EventReader(limit=100).feed(text))
    with contextlib.suppress(Problem):
        named_arguments(QUERIED, text)
    error_from(500, text, {}, url="http://h", operation="f")


@given(VALUES)
def test_any_value_survives_xml(value: Any) -> None:
    assert xml_rpc.parsed_response(xml_rpc.result_text(value)) == value


@given(st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"").replace(b"\r", b""))), st.data())
def test_events_survive_any_cut(pieces: list[bytes], data: Any) -> None:
    text = b"".join(event_text(b"x" + piece) for piece in pieces)
    reader, found = EventReader(limit=1000), []
    while text:
        count = data.draw(st.integers(1, len(text)))
        found += [event.data[1:] for event in reader.feed(text[:count])]
        text = text[count:]
    assert found == pieces


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["paths", "/x", "get", "parameters", "$ref", "in", "name", "schema", "content", "servers"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_a_strange_document_is_a_protocol_error(document: Any) -> None:
    with contextlib.suppress(ProtocolError):
        operations(document)
    with contextlib.suppress(ProtocolError):
        operations({"paths": {"/x": {"get": document, "parameters": document}}, "servers": document})
