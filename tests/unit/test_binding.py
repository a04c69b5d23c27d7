"""Arguments arrive as the types that the parameters are annotated with."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypedDict

import numpy as np
import pytest
from arguments import WIRES, Box, Point, add, defaults, receive, refusal, request, variadic
from numpy.typing import NDArray

from tincans.contracts import Wire
from tincans.core.exposed import Exposed
from tincans.wires import native


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_positional_arguments_arrive(wire: Wire) -> None:
    assert receive(add, 2, 5, wire=wire) == ((2, 5), {})


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_arguments_by_name_arrive(wire: Wire) -> None:
    assert receive(add, 2, b=5, wire=wire) == ((2,), {"b": 5})


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_defaults_stand_in_for_what_is_missing(wire: Wire) -> None:
    args, kwargs = receive(defaults, 1, wire=wire)
    assert (args, kwargs) == ((1, 2.5), {})


def test_no_arguments_are_fine_where_none_are_needed() -> None:
    assert receive(lambda: None) == ((), {})


def test_a_default_is_the_very_object_that_the_function_has() -> None:
    def collect(x: int, into: list[int] = []) -> None: ...  # noqa: B006

    args, _ = Exposed(collect).arguments(native.WIRE, request(native.WIRE, (1,)))
    assert args[1] is collect.__defaults__[0]  # type: ignore[index]


def test_a_default_that_is_no_plain_value_stands_in_too() -> None:
    marker = np.zeros(3)

    def show(x: int, mask: Any = marker) -> None: ...

    args, _ = Exposed(show).arguments(native.WIRE, request(native.WIRE, (1,)))
    assert args[1] is marker


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_star_arguments_arrive_typed(wire: Wire) -> None:
    assert receive(variadic, 1, "a", "b", wire=wire) == ((1, "a", "b"), {})


def test_a_parameter_may_have_any_name() -> None:
    def f(_x: int, __y: int = 2, p1: int = 3, *, rename: bool = True, p0: int = 5) -> None: ...

    assert receive(f, 1) == ((1, 2, 3), {})
    assert receive(f, 1, p1=4, rename=False, p0=6) == ((1,), {"p1": 4, "rename": False, "p0": 6})


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_double_star_arguments_arrive_typed(wire: Wire) -> None:
    args, kwargs = receive(variadic, 1, wire=wire, unit="s", x=1)
    assert (args, kwargs) == ((1,), {"unit": "s", "x": 1.0})
    assert type(kwargs["x"]) is float


def test_star_arguments_of_one_type_arrive() -> None:
    def total(*numbers: int) -> int: ...  # type: ignore[empty-body]

    assert receive(total, 1, 2, 3) == ((1, 2, 3), {})
    assert receive(total) == ((), {})


def test_keyword_only_parameters_arrive() -> None:
    def scale(*, factor: float) -> None: ...

    assert receive(scale, factor=2.0) == ((), {"factor": 2.0})


def test_a_keyword_may_have_the_name_of_a_positional_only_parameter_beside_double_star() -> None:
    def tag(name: str, /, **attributes: str) -> None: ...

    assert receive(tag, "a", name="b") == (("a",), {"name": "b"})


class Color(enum.Enum):
    RED = "red"


class Options(TypedDict):
    depth: int


PLAIN_INTO_TYPED = [
    (Point, {"x": 1, "y": [1, 2]}, Point(1, [1.0, 2.0])),
    (Box, {"point": {"x": 1, "y": []}}, Box(Point(1, []))),
    (Options, {"depth": 1}, {"depth": 1}),
    (Color, "red", Color.RED),
    (date, "2024-01-31", date(2024, 1, 31)),
    (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
    (set[int], [1, 2, 1], {1, 2}),
    (tuple[int, str], [1, "a"], (1, "a")),
    (float, 2, 2.0),
    (int | None, None, None),
    (Literal["a", "b"], "a", "a"),
    (Path, "/tmp/x", Path("/tmp/x")),
    (complex, 2, 2 + 0j),
    (bytes | str, "text", "text"),
    (list[int] | int, [1], [1]),
    (Sequence[int], [1, 2], [1, 2]),
    (Annotated[int, "metres"], 3, 3),
    (Any, {"x": [1]}, {"x": [1]}),
]


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
@pytest.mark.parametrize(("annotation", "sent", "expected"), PLAIN_INTO_TYPED, ids=lambda each: str(each)[:30])
def test_plain_data_becomes_what_the_annotation_says(wire: Wire, annotation: Any, sent: Any, expected: Any) -> None:
    def f(value: Any) -> None: ...

    f.__annotations__["value"] = annotation
    (value,), _ = receive(f, sent, wire=wire)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_plain_data_by_name_becomes_what_the_annotation_says(wire: Wire) -> None:
    def f(*, point: Point, day: date) -> None: ...

    _, kwargs = receive(f, wire=wire, point={"x": 1, "y": []}, day="2024-01-31")
    assert kwargs == {"point": Point(1, []), "day": date(2024, 1, 31)}


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_rich_values_arrive_as_annotated(wire: Wire) -> None:
    def f(pair: tuple[int, int], amount: decimal.Decimal, ids: set[int]) -> None: ...

    assert receive(f, (1, 2), decimal.Decimal("1.5"), {1}, wire=wire)[0] == ((1, 2), decimal.Decimal("1.5"), {1})


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_an_array_arrives(wire: Wire) -> None:
    def f(x: NDArray[np.float64], y: np.ndarray[Any, Any] | None = None) -> None: ...

    (x, y), _ = receive(f, np.ones((2, 3)), np.arange(3), wire=wire)
    assert x.shape == (2, 3)
    assert y.tolist() == [0, 1, 2]


def test_what_is_not_annotated_is_taken_as_it_is() -> None:
    def f(a, b=1, *rest, **extra): ...  # type: ignore[no-untyped-def]

    assert receive(f, {"x": 1}, None, (1, 2), key=b"x") == (({"x": 1}, None, (1, 2)), {"key": b"x"})


def test_an_annotation_that_cannot_be_resolved_takes_anything() -> None:
    def f(a: Unheard, b: int) -> Unseen: ...  # type: ignore[name-defined]  # noqa: F821

    assert receive(f, "x", 1) == (("x", 1), {})
    assert refusal(f, "x", "y") == "parameter b expects int, got str"


def test_an_annotation_may_name_something_of_the_enclosing_function() -> None:
    @dataclasses.dataclass
    class Local:
        x: int

    def f(value: Local) -> None:
        Local(value.x)

    assert receive(f, {"x": 1}) == ((Local(1),), {})


def test_none_is_welcome_where_it_is_the_default() -> None:
    def f(x: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    assert receive(f, None) == ((None,), {})


def test_a_bare_protocol_takes_anything() -> None:
    class Drawable(Protocol):
        def draw(self) -> None: ...

    def f(thing: Drawable, things: list[Drawable]) -> None:
        Drawable  # noqa: B018  (closed over, so that the annotation can be resolved)

    assert receive(f, {"x": 1}, [2]) == (({"x": 1}, [2]), {})


def test_a_class_whose_fields_nobody_can_read_never_gets_a_dict() -> None:
    @dataclasses.dataclass
    class Odd:
        x: bytes | str

    def f(odd: Odd, n: int = 1) -> None: ...
    def g(n: int, *odd: Odd) -> None: ...

    for function in (f, g):
        function.__annotations__["odd"] = Odd
    sent = {"x": "a"}
    assert refusal(f, sent).startswith("parameter odd expects Odd, got dict")
    assert refusal(f, sent, n=2).startswith("parameter odd expects Odd, got dict")
    assert refusal(f, odd=sent).startswith("parameter odd expects Odd, got dict")
    assert refusal(g, 1, sent).startswith("parameter *odd[0] expects Odd, got dict")


class Book:
    """References of one connection: what was exported and imported, by number."""

    def __init__(self) -> None:
        self.things: list[Any] = []
        self.imported: list[int] = []

    def export_function(self, function: Callable[..., Any]) -> int:
        self.things.append(function)
        return len(self.things) - 1

    export_stream = export_function

    def import_function(self, number: int) -> Callable[..., Any]:
        self.imported.append(number)
        function = self.things[number]
        return lambda *args: function(*args)

    def import_stream(self, number: int) -> Any:
        self.imported.append(number)
        return iter(self.things[number])


def each(items: list[int], then: Callable[[int], None]) -> None: ...


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
@pytest.mark.parametrize("function", [each, lambda *rest: None, lambda items, then=None: None])
def test_a_function_passed_as_argument_can_be_called(wire: Wire, function: Any) -> None:
    book = Book()
    message = request(wire, ([1], lambda x: x + 1), references=book)
    args, _ = Exposed(function, name="f").arguments(wire, message, book)
    assert args[1](1) == 2


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
@pytest.mark.parametrize("by_name", [False, True], ids=["by position", "by name"])
def test_each_connection_has_its_own_references(wire: Wire, by_name: bool) -> None:
    def both(items: list[int], then: Any = None) -> None: ...

    exposed = Exposed(both)
    exposed.arguments(wire, request(wire, ([1],), {"then": 1} if by_name else None))
    for answer in (1, 2):
        book = Book()
        then: Any = lambda x, answer=answer: answer  # noqa: E731
        sent = request(wire, ([1],), {"then": then}, book) if by_name else request(wire, ([1], then), None, book)
        args, kwargs = exposed.arguments(wire, sent, book)
        assert (*args, *kwargs.values())[1](0) == answer


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_connection_is_not_kept_alive_by_its_references(wire: Wire) -> None:
    exposed, book = Exposed(each), Book()
    exposed.arguments(wire, request(wire, ([1], print), references=book), book)
    exposed.arguments(wire, request(wire, ([1],), {"then": print}, book), book)
    gone = weakref.ref(book)
    del book
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_stream_passed_as_argument_is_taken_in_once(wire: Wire) -> None:
    def total(numbers: Iterator[int], scale: int = 1, *rest: str) -> None: ...

    book = Book()
    args, _ = Exposed(total).arguments(wire, request(wire, (iter([1, 2]),), references=book), book)
    assert list(args[0]) == [1, 2]
    assert len(book.imported) == 1


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_function_passed_by_name_can_be_called(wire: Wire) -> None:
    book = Book()
    message = request(wire, ([1],), {"then": lambda x: x + 1}, references=book)
    _, kwargs = Exposed(each).arguments(wire, message, book)
    assert kwargs["then"](1) == 2
