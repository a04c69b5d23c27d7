"""How the tests of values and wires send things round: a trip there and back, and an exact comparison.

Rules of this file
- `trip` uses only the contract: encode, decode, reader.
- `same` is stricter than `==`: the types must agree all the way down, and nan equals nan.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy

from tincans.contracts import Wire
from tincans.core.messages import Reply, Request


class Desk:
    """References as a connection would have them, with everything kept in lists."""

    def __init__(self) -> None:
        self.functions: list[Callable[..., Any]] = []
        self.streams: list[Any] = []

    def export_function(self, function: Callable[..., Any]) -> int:
        self.functions.append(function)
        return len(self.functions) - 1

    def export_stream(self, iterator: Any) -> int:
        self.streams.append(iterator)
        return len(self.streams) - 1

    def import_function(self, number: int) -> Callable[..., Any]:
        return self.functions[number]

    def import_stream(self, number: int) -> Any:
        return self.streams[number]


def trip(wire: Wire, value: Any, as_type: Any = Any, references: Any = None) -> Any:
    """The value as the other side gets it as a result."""
    message: Any = wire.decode([bytes(part) for part in wire.encode(Reply(1, value), references)])
    return wire.reader(as_type, references)(message.value, message)


def call_trip(wire: Wire, as_type: Any, *args: Any, references: Any = None) -> Any:
    """The arguments as the other side gets them, read as one tuple type."""
    message: Any = wire.decode([bytes(part) for part in wire.encode(Request(1, "f", args), references)])
    return wire.reader(as_type, references)(message.args, message)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in every way that a user can see."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b) and same(one[a], other[b]) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, set | frozenset):
        return one == other and sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, numpy.ndarray):
        return same_array(one, other)
    if isinstance(one, datetime):
        return bool(one == other and one.fold == other.fold and repr(one.tzinfo) == repr(other.tzinfo))
    if isinstance(one, memoryview):
        return bool(one == other and one.format == other.format and one.shape == other.shape)
    if isinstance(one, int):
        return bool(one == other)
    return repr(one) == repr(other)


def same_array(one: Any, other: Any) -> bool:
    return bool(
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.tobytes() == other.tobytes()
        and (one.flags.f_contiguous or not other.flags.f_contiguous or other.flags.c_contiguous)
        and (not one.flags.f_contiguous or one.flags.c_contiguous or other.flags.f_contiguous)
    )
