"""Arguments from a request: decoded straight into the parameters' types, or refused with the parameter's name.

Rules of this file
- A call with positional arguments only, the common one, is one reader: a tuple of the parameters' types.
- A body that may hold functions or streams is read once only: reading it takes them in.
- Whatever does not fit is an ArgumentError in the caller's words (core/refusal.py), never a foreign exception.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec import UNSET, ValidationError, defstruct
from msgspec.structs import asdict, astuple

from tincans.contracts import Reader, References, Wire
from tincans.core.annotations import converter
from tincans.core.hints import ANYTHING, Expected, expected
from tincans.core.signature import EMPTY, Kind
from tincans.errors import TincansError, UnsupportedError

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
_POSITIONAL: frozenset[Any] = frozenset({Kind.POSITIONAL_ONLY, Kind.POSITIONAL_OR_KEYWORD})
_NAMED: frozenset[Any] = frozenset({Kind.KEYWORD_ONLY, Kind.POSITIONAL_OR_KEYWORD})
_BY_NAME = 1 << 30
"""The position of a parameter that has none."""
Finish = Callable[[Any], tuple[Any, ...]]


class Misfit(Exception):
    """Arguments that do not fit, in words about the parameters; the caller of this file adds whose they are."""


class Parameters:
    """The parameters of one function, in the shapes in which arguments are read.

    `positional` and `named` hold what is expected of each, `rest` and `extra` what `*args` and `**kwargs` hold
    (None without them), `required` the position of each parameter without a default.
    """

    __slots__ = ("extra", "named", "needs_names", "positional", "positional_only", "required", "rest", "signature")

    def __init__(self, signature: inspect.Signature | None) -> None:
        self.signature = signature
        self.rest: Expected | None = ANYTHING if signature is None else None
        self.extra: Expected | None = ANYTHING if signature is None else None
        parameters = [] if signature is None else list(signature.parameters.values())
        wanted = {each.name: expected(each.annotation) for each in parameters}
        for each in parameters:
            if each.kind is Kind.VAR_POSITIONAL:
                self.rest = wanted[each.name]
            elif each.kind is Kind.VAR_KEYWORD:
                self.extra = wanted[each.name]
        self.positional = {each.name: wanted[each.name] for each in parameters if each.kind in _POSITIONAL}
        self.named = {each.name: wanted[each.name] for each in parameters if each.kind in _NAMED}
        self.positional_only = frozenset(self.positional) - frozenset(self.named)
        places = {name: index for index, name in enumerate(self.positional)}
        everything = {**self.positional, **self.named}
        self.required = {name: places.get(name, _BY_NAME) for name in everything if self._is_required(name)}
        self.needs_names = _BY_NAME in self.required.values()

    def _is_required(self, name: str) -> bool:
        return self.signature is not None and self.signature.parameters[name].default is EMPTY

    def default(self, name: str) -> Any:
        """The default of a parameter that has one."""
        return cast(inspect.Signature, self.signature).parameters[name].default


def positional_reader(parameters: Parameters, wire: Wire, references: References | None) -> Reader:
    """Reads the body of a call without keywords into all positional arguments, defaults filled in."""
    wanted = parameters.positional
    if parameters.rest is not None:
        read, at_least = rest_reader(parameters, wire, references), len(parameters.required)

        def read_rest(body: Any, message: Any) -> tuple[Any, ...]:
            values: tuple[Any, ...] = read(body, message)
            if len(values) < at_least:
                raise ValidationError(f"Expected `array` of at least length {at_least}, got {len(values)}")
            return values

        return read_rest if at_least else read
    if all(name in parameters.required for name in wanted):
        type_: Any = tuple[tuple(each.type for each in wanted.values())]  # type: ignore[misc]
        return _checked(_reader(wire, type_, references), list(wanted.values()), tuple)
    return _checked(_reader(wire, _positional_struct(parameters), references), list(wanted.values()), astuple)


def _positional_struct(parameters: Parameters) -> type[msgspec.Struct]:
    """An array whose end may be missing: there the defaults stand in."""
    fields: list[Any] = []
    for name, wanted in parameters.positional.items():
        if name in parameters.required:
            fields.append((name, wanted.type))
        else:
            fields.append((name, wanted.type, msgspec.field(default_factory=_giver(parameters.default(name)))))
    return defstruct("Positional", fields, array_like=True, forbid_unknown_fields=True)


def _giver(value: Any) -> Callable[[], Any]:
    return lambda: value  # the very object, as Python does it: msgspec would copy a list


def given_reader(parameters: Parameters, wire: Wire, references: References | None) -> Reader:
    """Reads the positional arguments of a call that has keywords too: only those that were given."""
    if parameters.rest is not None:
        return rest_reader(parameters, wire, references)
    fields = [(name, wanted.type, UNSET) for name, wanted in parameters.positional.items()]
    struct = defstruct("Given", fields, array_like=True, forbid_unknown_fields=True)
    return _checked(_reader(wire, struct, references), list(parameters.positional.values()), _only_given)


def _only_given(struct: Any) -> tuple[Any, ...]:
    values = astuple(struct)
    count = len(values)
    while count and values[count - 1] is UNSET:
        count -= 1
    values = values[:count]
    for value in values:
        if value is UNSET:  # only a dict in place of the list can leave a hole
            raise ValidationError("Expected `array`, got `object`")
    return values


def rest_reader(parameters: Parameters, wire: Wire, references: References | None) -> Reader:
    """Reads the positional arguments of a function with `*args`."""
    first, rest = list(parameters.positional.values()), cast(Expected, parameters.rest)
    if all(each == rest for each in first):
        return _checked(_reader(wire, tuple[rest.type, ...], references), [], tuple, rest)  # type: ignore[name-defined]
    read = _reader(wire, tuple[Any, ...], references)

    def read_each(body: Any, message: Any) -> tuple[Any, ...]:
        values = read(body, message)
        kinds = first + [rest] * (len(values) - len(first))
        return tuple(
            at(f"[{i}]", kind.convert, value) for i, (kind, value) in enumerate(zip(kinds, values, strict=False))
        )

    return read_each


def named_reader(parameters: Parameters, wire: Wire, references: References | None) -> Reader:
    """Reads the body of the keywords into a dict, each value typed."""
    if parameters.extra is None:
        fields = [(name, wanted.type, UNSET) for name, wanted in parameters.named.items()]
        struct = defstruct("Named", fields, forbid_unknown_fields=True)
        read_struct = _reader(wire, struct, references)
        checks = {name: wanted.check for name, wanted in parameters.named.items() if wanted.cls is not None}

        def read_known(body: Any, message: Any) -> dict[str, Any]:
            values = asdict(read_struct(body, message))
            given = {name: value for name, value in values.items() if value is not UNSET}
            for name in given.keys() & checks.keys() if checks else ():
                at(f".{name}", checks[name], given[name])
            return given

        return read_known
    read, named, extra = _reader(wire, dict[str, Any], references), parameters.named, parameters.extra

    def read_all(body: Any, message: Any) -> dict[str, Any]:
        return {
            name: at(f".{name}", named.get(name, extra).convert, value) for name, value in read(body, message).items()
        }

    return read_all


def _checked(read: Reader, wanted: list[Expected], finish: Finish, rest: Expected | None = None) -> Reader:
    """`read`, then what a wire cannot ask: as little as possible, for this is on every call's way."""
    checks = [(index, each.check) for index, each in enumerate(wanted) if each.cls is not None]
    if not checks and (rest is None or rest.cls is None):
        return read if finish is tuple else lambda body, message: finish(read(body, message))

    def read_and_check(body: Any, message: Any) -> tuple[Any, ...]:
        values = finish(read(body, message))
        for index, check in checks if rest is None else [(i, rest.check) for i in range(len(values))]:
            if index < len(values):
                at(f"[{index}]", check, values[index])
        return values

    return read_and_check


def at(path: str, convert: Callable[[Any], Any], value: Any) -> Any:
    """`convert(value)`, its error told at `path`."""
    try:
        return convert(value)
    except ValidationError as error:
        text, mark, inner = str(error).rpartition("`$")
        if mark:
            raise ValidationError(f"{text}`${path}{inner}") from None
        raise ValidationError(f"{error} - at `${path}`") from None


def _reader(wire: Wire, type_: Any, references: References | None) -> Reader:
    try:
        return wire.reader(type_, references)
    except UnsupportedError:
        pass
    except TincansError:
        raise
    except (TypeError, ValueError, NotImplementedError):
        pass
    # This wire cannot read such a type at once (JSON and a dict with tuples as keys): read it plain, then convert.
    read, convert = wire.reader(Any, references), converter(type_)
    return lambda body, message: convert(read(body, message))


def bound(parameters: Parameters, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """The arguments when each parameter that needs one has exactly one; Misfit otherwise."""
    count, alone = len(args), parameters.positional_only
    if count and kwargs:
        for name in list(parameters.positional)[:count]:
            if name in kwargs and name not in alone:
                raise Misfit(f"parameter {name} is given twice, by position and by name")
    for name, position in parameters.required.items():
        if position >= count and (name not in kwargs or name in alone):
            required = parameters.required.items()
            raise Misfit(missing_text([n for n, at in required if at >= count and (n not in kwargs or n in alone)]))
    return args, kwargs


def missing_text(names: list[str]) -> str:
    """Which parameters got nothing."""
    return f"parameter {names[0]} is missing" if len(names) == 1 else f"parameters {', '.join(names)} are missing"
