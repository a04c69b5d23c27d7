"""The C core's way with plain messages says and hears exactly what the native wire says and hears."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import tincans
from tincans.core.arrays import plain_array
from tincans.core.messages import Message, Publication, Reply, Request
from tincans.wires.native import WIRE

plain = pytest.importorskip("tincans._speed._core", reason="no C core was built: apt-get install gcc")

INTS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 31, 32, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, -1, -32, -33, -128, -129, -32769]),
)
VALUES = st.one_of(
    st.none(), st.booleans(), INTS, st.floats(allow_nan=False), st.text(max_size=300), st.binary(max_size=300)
)
IDS = st.integers(1, 2**32 - 1)


def heard(data: bytes) -> Any:
    """The message as the native wire reads it, with its bodies."""
    message: Any = WIRE.decode([data])
    body = message.args if isinstance(message, Request) else message.value
    return message, WIRE.reader(Any)(body, message)


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b and (type(a) is not float or math.copysign(1, a) == math.copysign(1, b))


@given(IDS, st.text(min_size=1, max_size=31), st.lists(VALUES, max_size=15), st.one_of(st.none(), st.floats(0, 1e9)))
def test_a_plain_request_is_read_by_the_native_wire_as_it_was_said(
    id: int, name: str, args: list[Any], timeout: float | None
) -> None:
    data = plain.request(id, name, tuple(args), timeout)
    if data is None:
        assert sum(len(str(arg)) for arg in args) > 500
        return
    message, values = heard(data)
    assert (message.id, message.name, message.timeout, message.kwargs, message.key) == (id, name, timeout, None, None)
    assert all(map(same, values, args)) and len(values) == len(args)


@given(IDS, st.text(min_size=1, max_size=7), st.lists(VALUES, max_size=15), st.one_of(st.none(), st.floats(0, 1e9)))
def test_a_request_of_the_native_wire_is_read_as_it_was_said(
    id: int, name: str, args: list[Any], timeout: float | None
) -> None:
    (data,) = WIRE.encode(Request(id, name, tuple(args), None, timeout))
    found = plain.read(data)
    if found is None:
        assert len(data) > 4096 or len(name.encode()) > 31
        return
    assert found[:2] == (id, name) and found[3] == timeout
    assert all(map(same, found[2], args)) and len(found[2]) == len(args)


@given(IDS, VALUES)
def test_a_reply_means_the_same_both_ways(id: int, value: Any) -> None:
    data = plain.reply(id, value)
    message, read = heard(data)
    assert message.id == id and same(read, value)
    assert plain.read(data)[0] == id and same(plain.read(data)[1], value)
    back = plain.read(WIRE.encode(Reply(id, value))[0])
    assert back[0] == id and same(back[1], value)


@given(IDS, st.text(min_size=1, max_size=7), VALUES)
def test_a_publication_means_the_same_both_ways(id: int, topic: str, value: Any) -> None:
    message, read = heard(plain.publication(id, topic, value))
    assert (message.id, message.topic, message.dropped) == (id, topic, 0) and same(read, value)
    for data in (plain.publication(id, topic, value), WIRE.encode(Publication(id, topic, value))[0]):
        found = plain.read(data)
        assert found[:2] == (id, topic) and same(found[2], value)


def test_a_publication_that_tells_of_losses_is_left_to_the_wire() -> None:
    assert plain.read(WIRE.encode(Publication(1, "topic", 5, 3))[0]) is None


@pytest.mark.parametrize(
    "value", [(1,), [1], {}, bytearray(b"x"), b"x" * 5000, 2**64, -(2**63) - 1, 1j, "\ud800", "x" * 5000, object()]
)
def test_what_is_not_plain_is_left_to_the_wire(value: Any) -> None:
    assert plain.reply(1, value) is None
    assert plain.request(1, "f", (value,), None) is None


class Number(int):
    """Not exactly an int: it may mean something else."""


def test_a_subclass_is_not_plain() -> None:
    assert plain.reply(1, Number(5)) is None
    assert plain.request(1, "f", (Number(5),), None) is None


@pytest.mark.parametrize(
    "message",
    [
        Request(1, "f", (1,), {"a": 1}, None),
        Request(1, "f", (1,), None, None, "key"),
        Request(1, "f", ([1],), None, None),
        Request(1, "f" * 40, (), None, None),
        Reply(1, None, stream=True),
        Reply(1, (1, 2)),
    ],
)
def test_messages_that_say_more_are_left_to_the_wire(message: Message) -> None:
    assert plain.read(WIRE.encode(message)[0]) is None


@given(st.binary(max_size=40))
def test_garbage_is_never_taken_for_more_than_the_wire_would(data: bytes) -> None:
    found = plain.read(data)
    if found is None:
        return
    message, body = heard(data)
    assert message.id == found[0]
    if len(found) == 4:
        assert (message.name, message.timeout) == (found[1], found[3])
        assert len(body) == len(found[2]) and all(a == b or a != a for a, b in zip(body, found[2], strict=True))
    elif len(found) == 3:
        assert (message.topic, message.dropped) == (found[1], 0) and (body == found[2] or body != body)
    else:
        assert body == found[1] or body != body


def test_a_cut_message_is_not_read() -> None:
    data = plain.request(300, "function", (1, -500, 2.5, "text", None, True), 30.0)
    assert all(plain.read(data[:size]) is None for size in range(len(data)))


@pytest.mark.parametrize("data", [None, "text", bytearray(b"\x93\x02\x01\x05"), memoryview(b"\x93\x02\x01\x05")])
def test_only_bytes_are_read(data: Any) -> None:
    assert plain.read(data) is None


def test_values_fit_a_shape_by_their_exact_classes() -> None:
    shape = ((int, None, str), 2)
    assert plain.fits((1, 2.5), shape) and plain.fits((1, None, "x"), shape)
    assert not any(plain.fits(args, shape) for args in [(1,), (True, 1), (1, 1, 1), (1, 1, "x", 1), ()])
    assert not plain.fits((1, 2), None)


ARRAYS = st.one_of(
    arrays(st.sampled_from(["?", "i1", "u2", "i4", "u8", "f2", "f4", "f8"]), array_shapes(min_dims=0, min_side=0)),
    st.builds(lambda array: array.T, arrays("i2", array_shapes(max_side=4))),
)


def alike(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@given(ARRAYS, st.booleans())
def test_a_plain_array_means_the_same_both_ways(array: Any, as_it_came: bool) -> None:
    if as_it_came:
        array = numpy.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
    for write, message in [
        (lambda: plain.request(1, "f", (array, 5), 1.0), Request(1, "f", (array, 5), None, 1.0)),
        (lambda: plain.reply(1, array), Reply(1, array)),
        (lambda: plain.publication(1, "topic", array), Publication(1, "topic", array)),
    ]:
        data = write()
        assert data is not None or not array.flags.c_contiguous
        for each in filter(None, [data, WIRE.encode(message)[0]]):
            _, body = heard(each)
            found = plain.read_with(plain_array, each)
            if array.flags.c_contiguous:
                value = found[2] if len(found) > 2 else found[1]
                value, body = (value[0], body[0]) if len(found) == 4 else (value, body)
                assert alike(value, array) and alike(body, array) and not (value.size and value.flags.writeable)
            else:
                assert found is None
            assert plain.read(each) is None


@pytest.mark.parametrize(
    "array",
    [
        numpy.zeros(5000, "u1"),
        numpy.zeros(3, ">i4"),
        numpy.zeros(3, "M8[s]"),
        numpy.zeros(3, "c16"),
        numpy.zeros(3, "U2"),
        numpy.zeros(3, "g"),
        numpy.zeros(3, "i4,f8"),
        numpy.zeros(6)[::2],
        numpy.zeros((3, 2), order="F"),
        numpy.ma.masked_array([1, 2], [0, 1]),
        numpy.frombuffer(bytearray(8)),
        numpy.array([object()]),
        tincans.empty(4, writable=True),
    ],
)
def test_other_arrays_are_left_to_the_wire(array: Any) -> None:
    assert plain.reply(1, array) is None
    assert plain.request(1, "f", (array,), None) is None


def test_an_array_that_is_none_is_left_to_the_wire() -> None:
    data = plain.reply(1, numpy.arange(3, dtype="i4"))
    for at in range(3, len(data)):
        for byte in (0, 1, 0x7F, 0x90, 0xC2, 0xC3, 0xC8, 0xFF):
            changed = data[:at] + bytes([byte]) + data[at + 1 :]
            found = plain.read_with(plain_array, changed)
            if found is not None:
                assert alike(found[1], heard(changed)[1])
    assert all(plain.read_with(plain_array, data[:size]) is None for size in range(len(data)))


def test_what_is_no_error_of_the_message_is_raised() -> None:
    data = plain.reply(1, numpy.arange(3))

    def interrupted(*given: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plain.read_with(interrupted, data)


def heard_parts(parts: list[Any]) -> Any:
    """What the native wire hears: the value, or the first argument."""
    message: Any = WIRE.decode(parts)
    request = isinstance(message, Request)
    value = WIRE.reader(Any)(message.args if request else message.value, message)
    return value[0] if request else value


LARGE = numpy.arange(30_000, dtype="i4").reshape(3, -1)


@pytest.mark.parametrize("array", [LARGE, LARGE[1], tincans.empty(1_000_000, "u1"), LARGE.astype("f8").T.T])
def test_a_large_array_travels_beside_the_message_and_means_the_same_both_ways(array: Any) -> None:
    for ours, theirs in [
        (plain.request_beside(1, "f", (array, 5), 1.0), WIRE.encode(Request(1, "f", (array, 5), None, 1.0))),
        (plain.reply_beside(1, array), WIRE.encode(Reply(1, array))),
        (plain.publication_beside(1, "topic", array), WIRE.encode(Publication(1, "topic", array))),
    ]:
        assert [len(part) for part in ours[1:]] == [array.nbytes]
        assert numpy.shares_memory(numpy.frombuffer(ours[1], "u1"), array)
        for parts in (ours, theirs):
            found = plain.read_with(plain_array, list(parts))
            value = found[2] if len(found) > 2 else found[1]
            value = value[0] if len(found) == 4 else value
            assert alike(value, array) and alike(heard_parts(parts), array)
            assert numpy.shares_memory(value, array)


def test_several_arrays_are_told_apart() -> None:
    parts = plain.request_beside(1, "f", (LARGE, numpy.arange(3), LARGE * 2, "text"), None)
    args = plain.read_with(plain_array, parts)[2]
    assert len(parts) == 3 and alike(args[0], LARGE) and alike(args[2], LARGE * 2) and args[3] == "text"
    assert alike(args[1], numpy.arange(3))


@pytest.mark.parametrize("value", [[LARGE], LARGE.T, LARGE[:, ::2], b"x" * 50_000, LARGE.astype(">i4")])
def test_what_is_no_simple_array_is_left_to_the_wire(value: Any) -> None:
    assert plain.reply_beside(1, value) is None
    assert plain.request_beside(1, "f", (LARGE, value), None) is None


def test_a_part_that_is_not_there_or_has_another_size_is_left_to_the_wire() -> None:
    parts = plain.reply_beside(1, LARGE)
    for wrong in ([parts[0]], [parts[0], bytes(5)], [parts[0], LARGE.tobytes() + b"x"]):
        assert plain.read_with(plain_array, wrong) is None
    assert plain.read_with(plain_array, []) is None and plain.read_with(plain_array, [None, b""]) is None
    assert plain.read_with(plain_array, [*parts, b"more"]) is not None
