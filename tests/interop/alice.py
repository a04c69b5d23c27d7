"""Alice for programs that are not ours: `python tests/interop/alice.py URL`; prints where she is reached.

Rules of this file
- Many kinds of parameters, and no function that raises: whoever sends what the document allows gets a result.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

import tincans


@dataclass
class Point:
    """A place."""

    x: float
    y: float = 0.0


class Order(msgspec.Struct):
    """Something to be sent."""

    number: Annotated[int, Meta(ge=1)]
    names: list[str]
    places: dict[str, Point] = {}
    note: str | None = None


def add(a: int, b: int = 10) -> int:
    """Add two numbers.

    Args:
        a: the first one
        b: the second one

    >>> add(2, 5)
    7
    """
    return a + b


def echo(value: Any) -> Any:
    """The same."""
    return value


def join(words: list[str], by: str = " ", upper: bool = False) -> str:
    """Words together."""
    text = by.join(words)
    return text.upper() if upper else text


def moved(point: Point, dx: float = 0, dy: float = 0) -> Point:
    """A point somewhere else."""
    return Point(point.x + dx, point.y + dy)


def ordered(order: Order) -> Order:
    """The order, as it was understood."""
    return order


def weekday(day: date) -> int:
    """0 for Monday."""
    return day.weekday()


def later(moment: datetime | None = None, unit: Literal["day", "hour"] = "day") -> str:
    """How a moment is written."""
    return f"{moment} {unit}"


def size(data: bytes) -> int:
    """How many bytes."""
    return len(data)


def total(*numbers: int, **named: int) -> int:
    """A sum."""
    return sum(numbers) + sum(named.values())


def count(n: Annotated[int, Meta(ge=0, le=100)]) -> Iterator[int]:
    """0, 1, ... n-1."""
    yield from range(n)


def my_function() -> bool:
    """This is my function"""
    return True


def div(x: int, y: int) -> int:
    """This is the div function"""
    return x // y if y else 0


def joined(x: Any, y: Any) -> Any:
    """Two numbers or texts together."""
    return x + y


def as_it_is(x: Any) -> Any:
    """The same."""
    return x


def serve_xml_rpc(urls: list[str]) -> None:
    """What CPython's tests of its XML-RPC client call."""
    with tincans.serve(*urls) as server:
        for name, function in {"pow": pow, "add": joined, "t\u00ea\u0161t": as_it_is}.items():
            server.expose(function, name=name)
        for function in (my_function, div):
            server.expose(function)
        print(server.url, flush=True)
        server.run()


def main(urls: list[str]) -> None:
    """Serve until told to stop."""
    with tincans.serve(*urls) as server:
        for safe in (add, join, weekday, later, my_function):
            server.expose(safe, safe=True)
        for function in (echo, moved, ordered, size, total, count, div):
            server.expose(function)
        print(server.url, flush=True)
        server.run()


if __name__ == "__main__":
    serve_xml_rpc(sys.argv[2:]) if sys.argv[1] == "--xml-rpc" else main(sys.argv[1:])
