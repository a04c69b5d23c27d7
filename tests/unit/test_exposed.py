"""Every kind of function can be exposed, and a call of it costs little."""

from __future__ import annotations

import functools
import math
import timeit
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from arguments import WIRES, Account, Adder, Point, add, logged, receive, refusal, request
from label import label

from tincans.core.exposed import Exposed
from tincans.wires import native

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


@pytest.mark.parametrize(("function", "args", "result"), KINDS, ids=lambda each: label(each)[:40])
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


@pytest.mark.parametrize(("function", "args"), VALIDATED, ids=lambda each: label(each)[:40])
def test_every_kind_of_function_is_validated(function: Any, args: Any) -> None:
    assert "expects int, got str" in refusal(function, *args)


def test_a_decorated_function_keeps_the_annotations_that_only_it_can_resolve() -> None:
    def f(point: Local, other: Unheard) -> None:  # type: ignore[name-defined]  # noqa: F821
        Local(point.x, [])

    Local = Point
    assert receive(logged(f), {"x": 1, "y": []}, 5) == ((Point(1, []), 5), {})


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
        def __call__(self):  # type: ignore[no-untyped-def]
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


def test_the_common_call_costs_little_more_than_reading_its_arguments() -> None:
    exposed, message, read = Exposed(add), request(native.WIRE, (2, 5)), native.WIRE.reader(tuple[int, int])
    exposed.arguments(native.WIRE, message)

    def least(once: Callable[[], Any]) -> float:
        return min(timeit.repeat(once, number=2000, repeat=15))

    bare = least(lambda: read(message.args, message))
    assert least(lambda: exposed.arguments(native.WIRE, message, None)) < 4 * bare
