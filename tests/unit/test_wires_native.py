"""The native wire: what goes into which part, what is never copied, and what a hostile frame can do (nothing).

Rules of this file
- That values survive is tested in test_values.py; here it is about parts, envelopes and refusals.
"""

from __future__ import annotations

import timeit
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from value_trips import same, trip

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
from tincans.core.values import DEEPEST, LARGE, Code
from tincans.errors import ProtocolError
from tincans.wires.native import WIRE

MESSAGES: list[Message] = [
    Failure(3, "remote", "ValueError", "text", "trace"),
    Credit(3, 5),
    End(3),
    Cancel(3),
    Ping(7),
    Pong(7),
    Hello(1, "tincans", 5, "alice", 100, b"\0n", b"p\xff", "key", ("add", "sub")),
    Proof(b"\xff\0"),
    Goodbye("done"),
]


def received(value: Any) -> Any:
    return WIRE.decode(WIRE.encode(Reply(1, value)))


def forged(code: int, payload: Any, parts: list[bytes] | None = None) -> Any:
    """A reply with a marked value as a stranger could write it."""
    body = msgspec.msgpack.Ext(code, msgspec.msgpack.encode(payload))
    return WIRE.decode([msgspec.msgpack.encode([2, 1, body, True]), *(parts or [])])


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_without_a_body_arrives_unchanged(message: Message) -> None:
    assert WIRE.decode(WIRE.encode(message)) == message


def test_a_message_with_a_body_keeps_everything_beside_it() -> None:
    request: Any = WIRE.decode(WIRE.encode(Request(5, "add", (1,), {"x": (2,)}, 1.5, "key")))
    assert (request.id, request.name, request.timeout, request.key, request.rich) == (5, "add", 1.5, "key", True)
    note: Any = WIRE.decode(WIRE.encode(Publication(5, "news", 1, 3)))
    assert (note.id, note.topic, note.dropped, note.rich) == (5, "news", 3, False)
    item: Any = WIRE.decode(WIRE.encode(Item(5, 1)))
    assert (item.id, bytes(item.value)) == (5, b"\x01")
    assert WIRE.decode(WIRE.encode(Reply(5, None, stream=True))).stream  # type: ignore[union-attr]


def test_absent_keyword_arguments_arrive_as_none() -> None:
    assert WIRE.decode(WIRE.encode(Request(1, "f", ()))).kwargs is None  # type: ignore[union-attr]


def test_every_kind_of_message_is_tested_here() -> None:
    bodies = {"Request", "Reply", "Item", "Publication"}
    assert {m.__name__ for m in get_args(Message)} == {type(m).__name__ for m in MESSAGES} | bodies


def test_a_plain_message_is_one_part_that_any_msgpack_reads() -> None:
    (envelope,) = WIRE.encode(Request(1, "add", (2, 5), timeout=30.0))
    assert msgspec.msgpack.decode(envelope) == [1, 1, "add", [2, 5], None, 30.0, None, False, None]


@pytest.mark.parametrize("make", [bytes, bytearray, lambda data: memoryview(bytes(data))])
def test_a_large_buffer_is_a_part_of_its_own_and_a_small_one_is_not(make: Any) -> None:
    assert len(WIRE.encode(Reply(1, make(b"x" * (LARGE - 1))))) == 1
    assert len(WIRE.encode(Reply(1, make(b"x" * LARGE)))) == 2


def test_a_large_array_is_sent_without_a_copy() -> None:
    for array in (np.zeros(LARGE), np.zeros((200, 200), order="F"), np.zeros((200, 200))[:150]):
        part = WIRE.encode(Request(1, "f", (array,)))[1]
        assert np.shares_memory(np.frombuffer(part, "u1"), array)


def test_a_large_array_is_received_without_a_copy() -> None:
    envelope, part = WIRE.encode(Reply(1, np.arange(LARGE)))
    memory = bytearray(part)
    message: Any = WIRE.decode([envelope, memory])
    for as_type in (Any, np.ndarray):
        arrived = WIRE.reader(as_type)(message.value, message)
        assert np.shares_memory(arrived, np.frombuffer(memory, "u1"))


def test_large_bytes_are_received_without_a_copy_when_they_came_as_bytes() -> None:
    envelope, part = WIRE.encode(Reply(1, b"x" * LARGE))
    whole = bytes(part)
    message: Any = WIRE.decode([envelope, whole])
    assert WIRE.reader(Any)(message.value, message) is whole


def test_an_array_keeps_the_memory_it_was_received_in() -> None:
    envelope, part = WIRE.encode(Reply(1, np.arange(LARGE)))
    message: Any = WIRE.decode([envelope, bytes(part)])
    arrived = WIRE.reader(Any)(message.value, message)
    del message, part
    assert arrived.sum() == LARGE * (LARGE - 1) // 2


def test_several_large_buffers_find_their_own_parts() -> None:
    one, two = b"a" * LARGE, np.full(LARGE, 7, "u1")
    message: Any = WIRE.decode(WIRE.encode(Request(1, "f", (one, {"x": two}), {"y": one})))
    first, second = WIRE.reader(Any)(message.args, message)
    assert first == one and np.array_equal(second["x"], two)
    assert WIRE.reader(Any)(message.kwargs, message) == {"y": one}


def test_an_undecoded_body_is_passed_on_with_its_parts() -> None:
    first = received({"x": (1, np.arange(LARGE))})
    again: Any = WIRE.decode(WIRE.encode(Publication(9, "t", first.value, 0, first.rich, first.buffers)))
    assert again.value == first.value and WIRE.reader(Any)(again.value, again)["x"][0] == 1


def test_an_int_goes_where_a_float_is_annotated() -> None:
    message: Any = WIRE.decode(WIRE.encode(Request(1, "f", (1, 2))))
    assert same(WIRE.reader(tuple[int, float])(message.args, message), (1, 2.0))


def test_a_text_is_not_taken_for_base64() -> None:
    with pytest.raises(msgspec.ValidationError, match="Expected `bytes`, got `str`"):
        trip(WIRE, ("eA==",), tuple[bytes])


NO_MESSAGES = [
    [],
    [b""],
    [b"\xc1"],
    [b"\x90"],
    [b"\x92\x01"],
    [b"\x91\x63"],
    [b"\x05"],
    [b"\xdd\xff\xff\xff\xff"],
    [b"\x93\x04\x01\xd9"],
    [b"\x91" * 100_000],
    [b"\x93\x02\x01" + b"\x91" * 1_000_000],
    [b"\x92\x09\x01x"],
    [b"\x94\x01\xa1x\xa1x\x90"],
    [b"\x95\x02\x01\x01\xc2\xc2\x91\xc4\x01x"],
    [b"\x92\x09\xa1\xff"],
    [b"\x92\x09\x01", b"a part too many"],
    [msgspec.msgpack.encode([2, 1, 1, False, False, [b"x"]])],
    [5],
]


@pytest.mark.parametrize("parts", NO_MESSAGES, ids=lambda parts: repr(parts)[:30])
def test_what_is_no_message_is_a_protocol_error(parts: Any) -> None:
    with pytest.raises(ProtocolError, match="no message of the native wire"):
        WIRE.decode(parts)


DTYPES = ["|O", "O8", "f8,i4", "<f99999999999", "|S0", "V", "U4294967296", "[('a','O')]", "m8[x" * 20, "|T16", "\0"]
FORGED = [
    (99, 1, []),
    (0, 1, []),
    (-128, 1, []),
    (Code.TUPLE, 5, []),
    (Code.TUPLE, "abc", []),
    (Code.SET, [[1]], []),
    (Code.SET, {"a": 1}, []),
    (Code.DICT, [[1]], []),
    (Code.DICT, [[[], 1]], []),
    (Code.DICT, 5, []),
    (Code.INT, 0, []),
    (Code.INT, -1, [b"x"]),
    (Code.BYTES, True, [b"x"]),
    (Code.BYTES, 2**63, [b"x"]),
    (Code.BYTES, 1, [b"x"]),
    (Code.BYTES, None, []),
    (Code.TEXT, b"\xff", []),
    (Code.FLOAT, 1, []),
    (Code.FLOAT, "x", []),
    (Code.COMPLEX, [1], []),
    (Code.COMPLEX, ["1", "2"], []),
    (Code.DATETIME, "yesterday", []),
    (Code.DATETIME, 5, []),
    (Code.DATETIME, ["2024-01-01", "Europe/Berlin", 7], []),
    (Code.DATETIME, [], []),
    (Code.DATE, "2024-13-01", []),
    (Code.TIME, "25:00", []),
    (Code.TIMEDELTA, [10**12, 0, 0], []),
    (Code.TIMEDELTA, [1.5, 0, 0], []),
    (Code.DECIMAL, "x", []),
    (Code.DECIMAL, [0, [1], 2], []),
    (Code.FRACTION, [1, 0], []),
    (Code.FRACTION, [1], []),
    (Code.UUID, "x", []),
    (Code.UUID, b"x" * 16, []),
    (Code.PATH, 5, []),
    (Code.PATH, ["x"], []),
    (Code.RANGE, [1], []),
    (Code.RANGE, [1, 2, 0], []),
    (Code.SLICE, [1, 2, 3, 4], []),
    (Code.BUFFER, ["d", [1], b"x"], []),
    (Code.BUFFER, ["P", [1], b"x" * 8], []),
    (Code.BUFFER, ["B", [-1], b""], []),
    (Code.BUFFER, ["B", [2**63, 0], b"x"], []),
    (Code.BUFFER, ["B", [1] * 65, b"x"], []),
    (Code.ARRAY, ["<f8", [2**62, 2**62], False, b"x" * 8], []),
    (Code.ARRAY, ["<f8", [-1], False, b"x" * 8], []),
    (Code.ARRAY, ["<f8", [1.0], False, b"x" * 8], []),
    (Code.ARRAY, ["<f8", [True], False, b"x" * 8], []),
    (Code.ARRAY, ["<f8", [2**62, 0], False, b""], []),
    (Code.ARRAY, ["<f8", [1], 0, b"x" * 8], []),
    (Code.ARRAY, [["a"], [1]], []),
    (Code.ARRAY, [5, [1], False, b"x"], []),
    (Code.ARRAY, [[["a"], ["<f8"], [0], -8], [1], False, b"x" * 8], []),
    (Code.ARRAY, [[["a"], ["<f8"], [4], 8], [1], False, b"x" * 8], []),
    (Code.ARRAY, [[["a", "a"], ["i1", "i1"], [0, 1], 2], [1], False, b"xx"], []),
    (Code.ARRAY, [["|O", [1]], [1], False, b"x" * 8], []),
    (Code.ARRAY, [[["a"], ["|O"], [0], 8], [1], False, b"x" * 8], []),
    (Code.ARRAY, [["<f8", [2**31]], [1], False, b"x"], []),
    (Code.SCALAR, ["<f8", b"x"], []),
    (Code.SCALAR, ["U", b"x"], []),
    (Code.SCALAR, ["<f8", b"x" * 16], []),
    (Code.TABLE, ["table", None, b"x"], []),
    (Code.TABLE, ["spam", None, b""], []),
    (Code.FUNCTION, 1, []),
    (Code.STREAM, "x", []),
    *((Code.ARRAY, [dtype, [1], False, b"x" * 8], []) for dtype in DTYPES),
]


@pytest.mark.parametrize(("code", "payload", "parts"), FORGED, ids=lambda x: repr(x)[:40])
def test_a_forged_value_is_a_validation_error(code: int, payload: Any, parts: list[bytes]) -> None:
    message = forged(int(code), payload, parts)
    for as_type in (Any, int):
        with pytest.raises(msgspec.ValidationError):
            WIRE.reader(as_type)(message.value, message)


def test_an_unknown_code_says_that_the_other_end_may_be_newer() -> None:
    message = forged(99, 1)
    with pytest.raises(msgspec.ValidationError, match="unknown code 99; the other end may run a newer version"):
        WIRE.reader(Any)(message.value, message)


def test_marks_within_marks_end_at_the_deepest_level() -> None:
    body = b"\x90"
    for _ in range(DEEPEST + 1):
        body = msgspec.msgpack.encode([msgspec.msgpack.Ext(Code.TUPLE.value, body)])
    message: Any = WIRE.decode([b"\x94\x02\x01" + body + b"\xc3"])
    with pytest.raises(msgspec.ValidationError, match="deeper than 200 levels"):
        WIRE.reader(Any)(message.value, message)


def test_a_mark_in_a_body_that_is_said_to_be_plain_is_refused() -> None:
    mark = msgspec.msgpack.Ext(Code.TUPLE.value, b"\x90")
    message: Any = WIRE.decode([msgspec.msgpack.encode([2, 1, [mark], False])])
    for as_type in (Any, list[Any]):
        with pytest.raises(msgspec.ValidationError, match="said to be plain"):
            WIRE.reader(as_type)(message.value, message)


def test_a_part_may_be_used_more_than_once() -> None:
    twice = [msgspec.msgpack.Ext(Code.BYTES.value, b"\x00")] * 2
    message: Any = WIRE.decode([msgspec.msgpack.encode([2, 1, twice, True]), b"shared"])
    assert WIRE.reader(Any)(message.value, message) == [b"shared", b"shared"]


def test_a_length_that_lies_takes_no_memory() -> None:
    import tracemalloc

    tracemalloc.start()
    for lie in (b"\xdd\x7f\xff\xff\xff", b"\xdf\x7f\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"\xc9\x7f\xff\xff\xff\x01"):
        with pytest.raises(ProtocolError):
            WIRE.decode([b"\x94\x02\x01" + lie + b"\xc3"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_dtype_from_the_wire_never_evaluates_text() -> None:
    message = forged(Code.ARRAY.value, ["f8 if print('run') else f8", [1], False, b"x" * 8])
    with pytest.raises(msgspec.ValidationError, match="is refused"):
        WIRE.reader(Any)(message.value, message)


def test_a_plain_call_costs_little_more_than_one_msgspec_encode() -> None:
    request = Request(1, "add", (2, 5), timeout=30.0)
    bare = msgspec.msgpack.Encoder().encode
    ours = min(
        timeit.repeat(lambda: WIRE.encode(request), number=200, repeat=300)
    )  # short, so that some run undisturbed
    theirs = min(timeit.repeat(lambda: bare(request), number=200, repeat=300))
    assert ours < 6 * theirs  # measured: 3.2


def test_numbers_have_the_values_that_the_protocol_fixed() -> None:
    assert [code.value for code in Code] == [*range(1, 19), 20, 21, *range(23, 30)]
    assert LARGE == 16_384
