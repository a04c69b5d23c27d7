"""Functions are found by name only, and their arguments arrive typed, or are refused in words that help."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import functools
import math
import statistics
import timeit
import types
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypedDict

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tincans.contracts import Wire
from tincans.core.dispatch import Dispatcher, Exposed
from tincans.core.messages import Request
from tincans.errors import ArgumentError, NotExposedError, TincansError
from tincans.wires import json, native

WIRES = [native.WIRE, json.WIRE]


def request(wire: Wire, args: Any, kwargs: dict[str, Any] | None = None, references: Any = None) -> Request[Any]:
    """A request as it arrives: through the wire's bytes."""
    message = wire.decode(wire.encode(Request(1, "function", args, kwargs), references))
    assert isinstance(message, Request)
    return message


def receive(function: Callable[..., Any], *args: Any, wire: Wire = native.WIRE, **kwargs: Any) -> Any:
    """What `function` would be called with, first time and from then on."""
    exposed = Exposed(function, name="f")
    first, again = (exposed.arguments(wire, request(wire, args, kwargs or None)) for _ in range(2))
    assert repr(first) == repr(again)
    return first


def refusal(function: Callable[..., Any], *args: Any, wire: Wire = native.WIRE, **kwargs: Any) -> str:
    """The words with which the arguments are refused, the signature left out."""
    with pytest.raises(ArgumentError) as caught:
        receive(function, *args, wire=wire, **kwargs)
    text, _, signature = str(caught.value).partition(". Its signature: ")
    assert signature.startswith("f(")
    assert caught.value.operation == "call f"
    return text.removeprefix("f: ")


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def defaults(a: int, b: float = 2.5, *, unit: str = "m") -> None: ...


def variadic(a: int, *rest: str, unit: str = "m", **extra: float) -> None: ...


# -- typed arguments -------------------------------------------------------------------------------------------


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


@dataclasses.dataclass
class Point:
    x: int
    y: list[float]


class Box(msgspec.Struct):
    point: Point


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

    def f(odd: Odd, n: int = 1, *, other: Odd | None = None) -> None:
        Odd  # noqa: B018  (closed over, so that the annotation can be resolved)

    assert refusal(f, {"x": "a"}).startswith("parameter odd expects Odd, got dict")


# -- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_wrong_type_is_refused_with_the_parameter(wire: Wire) -> None:
    assert refusal(add, 2, "5", wire=wire) == "parameter b expects int, got str"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_wrong_type_by_name_is_refused_with_the_parameter(wire: Wire) -> None:
    assert refusal(add, 2, b="5", wire=wire) == "parameter b expects int, got str"


def test_a_refusal_shows_the_signature() -> None:
    with pytest.raises(ArgumentError, match=r"add: .*\. Its signature: add\(a: int, b: int\) -> int$"):
        Exposed(add).arguments(native.WIRE, request(native.WIRE, (2, None)))


def test_a_wrong_value_deep_inside_is_refused_with_its_path() -> None:
    def f(a: int, box: Box) -> None: ...

    assert refusal(f, 1, {"point": {"x": 1, "y": [0, 1, "2"]}}) == "parameter box.point.y[2] expects float, got str"


def test_a_wrong_value_deep_inside_by_name_is_refused_with_its_path() -> None:
    def f(*, box: Box) -> None: ...

    assert refusal(f, box={"point": {"x": 1, "y": ["2"]}}) == "parameter box.point.y[0] expects float, got str"


def test_a_wrong_key_is_refused_as_a_key() -> None:
    def f(counts: dict[int, int]) -> None: ...

    assert refusal(f, {"a": 1}) == "a key of parameter counts expects int, got str"


def test_types_are_named_in_pythons_words() -> None:
    def f(point: Point, names: list[str] | None) -> None: ...

    assert refusal(f, [1], []) == "parameter point expects Point, got list"
    assert refusal(f, {"x": 1, "y": None}, []) == "parameter point.y expects list, got None"
    assert refusal(f, {"x": 1, "y": []}, {}) == "parameter names expects list[str] | None, got dict"


def test_a_bound_is_told() -> None:
    def f(n: Annotated[int, msgspec.Meta(ge=1)]) -> None: ...

    assert refusal(f, 0) == "parameter n expects int >= 1"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_a_missing_argument_is_named(wire: Wire) -> None:
    assert refusal(add, 2, wire=wire) == "parameter b is missing"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_all_missing_arguments_are_named(wire: Wire) -> None:
    assert refusal(add, wire=wire) == "parameters a, b are missing"


def test_a_missing_argument_is_named_beside_keywords_stars_and_defaults() -> None:
    assert refusal(add, a=1) == "parameter b is missing"
    assert refusal(variadic) == "parameter a is missing"
    assert refusal(variadic, unit="m") == "parameter a is missing"
    assert refusal(defaults) == "parameter a is missing"


def test_a_missing_keyword_only_argument_is_named() -> None:
    def f(a: int, *, unit: str) -> None: ...

    assert refusal(f, 1) == "parameter unit is missing"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_too_many_arguments_are_counted(wire: Wire) -> None:
    assert refusal(add, 1, 2, 3, wire=wire) == "it takes at most 2 arguments by position, got 3"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_too_many_arguments_are_counted_beside_keywords_and_defaults(wire: Wire) -> None:
    assert refusal(defaults, 1, 2, 3, wire=wire) == "it takes at most 2 arguments by position, got 3"
    assert refusal(defaults, 1, 2, 3, wire=wire, unit="m") == "it takes at most 2 arguments by position, got 3"
    assert refusal(lambda: None, 1, wire=wire) == "it takes no argument by position, got 1"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_an_unknown_keyword_is_named_with_the_nearest_known_one(wire: Wire) -> None:
    assert refusal(defaults, 1, wire=wire, unnit="m") == "it has no parameter 'unnit' (did you mean 'unit'?)"


def test_an_argument_given_twice_is_refused() -> None:
    assert refusal(add, 1, a=2) == "parameter a is given twice, by position and by name"


def test_a_positional_only_parameter_by_name_is_refused() -> None:
    def f(a: int, /) -> None: ...

    assert refusal(f, a=2) == "parameter a is given by name, but can only be given by position"


def test_a_wrong_star_argument_is_refused_with_its_place() -> None:
    assert refusal(variadic, 1, "a", 2) == "parameter *rest[1] expects str, got int"
    assert refusal(variadic, "1") == "parameter a expects int, got str"


def test_a_wrong_double_star_argument_is_refused_with_its_name() -> None:
    assert refusal(variadic, 1, weight="heavy") == "parameter weight expects float, got str"
    assert refusal(variadic, 1, unit=3) == "parameter unit expects str, got int"


def test_a_text_is_no_number() -> None:
    def f(a: int, b: bool, c: float) -> None: ...

    assert refusal(f, "1", True, 1.0) == "parameter a expects int, got str"
    assert refusal(f, 1, 1, 1.0) == "parameter b expects bool, got int"
    assert refusal(f, True, True, 1.0) == "parameter a expects int, got bool"


def test_a_text_is_never_taken_for_base64_among_stars() -> None:
    def f(name: str, *parts: bytes) -> None: ...

    assert refusal(f, "x", "abcd") == "parameter *parts[0] expects bytes, got str"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_something_else_than_an_array_is_refused(wire: Wire) -> None:
    def f(x: NDArray[np.float64]) -> None: ...

    assert refusal(f, "x", wire=wire) == "parameter x expects NDArray[float64], got str"


def test_an_array_of_other_numbers_is_refused() -> None:
    def f(x: NDArray[np.float64]) -> None: ...

    assert "float64" in refusal(f, np.ones(2, dtype=complex))


def test_something_else_than_a_function_is_refused() -> None:
    def f(then: Callable[[int], None]) -> None: ...

    assert refusal(f, 5) == "parameter then expects Callable[[int], None], got int"


def test_a_check_of_the_class_itself_is_a_refusal() -> None:
    class Percent(msgspec.Struct):
        value: int

        def __post_init__(self) -> None:
            if self.value > 100:
                raise ValueError("more than everything")

    def f(p: Percent) -> None:
        Percent  # noqa: B018  (closed over, so that the annotation can be resolved)

    assert refusal(f, {"value": 101}) == "parameter p does not fit: more than everything"


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
@pytest.mark.parametrize("function", [add, defaults, variadic, lambda *, x: x, len])
@pytest.mark.parametrize("args", [{"a": 1}, {"b": 1}, None, 5, "text", {}, [None, None, None, {}]], ids=repr)
def test_a_body_that_is_no_list_is_refused_or_bound_by_name(wire: Wire, function: Any, args: Any) -> None:
    message = request(wire, ())
    message.args = msgspec.Raw(msgspec.msgpack.encode(args) if wire is native.WIRE else msgspec.json.encode(args))
    for kwargs in (None, (1, 2), {"b": 2}, {"x": {}}, "text"):
        body = msgspec.msgpack.encode(kwargs) if wire is native.WIRE else msgspec.json.encode(kwargs)
        message.kwargs = None if kwargs is None else msgspec.Raw(body)
        try:
            got, _ = Exposed(function, name="f").arguments(wire, message)
        except TincansError:
            continue
        assert isinstance(got, tuple)
        assert msgspec.UNSET not in got


def test_a_long_unknown_name_is_cut_short() -> None:
    assert len(refusal(add, 1, **{"x" * 100_000: 1})) < 200


# -- functions of all kinds ------------------------------------------------------------------------------------


class Account:
    def __init__(self) -> None:
        self.balance = 0

    def deposit(self, amount: int) -> int:
        self.balance += amount
        return self.balance

    @classmethod
    def currency(cls, country: str) -> str:
        return country

    @staticmethod
    def bank(branch: int = 1) -> int:
        return branch

    @property
    def explodes(self) -> int:
        raise AssertionError("a property was run")

    def _secret(self) -> None: ...


class Adder:
    def __call__(self, a: int, b: int = 1) -> int:
        return a + b


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


KINDS = [
    (Account().deposit, (5,), 5),
    (Account.currency, ("de",), "de"),
    (Account.bank, (), 1),
    (functools.partial(add, 1), (2,), 3),
    (functools.partial(add, b=1), (2,), 3),
    (functools.partial(functools.partial(add, 1), 2), (), 3),
    (Adder(), (1,), 2),
    (lambda x, y=2: x + y, (1,), 3),
    (logged(add), (1, 2), 3),
    (functools.lru_cache(add), (1, 2), 3),
    (math.sqrt, (4,), 2.0),
    (math.hypot, (3, 4), 5.0),
    (max, (1, 2), 2),
    (str.upper, ("a",), "A"),
    (Point, (1, [2.0]), Point(1, [2.0])),
]


@pytest.mark.parametrize(("function", "args", "result"), KINDS, ids=lambda each: str(each)[:40])
def test_every_kind_of_function_can_be_called(function: Any, args: Any, result: Any) -> None:
    got, kwargs = receive(function, *args)
    assert function(*got, **kwargs) == result


VALIDATED = [
    (Account().deposit, ("x",)),
    (functools.partial(add, 1), ("x",)),
    (Adder(), ("x",)),
    (logged(add), ("x", 1)),
    (functools.lru_cache(add), ("x", 1)),
    (Point, ("x", [])),
]


@pytest.mark.parametrize(("function", "args"), VALIDATED, ids=lambda each: str(each)[:40])
def test_every_kind_of_function_is_validated(function: Any, args: Any) -> None:
    assert "expects int, got str" in refusal(function, *args)


def test_a_c_function_takes_keywords() -> None:
    args, kwargs = receive(math.isclose, 1.0, 1.1, rel_tol=0.5)
    assert math.isclose(*args, **kwargs)


def test_the_function_knows_whether_it_is_async_or_streams() -> None:
    async def later() -> int: ...  # type: ignore[empty-body]

    def numbers() -> Iterator[int]:
        yield 1

    async def ticks():  # type: ignore[no-untyped-def]
        yield 1

    def returned() -> Iterator[int]:
        return iter([1])

    class Generates:
        def __call__(self) -> Iterator[int]:
            yield 1

    functions = [later, numbers, ticks, returned, Generates(), add]
    found = [(Exposed(f, name="f").is_async, Exposed(f, name="f").streams) for f in functions]
    assert found == [(True, False), (False, True), (False, True), (False, True), (False, True), (False, False)]


def test_the_result_type_is_known() -> None:
    def numbers() -> Iterator[int]:
        yield 1

    assert Exposed(add).result_type is int
    assert Exposed(numbers).result_type is int
    assert Exposed(len).result_type is Any


def test_a_function_of_another_wire_has_its_own_reader() -> None:
    exposed = Exposed(add)
    for wire in (*WIRES, *WIRES):
        assert exposed.arguments(wire, request(wire, (2, 5))) == ((2, 5), {})


# -- references ------------------------------------------------------------------------------------------------


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
def test_each_connection_has_its_own_references(wire: Wire) -> None:
    exposed = Exposed(each)
    for answer in (1, 2):
        book = Book()
        message = request(wire, ([1], lambda x, answer=answer: answer), references=book)
        args, _ = exposed.arguments(wire, message, book)
        assert args[1](0) == answer


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


# -- names -----------------------------------------------------------------------------------------------------


def test_an_exposed_function_is_found_by_its_name() -> None:
    dispatcher = Dispatcher()
    exposed = dispatcher.expose(add)
    assert dispatcher.find("add") is exposed
    assert exposed.function is add
    assert dispatcher.names() == ["add"]


def test_a_function_can_be_exposed_under_another_name() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose(add, name="plus")
    dispatcher.expose(lambda: None, name="nothing")
    assert dispatcher.names() == ["plus", "nothing"]


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose(add)
    dispatcher.expose(defaults)
    with pytest.raises(NotExposedError, match=r"No function 'ad' .*did you mean 'add'\? 2 functions are exposed"):
        dispatcher.find("ad")


def test_an_unknown_name_where_nothing_is_exposed_says_what_to_do() -> None:
    with pytest.raises(NotExposedError, match="0 functions are exposed: expose one with"):
        Dispatcher().find("add")


@pytest.mark.parametrize("name", ["add.__globals__", "__class__", "os.system", "", "add ", "_add", "$add", "x" * 10**6])
def test_only_exposed_names_are_found(name: str) -> None:
    dispatcher = Dispatcher()
    dispatcher.expose(add)
    with pytest.raises(NotExposedError) as caught:
        dispatcher.find(name)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["_private", "__init__", "$describe", "a.b", "", "with space", "1st", 5])
def test_a_name_that_could_not_be_called_is_refused(name: Any) -> None:
    dispatcher = Dispatcher()
    with pytest.raises(ArgumentError):
        dispatcher.expose(add, name=name)
    assert dispatcher.names() == []


def test_a_function_without_a_name_must_be_given_one() -> None:
    for function in (lambda: None, Adder()):
        with pytest.raises(ArgumentError, match=r"expose\(function, name="):
            Dispatcher().expose(function)


def test_something_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(ArgumentError, match="expose_object"):
        Dispatcher().expose(statistics)  # type: ignore[arg-type]


def test_a_taken_name_is_refused() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose(add)
    with pytest.raises(ArgumentError, match="taken by add"):
        dispatcher.expose(defaults, name="add")
    assert dispatcher.find("add").function is add


def test_the_same_definition_run_again_replaces_the_old_one() -> None:
    dispatcher = Dispatcher()
    source = "def greet(): return {}"
    for version in (1, 2):
        namespace: dict[str, Any] = {"__name__": "notebook"}
        exec(source.format(version), namespace)
        dispatcher.expose(namespace["greet"])
    assert dispatcher.find("greet").function() == 2


def test_a_reserved_name_is_found_but_not_shown() -> None:
    dispatcher = Dispatcher()
    dispatcher.reserve("$describe", dict)
    assert dispatcher.find("$describe").function() == {}
    assert dispatcher.names() == []
    assert dispatcher.interface.functions == ()


def test_only_dollar_names_can_be_reserved() -> None:
    with pytest.raises(ArgumentError):
        Dispatcher().reserve("describe", dict)


def test_safe_functions_are_idempotent() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose(add, safe=True)
    dispatcher.expose(defaults, idempotent=True)
    dispatcher.expose(variadic)
    assert dispatcher.idempotent_names() == ("add", "defaults")
    assert [exposed.safe for exposed in dispatcher] == [True, False, False]


# -- objects and modules ---------------------------------------------------------------------------------------


def test_a_module_exposes_what_it_lists() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose_object(statistics)
    assert "mean" in dispatcher.names()
    assert "NormalDist" not in dispatcher.names()
    assert "StatisticsError" not in dispatcher.names()
    assert "sqrt" not in dispatcher.names()


def test_a_module_without_a_list_exposes_what_it_defines() -> None:
    module = types.ModuleType("shop")
    exec("from math import sqrt\ndef sell(): ...\ndef _steal(): ...\nclass Item: ...\nlimit = 5", vars(module))
    dispatcher = Dispatcher()
    dispatcher.expose_object(module)
    assert dispatcher.names() == ["sell"]


def test_a_c_module_can_be_exposed() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose_object(math)
    assert dispatcher.find("sqrt").function is math.sqrt


def test_an_object_exposes_its_public_methods_and_runs_no_property() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose_object(Account())
    assert sorted(dispatcher.names()) == ["bank", "currency", "deposit"]


def test_an_object_exposes_inherited_methods_and_functions_that_it_holds() -> None:
    class Savings(Account):
        monthly = functools.partialmethod(Account.deposit, 10)

    savings = Savings()
    savings.report = lambda: "fine"  # type: ignore[attr-defined]
    dispatcher = Dispatcher()
    dispatcher.expose_object(savings)
    assert sorted(dispatcher.names()) == ["bank", "currency", "deposit", "monthly", "report"]
    assert dispatcher.find("monthly").function() == 10


def test_a_class_is_refused_with_what_to_do() -> None:
    with pytest.raises(ArgumentError, match=r"expose_object\(Account\(\)\)"):
        Dispatcher().expose_object(Account)


def test_an_object_without_functions_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no public functions"):
        Dispatcher().expose_object(object())


# -- speed -----------------------------------------------------------------------------------------------------


def test_the_common_call_costs_little_more_than_reading_its_arguments() -> None:
    exposed, message, read = Exposed(add), request(native.WIRE, (2, 5)), native.WIRE.reader(tuple[int, int])
    exposed.arguments(native.WIRE, message)

    def least(once: Callable[[], Any]) -> float:
        return min(timeit.repeat(once, number=2000, repeat=15))

    bare = least(lambda: read(message.args, message))
    assert least(lambda: exposed.arguments(native.WIRE, message, None)) < 4 * bare
