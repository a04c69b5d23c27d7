"""Calls as a server meets them: through a wire's bytes into a function's arguments.

Rules of this file
- Used by test_binding.py, test_refusal.py and test_exposed.py; no tests here.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tincans.contracts import Wire
from tincans.core.exposed import Exposed
from tincans.core.messages import Request
from tincans.errors import ArgumentError
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


@dataclasses.dataclass
class Point:
    x: int
    y: list[float]


class Box(msgspec.Struct):
    point: Point


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
