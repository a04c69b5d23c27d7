"""A body is read straight into the annotated type, whether it came plain or with marked values.

Rules of this file
- Each case is read over both wires; what a foreign program would send as plain JSON is read as that, too.
- A body that does not fit gives msgspec.ValidationError with the path, and never anything else.
"""

from __future__ import annotations

import collections
import collections.abc as abc
import enum
import fractions
import pathlib
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from value_trips import Desk, call_trip, same, trip

from tincans.contracts import Wire
from tincans.core.messages import Reply
from tincans.errors import UnsupportedError
from tincans.wires.json import WIRE as JSON
from tincans.wires.native import WIRE as NATIVE


@pytest.fixture(params=[NATIVE, JSON], ids=lambda wire: wire.name)
def wire(request: pytest.FixtureRequest) -> Wire:
    chosen: Wire = request.param
    return chosen


class Colour(enum.Enum):
    RED = "red"


class Spot(NamedTuple):
    x: int
    y: int


@dataclass
class Mixed:
    pair: tuple[int, int]
    grid: np.ndarray | None = None
    price: Decimal = Decimal(0)
    where: pathlib.Path | None = None


class Box(msgspec.Struct):
    inner: list[Mixed]
    colours: set[Colour]


ID = uuid.UUID(int=7)
DAY = date(2024, 1, 2)
FITS = [
    ((1, 2), tuple[int, int], (1, 2)),
    ((1, 2), list[int], [1, 2]),
    ([1, 2], tuple[int, ...], (1, 2)),
    ({1, 2}, list[int], [1, 2]),
    ([1, 1], set[int], {1}),
    (1, float, 1.0),
    (2**70, int, 2**70),
    (Decimal("1.5"), Decimal, Decimal("1.5")),
    ("1.5", Decimal, Decimal("1.5")),
    (ID, uuid.UUID, ID),
    (str(ID), uuid.UUID, ID),
    (DAY, date, DAY),
    ("2024-01-02", date, DAY),
    (datetime(2024, 1, 2), datetime, datetime(2024, 1, 2)),
    (timedelta(1), timedelta, timedelta(1)),
    (b"x", bytes, b"x"),
    (bytearray(b"x"), bytes, b"x"),
    (b"x" * 20_000, bytes, b"x" * 20_000),
    (Colour.RED, Colour, Colour.RED),
    ("red", Colour, Colour.RED),
    (Spot(1, 2), Spot, Spot(1, 2)),
    ([1, 2], Spot, Spot(1, 2)),
    ({1: (2,)}, dict[int, tuple[int]], {1: (2,)}),
    ({(1, 2): 3}, dict[tuple[int, int], int], {(1, 2): 3}),
    (pathlib.Path("x"), pathlib.Path, pathlib.Path("x")),
    ("x", pathlib.Path, pathlib.Path("x")),
    ("1/3", fractions.Fraction, fractions.Fraction(1, 3)),
    (fractions.Fraction(1, 3), fractions.Fraction, fractions.Fraction(1, 3)),
    (1, complex, 1 + 0j),
    ([1, 2.5], complex, 1 + 2.5j),
    (1 + 2j, complex, 1 + 2j),
    ([1, 5], range, range(1, 5)),
    ([1, 2], collections.deque[int], collections.deque([1, 2])),
    ({"a": [1]}, collections.defaultdict[str, list[int]], collections.defaultdict(None, a=[1])),
    ({"a": 1}, collections.OrderedDict, collections.OrderedDict(a=1)),
    ({"a": 2}, collections.Counter[str], collections.Counter("aa")),
    (5, Literal[5, "a"], 5),
    (5, Annotated[int, msgspec.Meta(ge=5)], 5),
    (None, Colour | None, None),
    (5, object, 5),
    (5, abc.Hashable, 5),
    ({"a": (1,)}, Any, {"a": (1,)}),
    (5, TypeVar("T"), 5),
    (np.float64(1.5), np.float64, np.float64(1.5)),
    (np.float64(1.5), float, 1.5),
    (np.int64(5), int, 5),
    ([np.int8(5), 1], list[int], [5, 1]),
    (1, np.int8, np.int8(1)),
    (1, np.float32, np.float32(1)),
]
UNIONS = [
    ("x", str | pathlib.Path, "x"),
    (pathlib.Path("x"), str | pathlib.Path, pathlib.Path("x")),
    (b"x", str | bytes, b"x"),
    (DAY, date | datetime, DAY),
    (datetime(2024, 1, 2), date | datetime, datetime(2024, 1, 2)),
    ((1,), list | tuple, (1,)),
    ([1], tuple | list, [1]),
    (None, str | pathlib.Path | None, None),
    ([pathlib.Path("x"), 5], list[int | pathlib.Path], [pathlib.Path("x"), 5]),
    ({"a": (1,)}, dict[str, tuple[int] | list[str]], {"a": (1,)}),
    (ID, int | uuid.UUID | Decimal, ID),
    ("red", Colour | str, "red"),
    ((DAY, 1), tuple[date | datetime, int | str], (DAY, 1)),
    (1.5, Decimal | float, 1.5),
]


@pytest.mark.parametrize(("sent", "as_type", "arrives"), FITS + UNIONS, ids=str)
def test_a_value_arrives_as_the_annotated_type(wire: Wire, sent: Any, as_type: Any, arrives: Any) -> None:
    assert same(trip(wire, sent, as_type), arrives)


@pytest.mark.parametrize(("sent", "as_type", "arrives"), FITS + UNIONS, ids=str)
def test_an_argument_beside_a_marked_value_arrives_as_the_annotated_type(
    wire: Wire, sent: Any, as_type: Any, arrives: Any
) -> None:
    assert same(call_trip(wire, tuple[as_type, set[int]], sent, {1}), (arrives, {1}))


def test_marked_values_arrive_in_the_fields_of_a_record(wire: Wire) -> None:
    sent = Box([Mixed((1, 2), np.arange(3), Decimal("1.5"), pathlib.Path("x"))], {Colour.RED})
    arrived = trip(wire, sent, Box)
    assert arrived.colours == {Colour.RED} and arrived.inner[0].where == pathlib.Path("x")
    assert np.array_equal(arrived.inner[0].grid, [0, 1, 2]) and arrived.inner[0].pair == (1, 2)


def test_a_record_is_read_from_plain_json() -> None:
    reply: Any = JSON.decode([b'{"id":1,"result":{"inner":[{"pair":[1,2],"price":"1.5"}],"colours":["red"]}}'])
    assert JSON.reader(Box)(reply.value, reply) == Box([Mixed((1, 2), None, Decimal("1.5"))], {Colour.RED})


MISFITS = [
    ("5", int, "Expected `int`, got `str`"),
    ([1, "x"], list[int], r"\$\[1\]"),
    ((1, 2, 3), tuple[int, int], "length 2"),
    ((1, "x"), tuple[int, int], r"\$\[1\]"),
    (5, pathlib.Path, "Expected `Path`, got `int`"),
    ("x", np.ndarray, "Expected `ndarray`, got `str`"),
    (["x"], np.ndarray, "ndarray"),
    ([1, [range(2**40)]], np.ndarray, "Expected `ndarray`"),
    ({"a": 1}, Mixed, "pair"),
    ({"pair": [1, 2], "where": 5}, Mixed, r"\$.where"),
    (5, str | pathlib.Path, r"Expected `str \| Path`, got `int`"),
    ("x", abc.Callable, "Expected `.*Callable`"),
    (300, np.int8, "int8"),
    (1.5, np.int8, "int8"),
    ("1e999999999", fractions.Fraction, "Fraction"),
    ([1, 2, 3], complex, "complex"),
    (5, type, "Expected `type`"),
    (5, slice, "slice"),
    (2**70, Annotated[int, msgspec.Meta(le=5)], "<= 5"),
    ("x", collections.deque[int], "deque"),
    (["x"], collections.deque[int], "Expected `int`"),
]


@pytest.mark.parametrize(("sent", "as_type", "text"), MISFITS, ids=str)
def test_a_value_that_does_not_fit_is_a_validation_error(wire: Wire, sent: Any, as_type: Any, text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=text):
        trip(wire, sent, as_type)


def test_an_array_is_read_as_the_annotated_kind(wire: Wire) -> None:
    ints = np.arange(3, dtype="i4")
    assert trip(wire, ints, npt.NDArray[np.int32]).dtype == np.int32
    assert trip(wire, ints, npt.NDArray[np.float64]).dtype == np.float64
    assert trip(wire, ints, npt.NDArray[np.integer]).dtype == np.int32
    with pytest.raises(msgspec.ValidationError, match="Expected an array of `int8`, got one of `int32`"):
        trip(wire, ints, npt.NDArray[np.int8])


def test_a_plain_list_of_numbers_serves_as_an_array(wire: Wire) -> None:
    assert np.array_equal(trip(wire, [[1, 2], [3, 4]], np.ndarray), [[1, 2], [3, 4]])
    assert np.array_equal(trip(wire, [np.arange(2), (True, 4.5)], np.ndarray), [[0, 1], [1, 4.5]])


def test_an_array_or_a_list_can_be_annotated_together(wire: Wire) -> None:
    assert isinstance(trip(wire, np.arange(3), np.ndarray | list[float]), np.ndarray)
    assert trip(wire, [1.5], np.ndarray | list[float]) == [1.5]


@pytest.mark.parametrize("as_type", [abc.Callable[[int], int], abc.Callable, object, Any])
def test_a_function_arrives_where_a_callable_is_annotated(wire: Wire, as_type: Any) -> None:
    assert trip(wire, print, as_type, references=Desk()) is print


@pytest.mark.parametrize(
    "as_type", [abc.Iterator[int], abc.Iterable[int], abc.Generator[int, None, None], Any], ids=str
)
def test_a_stream_arrives_where_an_iterator_is_annotated(wire: Wire, as_type: Any) -> None:
    stream = iter([1])
    assert trip(wire, stream, as_type, references=Desk()) is stream


def test_a_list_serves_as_an_iterator(wire: Wire) -> None:
    assert list(trip(wire, [1, 2], abc.Iterator[int])) == [1, 2]


def test_a_stream_beside_a_numpy_number_is_taken_in_once(wire: Wire) -> None:
    class Once(Desk):
        def import_stream(self, number: int) -> Any:
            return self.streams.pop(number)

    stream = iter([1])
    number, arrived = call_trip(wire, tuple[float, abc.Iterator[int]], np.float64(1.5), stream, references=Once())
    assert type(number) is float and arrived is stream


def test_numpy_numbers_stay_numpy_where_nothing_is_annotated(wire: Wire) -> None:
    assert type(call_trip(wire, tuple[float, Any], 1.5, np.int8(1))[1]) is np.int8


def test_an_annotation_that_cannot_be_read_says_so_at_once(wire: Wire) -> None:
    @dataclass
    class Vague:
        x: str | bytes

    with pytest.raises(UnsupportedError, match=r"typing\.Any"):
        wire.reader(Vague)


def test_an_annotation_without_a_hash_is_read_all_the_same(wire: Wire) -> None:
    as_type: Any = list[Annotated[int, ["a note"]]]
    assert trip(wire, [5], as_type) == [5]


def test_absent_keyword_arguments_read_as_an_empty_dict(wire: Wire) -> None:
    assert wire.reader(dict[str, int])(None, Reply(1, None)) == {}
    assert wire.reader(Any)(None, Reply(1, None, rich=True)) == {}


def test_a_users_error_while_reading_is_a_validation_error(wire: Wire) -> None:
    @dataclass
    class Touchy:
        x: int

        def __post_init__(self) -> None:
            raise KeyError("not today")

    with pytest.raises(msgspec.ValidationError, match="not today"):
        trip(wire, {"x": 1}, Touchy)
