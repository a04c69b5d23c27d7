"""Large values on their way through the hub: written down once, opened by whoever needs it open."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import numpy as np
import pytest

import tincans
from tincans.core.carried import Carried, opened
from tincans.core.messages import Reply, Request
from tincans.core.values import Code
from tincans.pump.carrying import may_be_large, taken_in, written_down
from tincans.toolkit.live_memory import segment_of
from tincans.wires.json import WIRE as JSON
from tincans.wires.native import WIRE

LARGE = np.arange(200_000)


def carried(value: Any) -> Any:
    return written_down("$publish", ("news", value))[1]


def rebuilt(wire: Any, parts: list[Any]) -> Any:
    message: Any = wire.decode(parts)
    return wire.reader(Any)(message.value, message)


def test_a_large_value_is_written_down_once_and_sent_as_it_is() -> None:
    value = carried({"a": LARGE, "text": "x" * 10})
    assert type(value) is Carried
    one, two = (WIRE.encode(Reply(number, [number, value, 1, 30.0])) for number in (1, 2))
    assert segment_of(one[1]) == segment_of(two[1]) is not None
    assert (rebuilt(WIRE, one)[1]["a"] == LARGE).all()


def test_what_the_publisher_does_afterwards_changes_nothing() -> None:
    array = LARGE.copy()
    value = carried([array])
    array[:] = 0
    assert (opened(value)[0] == LARGE).all()


def test_a_wire_that_does_not_know_it_gets_the_value() -> None:
    assert (rebuilt(JSON, JSON.encode(Reply(1, carried({"a": LARGE}))))["a"] == LARGE).all()


def test_it_is_opened_when_other_buffers_come_before_it() -> None:
    first = np.arange(100_000) + 1
    came = rebuilt(WIRE, WIRE.encode(Reply(1, [first, carried(LARGE), carried(first)])))
    assert all((got == sent).all() for got, sent in zip(came, (first, LARGE, first), strict=True))


def test_gaps_go_only_to_those_who_see_our_memory_anyway() -> None:
    whole = tincans.empty((1000, 1000))
    whole[...] = 1
    value = carried(whole[:, ::2])
    assert value.gaps
    assert memoryview(WIRE.encode(Reply(1, value))[1]).nbytes == whole.nbytes // 2


@pytest.mark.parametrize("value", [None, 5, "x" * 2_000_000, {"a": [1, 2]}, np.arange(5), bytes(1000), [LARGE[:10]]])
def test_a_small_value_stays_as_it_is(value: Any) -> None:
    assert carried(value) is value


def test_what_is_no_value_stays_as_it_is() -> None:
    assert written_down("$take", ("jobs", LARGE))[1] is LARGE


def test_a_value_that_cannot_travel_is_left_to_whom_it_concerns() -> None:
    value = [LARGE, object()]
    assert carried(value) is value


def request_of(*args: Any) -> Any:
    return WIRE.decode(WIRE.encode(Request(3, "$put", args)))


def test_what_a_connected_program_sends_is_not_opened() -> None:
    args = taken_in(WIRE, request_of("jobs", {"a": LARGE}, None, "wait", 0.5))
    assert args is not None
    assert (args[0], args[2:]) == ("jobs", (None, "wait", 0.5))
    assert type(args[1]) is Carried and (opened(args[1])["a"] == LARGE).all()


def test_small_requests_go_their_ordinary_way() -> None:
    assert taken_in(WIRE, request_of("jobs", {"a": 1})) is None


def test_a_function_is_refused_for_it_means_nothing_elsewhere() -> None:
    class Numbers:
        def export_function(self, function: Any) -> int:
            return 7

    request: Any = WIRE.decode(WIRE.encode(Request(3, "$publish", ("news", [LARGE, len])), Numbers()))  # type: ignore[arg-type]
    with pytest.raises(msgspec.ValidationError, match="function"):
        taken_in(WIRE, request)


BAD = {
    "an array that is too short": [["<i8", [10**6], False, 0]],
    "an array of objects": [["|O", [10], False, 0]],
    "an array with impossible strides": [["<i8", [10], [0, 10**9], 0]],
    "a part that is not there": [["<i8", [10], False, 1]],
}


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD)
def test_a_bad_value_is_refused_before_it_reaches_anybody(payload: Any) -> None:
    mark = msgspec.msgpack.Ext(Code.ARRAY.value, msgspec.msgpack.encode(payload[0]))
    body = msgspec.Raw(msgspec.msgpack.encode(["news", mark]))
    request = Request(3, "$publish", body, rich=True, buffers=[bytes(20_000)])
    with pytest.raises(msgspec.ValidationError):
        taken_in(WIRE, request)


def test_a_table_passes_through_a_program_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pip install pyarrow")
    request = request_of("jobs", arrow.table({"n": np.arange(100_000)}))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    args = taken_in(WIRE, request)
    assert args is not None and type(args[1]) is Carried
    monkeypatch.undo()
    assert opened(args[1]).num_rows == 100_000


def test_may_be_large_is_quick_to_say_no() -> None:
    assert not may_be_large({"a": [1, (2.0, "text", None)], "b": bytes(100)})
    assert may_be_large(LARGE) and may_be_large([{"a": bytearray(2_000_000)}])


def test_it_can_be_kept_in_a_file() -> None:
    assert (WIRE.unpack(WIRE.pack(carried({"a": LARGE})))["a"] == LARGE).all()
