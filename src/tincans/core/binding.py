"""Arguments from a request: decoded straight into the parameters' types, or refused with the parameter's name.

Rules of this file
- A call with positional arguments only, the common one, is one reader: a tuple of the parameters' types.
- A body that may hold functions or streams is read once only: reading it takes them in.
- Whatever does not fit is an ArgumentError in the caller's words (core/refusal.py), never a foreign exception.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from itertools import chain, repeat
from typing import Any

import msgspec
from msgspec import UNSET, ValidationError, defstruct
from msgspec.structs import astuple

from tincans.contracts import Reader, References, Wire
from tincans.core.annotations import converter
from tincans.core.hints import ANYTHING, Expected, expected
from tincans.core.signature import EMPTY, Kind
from tincans.errors import UnsupportedError

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Values = tuple[Any, ...]
_POSITIONAL: frozenset[Any] = frozenset({Kind.POSITIONAL_ONLY, Kind.POSITIONAL_OR_KEYWORD})
_NAMED: frozenset[Any] = frozenset({Kind.KEYWORD_ONLY, Kind.POSITIONAL_OR_KEYWORD})
PLAIN = frozenset({type(None), bool, int, float, str, bytes})
"""What a plain value is exactly (_speed/plain_write.c)."""

_BY_NAME = 1 << 30
"""The position of a parameter that has none."""


class Misfit(Exception):
    """Arguments that do not fit, in words about the parameters; the caller of this file adds whose they are."""


def is_array_class(kind: Any) -> bool:
    """Whether it is numpy's array, of any type; numpy is not imported for the question.

    >>> is_array_class(int)
    False
    """
    return isinstance(kind, type) and kind.__module__ == "numpy" and kind.__qualname__ == "ndarray"


class Parameters:
    """The parameters of one function, in the shapes in which arguments are read.

    `positional` and `named` hold what is expected of each, `rest` and `extra` what `*args` and `**kwargs` hold
    (None without them), `required` the position of each parameter without a default. The shapes are types for a
    wire, made once: a wire keeps a decoder for each. Their fields are p0, p1, ...: not every parameter's name can be
    a field's.
    """

    def __init__(self, signature: inspect.Signature | None) -> None:
        self.signature = signature
        parameters = [] if signature is None else list(signature.parameters.values())
        wanted = {each.name: expected(each.annotation) for each in parameters}
        unknown = ANYTHING if signature is None else None
        self.rest = next((wanted[each.name] for each in parameters if each.kind is Kind.VAR_POSITIONAL), unknown)
        self.extra = next((wanted[each.name] for each in parameters if each.kind is Kind.VAR_KEYWORD), unknown)
        self.positional = {each.name: wanted[each.name] for each in parameters if each.kind in _POSITIONAL}
        self.named = {each.name: wanted[each.name] for each in parameters if each.kind in _NAMED}
        self.names = tuple(self.positional)
        self.positional_only = self.positional.keys() - self.named.keys()
        self.defaults = {each.name: each.default for each in parameters if each.default is not EMPTY}
        places = {name: index for index, name in enumerate(self.names)}
        everything = {**self.positional, **self.named}
        self.required = {name: places.get(name, _BY_NAME) for name in everything if name not in self.defaults}
        self.needs_names = _BY_NAME in self.required.values()

    @cached_property
    def plain(self) -> tuple[tuple[type | None, ...], int] | None:
        """What a call looks like whose plain values, by position, may be passed just as they are; None when none may.

        The exact class (None: any) of each parameter, up to the first that is not so simple; and how many are needed.
        """
        kinds: list[type | None] = []
        for each in self.positional.values():
            if each != ANYTHING and each.type not in PLAIN and (each.cls is not None or not is_array_class(each.type)):
                break
            kinds.append(None if each == ANYTHING else each.type)
        least = max(self.required.values(), default=-1) + 1
        if self.rest is not None or self.signature is None or least > len(kinds):
            return None
        return tuple(kinds), least

    @cached_property
    def all_positional(self) -> Shape:
        """Everything by position: a tuple, or with defaults an array whose end may be missing."""
        if self.rest is not None:
            return self._with_rest(len(self.required))
        wanted = self.positional
        checks = _checks(enumerate(wanted.values()))
        if not wanted.keys() & self.defaults.keys():
            type_: Any = tuple[tuple(each.type for each in wanted.values())]  # type: ignore[misc]
            return Shape(type_, partial(_checked, checks) if checks else None)
        fields: list[Any] = [
            # The very object, as Python does it: msgspec would copy a list.
            (f"p{i}", each.type, msgspec.field(default_factory=partial(self.defaults.get, name)))
            if name in self.defaults
            else (f"p{i}", each.type)
            for i, (name, each) in enumerate(wanted.items())
        ]
        struct = defstruct("Positional", fields, array_like=True, forbid_unknown_fields=True)
        return Shape(struct, (lambda given: _checked(checks, astuple(given))) if checks else astuple)

    @cached_property
    def some_positional(self) -> Shape:
        """What is given by position where the others may come by name."""
        if self.rest is not None:
            return self._with_rest(0)
        fields = [(f"p{i}", each.type, UNSET) for i, each in enumerate(self.positional.values())]
        struct = defstruct("Given", fields, array_like=True, forbid_unknown_fields=True)
        checks = _checks(enumerate(self.positional.values()))
        return Shape(struct, lambda given: _checked(checks, _only_given(given)))

    def _with_rest(self, at_least: int) -> Shape:
        first, rest = list(self.positional.values()), self.rest or ANYTHING
        if any(each != rest for each in first) or rest.cls is not None:
            return Shape(tuple[Any, ...], partial(_each_converted, first, rest, at_least))
        return Shape(tuple[rest.type, ...], partial(_enough, at_least) if at_least else None)  # type: ignore[name-defined]

    @cached_property
    def some_named(self) -> Shape:
        """What is given by name: a dict of the names given."""
        if self.extra is not None:
            return Shape(dict[str, Any], partial(_named_converted, self.named, self.extra))
        names = {f"p{i}": name for i, name in enumerate(self.named)}
        fields = [(field, self.named[name].type, UNSET) for field, name in names.items()]
        struct = defstruct("Named", fields, rename=names, forbid_unknown_fields=True)
        return Shape(struct, partial(_only_named, tuple(self.named), _checks(self.named.items())))


class Shape(msgspec.Struct, frozen=True):
    """What a wire reads a body as, and what remains to be done with that."""

    type: Any
    finish: Callable[[Any], Any] | None = None

    def reader(self, wire: Wire, references: References | None) -> Reader:
        """A reader for one wire, kept by whoever asks; with references, for one connection."""
        read, finish = _reader(wire, self.type, references), self.finish
        return read if finish is None else lambda body, message: finish(read(body, message))


def _reader(wire: Wire, type_: Any, references: References | None) -> Reader:
    try:
        return wire.reader(type_, references)
    except (UnsupportedError, TypeError, NotImplementedError):
        pass
    # This wire cannot read such a type at once (JSON and a dict with tuples as keys): read it plain, then convert.
    read, convert = wire.reader(Any, references), converter(type_)
    return lambda body, message: convert(read(body, message))


Checks = list[tuple[Any, Callable[[Any], Any]]]


def _checks(wanted: Iterable[tuple[Any, Expected]]) -> Checks:
    """By index or name, what must still be asked of a value that a wire has read."""
    return [(at, each.check) for at, each in wanted if each.cls is not None]


def _checked(checks: Checks, values: Values) -> Values:
    for index, check in checks:
        if index < len(values):
            _at(f"[{index}]", check, values[index])
    return values


def _enough(at_least: int, values: Values) -> Values:
    if len(values) < at_least:
        raise ValidationError(f"Expected `array` of at least length {at_least}, got {len(values)}")
    return values


def _each_converted(first: list[Expected], rest: Expected, at_least: int, values: Values) -> Values:
    _enough(at_least, values)
    wanted = chain(first, repeat(rest))
    return tuple(
        _at(f"[{i}]", each.convert, value) for i, (each, value) in enumerate(zip(wanted, values, strict=False))
    )


def _only_given(given: Any) -> Values:
    values = astuple(given)
    count = len(values)
    while count and values[count - 1] is UNSET:
        count -= 1
    return values[:count]


def _only_named(names: tuple[str, ...], checks: Checks, given: Any) -> dict[str, Any]:
    values = {name: value for name, value in zip(names, astuple(given), strict=True) if value is not UNSET}
    for name, check in checks:
        if name in values:
            _at(f".{name}", check, values[name])
    return values


def _named_converted(named: dict[str, Expected], extra: Expected, given: dict[str, Any]) -> dict[str, Any]:
    return {name: _at(f".{name}", named.get(name, extra).convert, value) for name, value in given.items()}


def _at(path: str, convert: Callable[[Any], Any], value: Any) -> Any:
    """`convert(value)`, its error told at `path`."""
    try:
        return convert(value)
    except ValidationError as error:
        text, mark, inner = str(error).rpartition("`$")
        if mark:
            raise ValidationError(f"{text}`${path}{inner}") from None
        raise ValidationError(f"{error} - at `${path}`") from None


def bound(parameters: Parameters, args: Values, kwargs: dict[str, Any]) -> Arguments:
    """The arguments when each parameter that needs one has exactly one; Misfit otherwise."""
    count, alone = len(args), parameters.positional_only
    for name in parameters.names[:count] if kwargs else ():
        if name in kwargs and name not in alone:
            raise Misfit(f"parameter {name} is given twice, by position and by name")
    for name, position in parameters.required.items():
        if position >= count and (name not in kwargs or name in alone):
            given = {*parameters.names[:count], *(kwargs.keys() - alone)}
            raise Misfit(missing_text([each for each in parameters.required if each not in given]))
    return args, kwargs


def missing_text(names: list[str]) -> str:
    """Which parameters got nothing."""
    return f"parameter {names[0]} is missing" if len(names) == 1 else f"parameters {', '.join(names)} are missing"
