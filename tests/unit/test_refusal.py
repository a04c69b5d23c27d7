"""Arguments that do not fit are refused in words that help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
from arguments import WIRES, Box, Point, add, defaults, refusal, request, variadic
from numpy.typing import NDArray

from tincans.contracts import Wire
from tincans.core.exposed import Exposed
from tincans.errors import ArgumentError, TincansError
from tincans.wires import native


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


def test_a_missing_argument_before_untyped_stars_is_named() -> None:
    def f(a, *rest): ...  # type: ignore[no-untyped-def]

    assert refusal(f) == "parameter a is missing"


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


def test_a_wrong_value_inside_a_star_argument_is_refused_with_its_path() -> None:
    def f(name: str, *points: Point) -> None: ...

    assert refusal(f, "a", {"x": 1, "y": []}, {"x": 1, "y": [1, "2"]}) == (
        "parameter *points[1].y[1] expects float, got str"
    )


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
    for kwargs in (None, {}, (1, 2), {"b": 2}, {"x": {}}, "text"):
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
