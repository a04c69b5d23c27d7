"""Every kind of value arrives as it was sent, without an annotation, over the native and the json wire.

Rules of this file
- One table of values, both wires; what is special about one wire stands in that wire's own test file.
- A refusal is tested by its path, which is the promise: the user must find the bad value.
"""

from __future__ import annotations

import array
import collections
import enum
import fractions
import io
import mmap
import pathlib
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label import label
from value_trips import Desk, call_trip, same, trip

from tincans.contracts import Wire
from tincans.core.messages import Failure, Request
from tincans.errors import UnsendableError
from tincans.wires.json import WIRE as JSON
from tincans.wires.native import WIRE as NATIVE

BERLIN = ZoneInfo("Europe/Berlin")
INDIA = timezone(timedelta(hours=5, minutes=30))
NAN = float("nan")

SCALARS = [
    None, True, False, 0, -1, 2**63, -(2**63), 2**64 - 1, 2**64, -(2**63) - 1, 10**5000, -(10**5000),
    0.0, -0.0, 1.5, NAN, float("inf"), float("-inf"), 1 + 2j, complex(NAN, float("-inf")),
    "", "text", "ünï", "\n\r\u2028\0", "\U0001f600", "\ud800 alone", "$tuple",
    b"", b"\0\xff", b"x" * 20_000, bytearray(), bytearray(b"ab"), bytearray(b"x" * 20_000),
    memoryview(b"abc"), memoryview(b""), memoryview(b"x" * 20_000),
]  # fmt: skip
CONTAINERS = [
    [], [1, [2, [3.5, None]]], [1.5, NAN, 2], list(range(100)), [0.5] * 100, [*["x"] * 50, 2**70], [*range(50), True],
    (), (1,), (1, (2, [3])), [(1, 2), (3, 4)], [[1, 2], [3, 4]], [[1], [(2,)]], [{"a": 1}, {"b": (2,)}],
    [{"a": 1, "b": 1.5}, {"a": 2, "b": 2.5}], [{"$a": 1}], set(), {1, "a", None}, {(1, 2)}, frozenset({1}),
    {frozenset({1}): 2}, {}, {"a": {"b": [1, {"c": None}]}}, {1: 2, None: 3, 1.5: 4, False: 5}, {(1, (2, 3)): [4]},
    {b"k": 1}, {2**70: 1}, {NAN: 1}, {"\ud800": 1}, {"$a": 1}, {"$tuple": [1]}, {"$dict": {"$set": (1,)}},
    {"$a": 1, "b": 2}, {"": ""}, {"b": 1, "a": 2}, {Decimal(1): 1}, {date(2024, 1, 1): 1}, [Decimal(1)] * 2,
]  # fmt: skip
LONG = [[*range(40), last] for last in ((1,), Decimal(1), True, 2**70, 1.5, NAN, None, "x", [1])] + [
    [*["x"] * 40, (1,)],
    [*["x"] * 40, "\ud800"],
    [1.5] * 40,
    [*[1.5] * 40, NAN],
    [*[1.5] * 40, (1,)],
    [1e308] * 40,
    [*[1.5] * 40, Decimal(1)],
    [*[1.5] * 40, fractions.Fraction(1, 2)],
    [*[1.5] * 40, 1, True],
    [*[1.5] * 40, np.float64(1)],
]
TIMES = [
    datetime(2024, 1, 2, 3, 4, 5, 6), datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=INDIA),
    datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN), datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN),
    datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN), datetime(2024, 1, 1, fold=1), datetime.min, datetime.max,
    datetime(1800, 1, 1, tzinfo=BERLIN), date(2024, 2, 29), time(1, 2, 3, 4), time(1, tzinfo=UTC), time(2, fold=1),
    time(1, tzinfo=BERLIN), timedelta(-1, 5, 6), timedelta.max,
]  # fmt: skip
OTHERS = [
    Decimal("1.50"), Decimal("-Infinity"), Decimal("sNaN"), Decimal("1E+999999"), fractions.Fraction(1, 3),
    fractions.Fraction(-(2**70), 3), uuid.UUID(int=5), pathlib.Path("/a/b"), pathlib.Path("\udce9"),
    pathlib.PureWindowsPath("c:\\x"), pathlib.PurePosixPath("x"), range(5), range(0, 2**70, 3), slice(1, None, 2),
    slice("a", (1, 2)),
]  # fmt: skip
GRID = np.arange(24.0).reshape(4, 6)
ARRAYS = [
    GRID, GRID.T, np.array(5), np.zeros((0, 3)), np.zeros((3, 0), order="F"), np.arange(10_000),
    np.asfortranarray(np.arange(10_000).reshape(100, 100)), np.array(["ab", "c"]), np.array([b"x\0y"]),
    np.array(["2024-01-01", "NaT"], "M8[D]"), np.array([1], "m8[25s]"), np.array([True]), np.arange(3, dtype=">i4"),
    np.array([1 + 2j]), np.zeros(3, "f2"), np.zeros(2, np.longdouble), np.zeros(3, "V8"),
    np.zeros(2, [("a", "i4"), ("b", "f8", (2, 3)), ("c", [("d", "S3"), ("when", "M8[us]")])]),
    np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)), [np.arange(3), {"x": np.arange(4)}],
]  # fmt: skip
NUMPY_SCALARS = [
    np.float64(1.5), np.float32(0.1), np.int8(3), np.bool_(True), np.datetime64("2024-01-01"), np.timedelta64(5, "s"),
    np.str_("x\0"), np.str_(""), np.str_("\ud800"), np.bytes_(b"x\0"), np.complex64(1j), np.zeros(1, "i4,f8")[0],
]  # fmt: skip


@pytest.fixture(params=[NATIVE, JSON], ids=lambda wire: wire.name)
def wire(request: pytest.FixtureRequest) -> Wire:
    chosen: Wire = request.param
    return chosen


def shown(value: Any) -> str:
    if isinstance(value, int):
        return f"int-{value.bit_length()}"
    kind = type(value).__name__
    return f"{kind}-{len(value)}" if isinstance(value, (set, frozenset)) else f"{kind}-{label(repr(value))[:30]}"


@pytest.mark.parametrize("value", SCALARS + CONTAINERS + LONG + TIMES + OTHERS, ids=shown)
def test_a_value_arrives_unchanged(wire: Wire, value: Any) -> None:
    assert same(trip(wire, value), value)


@pytest.mark.parametrize("value", ARRAYS + NUMPY_SCALARS, ids=shown)
def test_a_numpy_value_arrives_unchanged(wire: Wire, value: Any) -> None:
    assert same(trip(wire, value), value)


@pytest.mark.parametrize("value", [GRID[::2], GRID[:, 1:3], np.arange(9)[::-1], GRID.T[1:3]], ids=shown)
def test_an_array_with_gaps_arrives_without_them(wire: Wire, value: Any) -> None:
    arrived = trip(wire, value)
    assert np.array_equal(arrived, value) and arrived.dtype == value.dtype


SIMPLE = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=50)
DATES = st.datetimes() | st.dates() | st.times() | st.timedeltas() | st.decimals() | st.uuids() | st.fractions()
KEYS = st.text(max_size=5) | st.integers() | st.tuples(st.integers(), st.text(max_size=3)) | st.none()
VALUES = st.recursive(
    SIMPLE | DATES | st.complex_numbers() | st.characters(categories=["Cs"]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=5)
        | st.frozensets(KEYS, max_size=5)
    ),
    max_leaves=30,
)


@given(value=VALUES)
def test_any_mixture_of_values_arrives_unchanged(value: Any) -> None:
    for each in (NATIVE, JSON):
        assert same(trip(each, value), value)


def test_the_order_of_a_dict_is_kept(wire: Wire) -> None:
    keys = [5, "a", (1,), None, "$"]
    assert list(trip(wire, dict.fromkeys(keys))) == keys


class Level(enum.IntEnum):
    LOW = 1


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Name(str):
    pass


class Place(NamedTuple):
    x: int
    y: int


@dataclass
class Point:
    x: int
    y: Any = None


@dataclass(frozen=True)
class Fixed:
    x: int


class Plain(msgspec.Struct):
    x: int
    y: float = 1.5


class Tagged(msgspec.Struct, tag="t", tag_field="kind", rename={"x": "X"}):
    x: Any
    y: Any = msgspec.UNSET


class Row(msgspec.Struct, array_like=True, tag=True):
    x: Any


AS_PLAIN = [
    (Level.LOW, 1), (Colour.RED, "red"), (Colour.PAIR, (1, 2)), (Name("x"), "x"), (Place(1, 2), (1, 2)),
    (collections.OrderedDict(a=1), {"a": 1}), (collections.defaultdict(list, a=[1]), {"a": [1]}),
    (collections.Counter("aa"), {"a": 2}), (collections.deque([1, (2,)]), [1, (2,)]), ({"a": 1}.keys(), ["a"]),
    ({"a": 1}.items(), [("a", 1)]), (Point(1, (2,)), {"x": 1, "y": (2,)}), (Plain(1), {"x": 1, "y": 1.5}),
    (Tagged((1,)), {"kind": "t", "X": (1,)}), (Row((1,)), ["Row", (1,)]), ([Level.LOW, Name("n")], [1, "n"]),
    (collections.ChainMap({"a": 1}, {"b": 2}), {"b": 2, "a": 1}), ({Name("k"): 1}, {"k": 1}),
    (array.array("d", [1.5, 2]), memoryview(array.array("d", [1.5, 2]))),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "arrives"), AS_PLAIN, ids=shown)
def test_a_class_of_ones_own_arrives_as_what_it_is_made_of(wire: Wire, sent: Any, arrives: Any) -> None:
    assert same(trip(wire, sent), arrives)


def test_mapped_memory_arrives_as_a_view(wire: Wire) -> None:
    with mmap.mmap(-1, 4096) as memory:
        memory[:3] = b"abc"
        assert bytes(trip(wire, memory)[:4]) == b"abc\0"


def test_a_view_keeps_its_shape_and_number_format(wire: Wire) -> None:
    view = memoryview(bytes(range(24))).cast("B").cast("i", [2, 3])
    assert trip(wire, view).tolist() == view.tolist()


def test_a_list_that_holds_itself_is_refused_with_the_path(wire: Wire) -> None:
    inner: list[Any] = [1]
    inner.append({"again": inner})
    with pytest.raises(UnsendableError, match=r"^result\['a'\]\[1\] cannot be sent: it contains itself"):
        trip(wire, {"a": inner})


def nested(levels: int, make: Any) -> Any:
    value: Any = 1.5
    for _ in range(levels):
        value = make(value)
    return value


MAKERS = [lambda v: [v], lambda v: (v,), lambda v: {"k": v}, lambda v: {(1,): v}, lambda v: Point(1, v)]


@pytest.mark.parametrize("make", MAKERS, ids=["list", "tuple", "dict", "pairs", "record"])
def test_two_hundred_levels_are_the_most(wire: Wire, make: Any) -> None:
    trip(wire, nested(190 if make is not MAKERS[3] else 95, make))
    with pytest.raises(UnsendableError, match="nested deeper than 200 levels"):
        trip(wire, nested(500, make))


def test_the_deepest_value_that_is_sent_can_be_received(wire: Wire) -> None:
    for make in MAKERS:
        deepest = 0
        for levels in range(90, 202):
            try:
                wire.encode(Request(1, "f", (nested(levels, make),)))
            except UnsendableError:
                break
            deepest = levels
        assert deepest >= 99
        call_trip(wire, Any, nested(deepest, make))


REFUSED = [
    (lambda: {"x": [0, 1, 2, object()]}, r"\['x'\]\[3\]", "Make it a dataclass"),
    (lambda: [io.BytesIO()], r"\[0\]", "open file or socket"),
    (lambda: (socket.socket,), r"\[0\]", "a class does not travel"),
    (lambda: {"f": print}, r"\['f'\]", "function cannot travel here"),
    (lambda: [iter([1])], r"\[0\]", "Send list"),
    (lambda: {1: {(2,): object()}}, r"\[1\]\[<a tuple>\]", "Struct"),
    (lambda: {"a" * 100: object()}, r"\['a{40}'\.\.\.\]", "Struct"),
    (lambda: {Fixed(1): 2}, r"\.key\[<a Fixed>\]", "cannot be a key"),
    (lambda: [{Fixed(1)}], r"\[0\]\[0\]", "cannot be a key or in a set"),
    (lambda: [{memoryview(b"x")}], r"\[0\]\[0\]", "cannot be a key or in a set"),
    (lambda: Point(1, [object()]), r"\.y\[0\]", "Struct"),
    (lambda: Tagged({"q": object()}), r"\.x\['q'\]", "Struct"),
    (lambda: np.array([object()]), "", "tolist"),
    (lambda: [np.zeros(2, [("a", "O")])], r"\[0\]", "Python objects"),
    (lambda: np.ma.masked_array([1], [True]), "", "mask"),
    (lambda: np.zeros(3, "V0"), "", "cannot travel"),
    (lambda: fractions.Fraction(1, 3**30_000), "", "bits"),
    (lambda: {"x": range}, r"\['x'\]", "class"),
]


@pytest.mark.parametrize(("make", "path", "advice"), REFUSED)
def test_what_cannot_travel_is_refused_with_its_path_and_advice(wire: Wire, make: Any, path: str, advice: str) -> None:
    with pytest.raises(UnsendableError, match=rf"^args\[1\]{path} cannot be sent: .*{advice}"):
        wire.encode(Request(1, "f", (0, make())))


def test_text_of_any_length_in_an_array_is_refused(wire: Wire) -> None:
    if hasattr(np.dtypes, "StringDType"):  # numpy 2: the array holds pointers
        with pytest.raises(UnsendableError, match="cannot travel"):
            wire.encode(Request(1, "f", (np.array(["a"], np.dtypes.StringDType()),)))


def test_a_keyword_argument_is_named_in_the_path(wire: Wire) -> None:
    with pytest.raises(UnsendableError, match=r"^kwargs\['y'\]\[0\] cannot be sent") as caught:
        wire.encode(Request(1, "f", (), {"x": 1, "y": [object()]}))
    assert caught.value.operation == "call f"


def test_an_open_socket_is_refused(wire: Wire) -> None:
    with socket.socket() as one, pytest.raises(UnsendableError, match="open file or socket"):
        wire.encode(Request(1, "f", (one,)))


def test_an_error_in_the_users_own_class_is_an_unsendable_value(wire: Wire) -> None:
    class Odd(collections.UserDict[str, int]):
        def __iter__(self) -> Iterator[str]:
            raise KeyError("no keys today")

    with pytest.raises(UnsendableError, match="no keys today"):
        wire.encode(Request(1, "f", (Odd(),)))


def test_a_name_that_is_no_text_for_the_wire_is_refused(wire: Wire) -> None:
    with pytest.raises(UnsendableError, match="surrogates"):
        wire.encode(Request(1, "\ud800", ()))


def test_a_failure_always_travels(wire: Wire) -> None:
    sent = Failure(1, "remote", "OSError", "no such file: \udce9", "traceback \ud800")
    arrived: Any = wire.decode(wire.encode(sent))
    assert arrived.message == "no such file: \\udce9"


def test_a_function_and_a_stream_travel_as_references(wire: Wire) -> None:
    desk = Desk()
    stream = (n for n in [1, 2])
    arrived = trip(wire, {"call": print, "each": [stream]}, references=desk)
    assert arrived == {"call": print, "each": [stream]}


def test_an_async_generator_travels_as_a_stream(wire: Wire) -> None:
    async def count() -> Any:
        yield 1

    desk = Desk()
    assert trip(wire, (numbers := count()), references=desk) is numbers
    assert desk.streams == [numbers]


def test_nothing_is_exported_for_a_message_that_cannot_be_sent(wire: Wire) -> None:
    desk = Desk()
    with pytest.raises(UnsendableError):
        wire.encode(Request(1, "f", (print, iter([1]), object())), desk)
    assert desk.functions == desk.streams == []


def test_each_function_is_exported_once(wire: Wire) -> None:
    desk = Desk()
    wire.encode(Request(1, "f", (print, "\ud800", 10**5000)), desk)
    assert desk.functions == [print]


def test_a_reference_that_arrives_where_there_are_none_is_refused(wire: Wire) -> None:
    for value in (print, iter([1])):
        message: Any = wire.decode(wire.encode(Request(1, "f", (value,)), Desk()))
        with pytest.raises(msgspec.ValidationError, match="none can"):
            wire.reader(Any)(message.args, message)


def test_a_value_and_its_sharer_both_travel(wire: Wire) -> None:
    shared = [1, (2,)]
    assert trip(wire, [shared, shared]) == [shared, shared]


@dataclass
class Bag:
    items: list[Any] = field(default_factory=list)


def test_what_is_sent_is_left_as_it_was(wire: Wire) -> None:
    bag = Bag([1, (2,), {3}, {"$a": (4,)}])
    wire.encode(Request(1, "f", (bag,), {"b": bag.items}))
    assert bag == Bag([1, (2,), {3}, {"$a": (4,)}])


def test_an_attrs_object_arrives_as_its_fields(wire: Wire) -> None:
    import attrs

    @attrs.define
    class Pair:
        one: int
        two: tuple[int, ...]

    assert trip(wire, Pair(1, (2,))) == {"one": 1, "two": (2,)}
    assert trip(wire, Pair(1, (2,)), Pair) == Pair(1, (2,))
