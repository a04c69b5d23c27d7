"""The text wire: what a person types, and what she gets.

Rules of this file
- Lines are compared as text: they are the protocol.
"""

from __future__ import annotations

import timeit
from decimal import Decimal
from functools import partial
from time import thread_time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label import label
from value_trips import same

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
from tincans.facts import VERBS, No
from tincans.wires.text import WIRE

ANSWERS = WIRE.for_caller


def said(message: Message) -> str:
    (line,) = WIRE.encode(message)
    return bytes(line).decode()


def called(line: str) -> tuple[str, Any, Any]:
    request: Any = WIRE.decode([line.encode()])
    assert isinstance(request, Request) and request.id == 1
    names = WIRE.reader(Any)(request.kwargs, request) if request.kwargs is not None else {}
    return request.name, WIRE.reader(Any)(request.args, request), names


TYPED = [
    ("add 2 5", ("add", [2, 5], {})),
    ('greet name="Bob" 3', ("greet", [3], {"name": "Bob"})),
    ("greet Bob", ("greet", ["Bob"], {})),
    ('greet "Bob Dylan" "5"', ("greet", ["Bob Dylan", "5"], {})),
    ('f [1, 2] {"a": [true, null]} -1.5e3', ("f", [[1, 2], {"a": [True, None]}, -1500.0], {})),
    ("  add \t 2   5 \r", ("add", [2, 5], {})),
    ("stop", ("stop", [], {})),
    ("f a=b=c d=[1, 2]", ("f", [], {"a": "b=c", "d": [1, 2]})),
    ("f http://x/?a=b -x ünï true NaN 01", ("f", ["http://x/?a=b", "-x", "ünï", True, "NaN", "01"], {})),
    ("f x=", ("f", [], {"x": ""})),
    ('f {"$tuple": [1]}', ("f", [(1,)], {})),
    ("ping 1", ("ping", [1], {})),
    (r'f "a\nb"', ("f", ["a\nb"], {})),
]


@pytest.mark.parametrize(("line", "meaning"), TYPED)
def test_this_line_is_this_call(line: str, meaning: Any) -> None:
    assert called(line) == meaning


@pytest.mark.parametrize("line", ["ping", "", "  ", "\r"])
def test_ping_and_an_empty_line_ask_whether_anybody_is_there(line: str) -> None:
    assert WIRE.decode([line.encode()]) == Ping()


SAID = [
    (Request(1, "add", (2, 5), timeout=3.0), "add 2 5"),
    (
        Request(1, "f", ("Bob", "Bob Dylan", "5", "", "a=b", "true", '"q"')),
        'f Bob "Bob Dylan" "5" "" "a=b" "true" "\\"q\\""',
    ),
    (Request(1, "f", (None, [1, 2]), {"x": "y", "z": (1,)}), 'f null [1,2] x=y z={"$tuple":[1]}'),
    (Request(1, "ping", (1,)), "ping 1"),
    (Reply(1, 7), "7"),
    (Reply(1, "Hello Bob"), "Hello Bob"),
    (Reply(1, "7"), '"7"'),
    (Reply(1, ""), '""'),
    (Reply(1, None), "null"),
    (Reply(1, "a\nb"), '"a\\nb"'),
    (Reply(1, " x"), '" x"'),
    (Reply(1, "! x"), '"! x"'),
    (Reply(1, "- x"), '"- x"'),
    (Reply(1, "."), '"."'),
    (Reply(1, "pong"), '"pong"'),
    (Reply(1, ["a", {"b": 1.5}]), '["a",{"b":1.5}]'),
    (Reply(1, Decimal("1.5")), '{"$decimal":"1.5"}'),
    (Reply(1, None, stream=True), "-"),
    (Item(1, "x y"), "- x y"),
    (Item(1, [1]), "- [1]"),
    (End(1), "."),
    (Failure(1, "remote", "ValueError", "too\nlarge", "trace"), "! ValueError: too large"),
    (Failure(1, "remote", "a b", "x\x1b[0m"), "! Exception: x [0m"),
    (Ping(5), "ping"),
    (Pong(5), "pong"),
]


@pytest.mark.parametrize(("message", "line"), SAID, ids=label)
def test_a_message_is_this_line(message: Message, line: str) -> None:
    assert said(message) == line


REFUSED = [
    (Cancel(1), "Cancel"),
    (Credit(1, 1), "Credit"),
    (Publication(1, "t", 1), "Publication"),
    (Hello(1), "Hello"),
    (Proof(b""), "Proof"),
    (Goodbye(""), "Goodbye"),
    (Request(0, "f", ()), "notify"),
    (Request(1, "f", (), key="k"), "repeat"),
    (Request(1, "ping", ()), "ping"),
    (Request(1, "two words", ()), "one word"),
    (Request(1, "", ()), "one word"),
    (Request(1, "a\nb", ()), "one word"),
    (Request(1, "f", (), {"a b": 1}), "keyword"),
    (Request(1, "f", (print,)), r"args\[0\]"),
    (Request(1, "f", ([object()],)), r"args\[0\]\[0\]"),
]


@pytest.mark.parametrize(("message", "reason"), REFUSED, ids=label)
def test_what_no_line_can_say_is_refused_with_the_reason(message: Message, reason: str) -> None:
    with pytest.raises(UnsendableError, match=reason):
        WIRE.encode(message)


ANSWERED = [
    ("7", Reply(1, msgspec.Raw(b"7"))),
    ("Hello Bob", Reply(1, msgspec.Raw(b'"Hello Bob"'))),
    ('"7"', Reply(1, msgspec.Raw(b'"7"'))),
    ("", Reply(1, msgspec.Raw(b'""'))),
    ("[1, 2]\r", Reply(1, msgspec.Raw(b"[1, 2]"))),
    ("-5", Reply(1, msgspec.Raw(b"-5"))),
    ("-", Reply(1, msgspec.Raw(b"null"), stream=True)),
    ("- x", Item(1, msgspec.Raw(b'"x"'))),
    (".", End(1)),
    ("pong", Pong()),
    ("! ValueError: a: b", Failure(1, "remote", "ValueError", "a: b")),
    ("! NotExposedError: no", Failure(1, "not_exposed", "NotExposedError", "no")),
    ("! oops", Failure(1, "remote", "oops", "")),
]


@pytest.mark.parametrize(("line", "message"), ANSWERED, ids=label)
def test_this_line_is_this_answer(line: str, message: Message) -> None:
    assert ANSWERS.decode([line.encode()]) == message


@given(value=st.text() | st.integers() | st.lists(st.text()) | st.floats() | st.tuples(st.text()) | st.none())
def test_any_result_arrives_as_it_was_said(value: Any) -> None:
    for make in (Reply, Item):
        answer: Any = ANSWERS.decode(WIRE.encode(make(1, value)))
        assert type(answer) is make and same(WIRE.reader(Any)(answer.value, answer), value)


@given(args=st.lists(st.text() | st.integers() | st.lists(st.text())), kwargs=st.dictionaries(st.just("k"), st.text()))
def test_any_call_arrives_as_it_was_said(args: list[Any], kwargs: dict[str, str]) -> None:
    assert called(said(Request(1, "f", tuple(args), kwargs))) == ("f", args, kwargs)


@pytest.mark.parametrize(
    "line",
    [
        b'f "open',
        b"f [1",
        b"f [1]x",
        b'f {"a"}',
        b"f \xff",
        b"f x=1 x=2",
        b"f " + b"[" * 100_000,
        b'f "\\ud800"',
        b"f [NaN]",
    ],
    ids=lambda line: repr(line)[:20],
)
def test_what_is_no_call_is_a_protocol_error(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="no line of the text wire"):
        WIRE.decode([line])


def test_a_line_is_one_part() -> None:
    with pytest.raises(ProtocolError):
        WIRE.decode([b"add 2", b"5"])


def test_the_words_are_read_as_the_annotated_types() -> None:
    request: Any = WIRE.decode([b'price 1.5 "2024-01-01"'])
    assert WIRE.reader(tuple[Decimal, str])(request.args, request) == (Decimal("1.5"), "2024-01-01")
    with pytest.raises(msgspec.ValidationError, match="Expected `int`"):
        WIRE.reader(tuple[int, str])(request.args, request)


@pytest.mark.alone
def test_the_time_to_hear_a_line_grows_with_its_length_only() -> None:
    def heard(line: bytes) -> None:
        try:
            WIRE.decode([line])
        except ProtocolError:
            pass

    for word in (b" [1", b' "a', b" a=1", b" x", b" [[[[1]]]]"):
        small, large = b"f" + word * 2_000, b"f" + word * 20_000
        quick, slow = (
            min(timeit.repeat(partial(heard, x), timer=thread_time, number=1, repeat=9)) for x in (small, large)
        )
        assert slow < 40 * quick, word


def test_the_facts_refuse_what_the_wire_refuses() -> None:
    for verb in VERBS:
        verdict = WIRE.facts.verdict(verb)
        assert isinstance(verdict, No) == (verb != "call")
        assert not isinstance(verdict, No) or verdict.instead == "json"
