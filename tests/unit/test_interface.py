"""An interface says what each function takes and gives, is plain data, and comes back from it the same."""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import math
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tincans.core.dispatch import Dispatcher, Exposed
from tincans.core.interface import Function, Interface, Parameter, contract
from tincans.errors import ArgumentError, ProtocolError


def described(function: Callable[..., Any], **options: Any) -> Function:
    return Exposed(function, name="f", **options).description


def schema_of(annotation: Any) -> Any:
    """The schema of a parameter with this annotation, without the wrapping."""

    def f(value: Any) -> None: ...

    f.__annotations__["value"] = annotation
    parameters = described(f).parameters
    assert parameters is not None
    return parameters[0].schema


@dataclasses.dataclass
class Point:
    """A place."""

    x: int
    y: int = 0


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


def draw(point: Point, /, color: Color = Color.RED, *more: Point, width: float = 1.5, **style: str) -> list[Point]:
    """Draw a point.

    It stays there.

    Args:
        point: where
        color (Color): in which color,
            if it matters
        more: further places
        width: how wide, in millimetres

    Returns:
        all that was drawn
    """
    return [point]


# -- functions -------------------------------------------------------------------------------------------------


def test_every_kind_of_parameter_is_told() -> None:
    parameters = described(draw).parameters
    assert parameters is not None
    assert [(each.name, each.kind, each.type, each.required, each.default) for each in parameters] == [
        ("point", "positional_only", "Point", True, None),
        ("color", "positional", "Color", False, "..."),
        ("more", "rest", "Point", False, None),
        ("width", "keyword_only", "float", False, "1.5"),
        ("style", "extra", "str", False, None),
    ]


def test_the_signature_is_written_as_in_python() -> None:
    assert described(draw).signature == (
        "f(point: Point, /, color: Color = ..., *more: Point, width: float = 1.5, **style: str) -> list[Point]"
    )


def test_documentation_is_told() -> None:
    function = described(draw)
    assert function.summary == "Draw a point."
    assert "It stays there." in function.text
    assert function.result_about == "all that was drawn"
    assert function.parameters is not None
    assert [each.about for each in function.parameters] == [
        "where",
        "in which color, if it matters",
        "further places",
        "how wide, in millimetres",
        "",
    ]


def test_a_function_that_says_nothing_is_described_too() -> None:
    def f(a, b=None): ...  # type: ignore[no-untyped-def]

    assert described(f) == Function(
        "f",
        "f(a, b=None)",
        parameters=(Parameter("a"), Parameter("b", required=False, default="None", schema={"default": None})),
    )


def test_a_c_function_that_tells_nothing_has_no_parameters() -> None:
    function = Exposed(max).description
    assert function.parameters is None
    assert function.signature == "max(...)"
    assert function.summary


def test_a_c_function_that_tells_its_signature_has_parameters() -> None:
    assert Exposed(math.isclose).description.signature == "isclose(a, b, *, rel_tol=1e-09, abs_tol=0.0)"


def test_a_partial_has_the_documentation_of_its_function() -> None:
    assert described(functools.partial(draw, Point(1))).summary == "Draw a point."


def test_a_callable_object_has_the_documentation_of_its_class() -> None:
    class Adder:
        """Adds."""

        def __call__(self, a: int) -> int:
            return a

    assert described(Adder()).summary == "Adds."
    assert described(Adder()).signature == "f(a: int) -> int"


def test_an_annotation_that_cannot_be_resolved_is_shown_as_it_is() -> None:
    def f(a: Unheard) -> list[Unseen]: ...  # type: ignore[name-defined,empty-body]  # noqa: F821

    assert described(f).signature == "f(a: Unheard) -> list[Unseen]"
    assert described(f).result_schema == {}


def test_a_bound_method_has_no_self() -> None:
    class Account:
        def deposit(self, amount: int) -> int:
            return amount

    assert described(Account().deposit).signature == "f(amount: int) -> int"


def test_long_and_nameless_defaults_are_left_out() -> None:
    def f(a: Any = object, b: str = "x" * 100, c: Any = print) -> None: ...

    assert described(f).signature == "f(a: Any = ..., b: str = ..., c: Any = ...) -> None"


def test_flags_are_told() -> None:
    async def later() -> None: ...

    function = described(later, idempotent=True)
    assert (function.is_async, function.idempotent, function.safe, function.streams) == (True, True, False, False)


STREAMS = [Iterator[Point], Generator[Point, None, None], AsyncIterator[Point]]


@pytest.mark.parametrize("annotation", STREAMS, ids=str)
def test_a_stream_is_told_with_the_type_of_its_elements(annotation: Any) -> None:
    def f() -> Any: ...

    f.__annotations__["return"] = annotation
    function = described(f)
    assert function.streams
    assert function.result_type == "Point"
    assert function.result_schema == {"$ref": "#/definitions/Point"}
    assert function.signature.endswith("[Point, None, None]" if annotation is STREAMS[1] else "[Point]")


def test_a_generator_without_annotations_is_a_stream() -> None:
    def f():  # type: ignore[no-untyped-def]
        yield 1

    assert described(f).streams
    assert described(f).result_type == "Any"


# -- schemas ---------------------------------------------------------------------------------------------------

SCHEMAS = [
    (int, {"type": "integer"}),
    (list[str], {"type": "array", "items": {"type": "string"}}),
    (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    (Literal["a", "b"], {"enum": ["a", "b"]}),
    (date, {"type": "string", "format": "date"}),
    (bytes, {"type": "string", "contentEncoding": "base64"}),
    (bytes | str, {"anyOf": [{"type": "string", "contentEncoding": "base64"}, {"type": "string"}]}),
    (Any, {}),
    (object, {}),
    (Annotated[int, msgspec.Meta(ge=1)], {"type": "integer", "minimum": 1}),
    (Iterator[int], {"type": "array", "items": {"type": "integer"}}),
    (Iterable[int] | None, {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]}),
    (
        dict[str, list[float]],
        {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "number"}}},
    ),
    (Path, {"type": "string", "format": "path", "title": "Path", "x-python-type": "pathlib.Path"}),
    (np.ndarray, {"type": "array", "title": "ndarray", "x-python-type": "numpy.ndarray"}),
    (NDArray[np.float64], {"type": "array", "title": "NDArray[float64]", "x-python-type": "numpy.ndarray"}),
    (np.float32, {"type": "number", "title": "float32", "x-python-type": "numpy.float32"}),
    (np.uint8, {"type": "integer", "title": "uint8", "x-python-type": "numpy.uint8"}),
    (Callable[[int], str], {"title": "Callable", "x-python-type": "collections.abc.Callable"}),
    (list[complex | str] | Path, None),
    ("not a type", {}),
    (5, {}),
]


@pytest.mark.parametrize(("annotation", "schema"), SCHEMAS, ids=lambda each: str(each)[:40])
def test_a_type_has_a_schema(annotation: Any, schema: Any) -> None:
    found = schema_of(annotation)
    assert json.loads(json.dumps(found)) == found
    if schema is not None:
        assert found == schema


def test_one_strange_type_spoils_no_other_schema() -> None:
    dispatcher = Dispatcher()

    def f(strange: bytes | str | list[Unheard], point: Point) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    def g(either: bytes | str | list[int], point: Point) -> None: ...

    dispatcher.expose(f, name="f")
    dispatcher.expose(g, name="g")
    interface = dispatcher.interface
    assert interface.find("g").parameters[1].schema == {"$ref": "#/definitions/Point"}  # type: ignore[union-attr,index]
    assert len(interface.find("g").parameters[0].schema["anyOf"]) == 3  # type: ignore[union-attr,index]
    assert interface.definitions["Point"]["description"] == "A place."


def test_a_default_that_json_can_say_is_in_the_schema() -> None:
    def f(a: int = 3, b: Color = Color.RED) -> None: ...

    parameters = described(f).parameters
    assert parameters is not None
    assert parameters[0].schema == {"type": "integer", "default": 3}
    assert "default" not in parameters[1].schema


def test_two_functions_share_the_definition_of_a_class() -> None:
    def move(point: Point) -> Point:
        return point

    dispatcher = Dispatcher()
    dispatcher.expose(draw)
    dispatcher.expose(move)
    interface = dispatcher.interface
    assert set(interface.definitions) == {"Point", "Color"}
    assert interface.find("move").result_schema == {"$ref": "#/definitions/Point"}  # type: ignore[union-attr]


def twins() -> list[type]:
    """Two classes that differ, of the same name in the same place."""
    made = []
    for index in range(2):

        class Twin(msgspec.Struct):
            __annotations__ = {f"x{index}": int}

        made.append(Twin)
    return made


@pytest.mark.parametrize("apart", [True, False], ids=["in two modules", "in one place"])
def test_two_classes_of_one_name_keep_apart(apart: bool) -> None:
    dispatcher = Dispatcher()
    for index, cls in enumerate(twins()):

        def f(twin: Any) -> None: ...

        if apart:
            cls.__module__ = f"house{index}"
        f.__annotations__["twin"] = cls
        dispatcher.expose(f, name=f"f{index}")
    interface = dispatcher.interface
    assert len(interface.definitions) == 2
    for index in range(2):
        schema = interface.find(f"f{index}").parameters[0].schema  # type: ignore[union-attr,index]
        assert set(interface.definitions[schema["$ref"].removeprefix("#/definitions/")]["properties"]) == {f"x{index}"}


# -- plain data ------------------------------------------------------------------------------------------------


def test_a_description_is_json_and_comes_back_the_same() -> None:
    dispatcher = Dispatcher()
    dispatcher.expose_object(statistics)
    dispatcher.expose_object(math)
    dispatcher.expose(draw, safe=True)
    interface = dispatcher.interface
    description = interface.describe()
    assert json.loads(json.dumps(description)) == description
    assert Interface.parse(json.loads(json.dumps(description))) == interface


def test_a_description_of_a_newer_program_can_be_parsed() -> None:
    description = Interface((Function("f", "f()"),)).describe()
    description["functions"][0]["colour"] = "new"
    description["more"] = 1
    assert Interface.parse(description).functions[0].name == "f"


@pytest.mark.parametrize("garbage", [None, 5, [], {"functions": 5}, {"functions": [{}]}, {"functions": [{"name": 5}]}])
def test_what_is_no_description_is_refused(garbage: Any) -> None:
    with pytest.raises(ProtocolError, match="no description"):
        Interface.parse(garbage)


def test_a_function_that_is_not_there_is_not_found() -> None:
    assert Interface().find("f") is None


# -- contracts -------------------------------------------------------------------------------------------------


class Calculator(Protocol):
    limit: int

    def add(self, a: int, b: int) -> int: ...
    async def later(self) -> Point: ...
    def soon(self) -> Awaitable[str]: ...
    def count(self) -> Iterator[int]: ...
    async def tick(self) -> AsyncIterator[float]: ...
    def some(self) -> Iterable[int]: ...
    def nothing(self) -> None: ...
    def anything(self): ...  # type: ignore[no-untyped-def]
    def picture(self) -> np.ndarray[Any, np.dtype[np.float64]]: ...
    def unknown(self) -> Unheard: ...  # type: ignore[name-defined]  # noqa: F821
    @staticmethod
    def fixed() -> str: ...
    @property
    def explodes(self) -> int:
        raise AssertionError("a property was run")

    def _secret(self) -> int: ...


def test_a_contract_has_the_result_type_of_each_method() -> None:
    assert contract(Calculator) == {
        "add": int,
        "later": Point,
        "soon": str,
        "count": int,
        "tick": float,
        "some": list[int] | int,
        "nothing": type(None),
        "anything": Any,
        "picture": np.ndarray[Any, np.dtype[np.float64]],
        "unknown": Any,
        "fixed": str,
    }


def test_a_contract_includes_inherited_methods() -> None:
    class More(Calculator, Protocol):
        def more(self) -> bytes: ...

    assert contract(More)["add"] is int
    assert contract(More)["more"] is bytes


@pytest.mark.parametrize("thing", [None, 5, "Calculator", statistics, Point(1)], ids=str)
def test_a_contract_that_is_no_class_is_refused(thing: Any) -> None:
    with pytest.raises(ArgumentError, match="A contract is a class"):
        contract(thing)


def test_a_contract_without_methods_is_refused() -> None:
    class Empty:
        x: int

    with pytest.raises(ArgumentError, match="no public methods"):
        contract(Empty)
