"""Annotations of functions: found, resolved, and put into words.

Rules of this file
- An annotation never raises here: one that cannot be understood is Any, so that every function can be exposed.
- What a wire reads straight into a type stays as it is; `core/annotations.py` has the classes beyond msgspec.
- Names in annotations come from the program's own code, never from a message.
"""

from __future__ import annotations

import collections.abc as abc
import functools
import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from tincans.core.annotations import converter, readable

STREAMS: frozenset[Any] = frozenset(
    {abc.Iterator, abc.Generator, abc.AsyncIterator, abc.AsyncGenerator, abc.AsyncIterable}
)
"""A result annotated so is a stream for certain; an Iterable may as well be a list."""

_AWAITABLE: frozenset[Any] = frozenset({abc.Awaitable, abc.Coroutine})
_UNIONS: frozenset[Any] = frozenset({Union, types.UnionType})
_PLAIN: frozenset[Any] = frozenset({int, str, float, bool, bytes, Any})
_MOST_LAYERS = 100
BINARY = (bytes, bytearray, memoryview)
"""What is not made out of a text where no wire has said that the text is base64."""


class Expected(msgspec.Struct, frozen=True):
    """A value is read by the wire as `type`; when there is a `cls`, it must be one of those as well.

    `cls` is a class whose own fields no wire can read: never a dict is handed to a function that asks for it.
    """

    type: Any
    cls: type | None = None

    def check(self, value: Any) -> Any:
        """The value, when it is what a wire alone cannot make sure of; msgspec.ValidationError otherwise."""
        if self.cls is None or isinstance(value, self.cls):
            return value
        raise msgspec.ValidationError(
            f"Expected `{spoken(self.cls)}`, got `{type(value).__name__}`, and no wire can make the one of the other"
        )

    def convert(self, value: Any) -> Any:
        """A value that was read as Any, made into what is expected; msgspec.ValidationError when it does not fit."""
        return self.check(value if self.type is Any else _converter(self.type)(value))


def _converter(type_: Any) -> Callable[[Any], Any]:
    try:
        return _cached_converter(type_)
    except TypeError:  # an annotation without a hash
        return converter(type_, builtin_types=BINARY)


@functools.lru_cache(maxsize=1024)
def _cached_converter(type_: Any) -> Callable[[Any], Any]:
    return converter(type_, builtin_types=BINARY)


ANYTHING = Expected(Any)


def expected(annotation: Any) -> Expected:
    """What a wire is asked for where the program says `annotation`.

    >>> expected(list[int]), expected("Unheard").type
    (Expected(type=list[int], cls=None), typing.Any)
    """
    try:
        if annotation in _PLAIN:
            return Expected(annotation)
        if annotation is inspect.Parameter.empty or isinstance(annotation, str):
            return ANYTHING
        annotation = rebuilt(annotation, _without_bare_protocols)
    except Exception:  # an exotic annotation, or a class with hooks of its own
        return ANYTHING
    try:
        return Expected(readable(annotation, builtin_types=BINARY))
    except Exception:
        return Expected(Any, annotation) if isinstance(annotation, type) else ANYTHING


def _without_bare_protocols(part: Any) -> Any:
    """A Protocol says what a value can do; only one marked @runtime_checkable can be asked about it."""
    cls = get_origin(part) or part
    bare = getattr(cls, "_is_protocol", False) and not getattr(cls, "_is_runtime_protocol", False)
    return Any if bare else part


def rebuilt(annotation: Any, replace: Callable[[Any], Any]) -> Any:
    """The annotation with each part, from the outside in, put through `replace`.

    >>> rebuilt(dict[str, list[int]], lambda part: float if part is int else part)
    dict[str, list[float]]
    """
    annotation = replace(_behind_its_name(annotation))
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is None or origin is Literal or not parts:
        return annotation
    if origin is Annotated:
        return Annotated[(rebuilt(parts[0], replace), *annotation.__metadata__)]
    new = tuple(rebuilt(part, replace) if isinstance(part, type) or get_origin(part) else part for part in parts)
    if new == parts:
        return annotation
    return Union[new] if origin in _UNIONS else origin[new]  # noqa: UP007


def is_union(annotation: Any) -> bool:
    """Whether it is `A | B`, in either spelling."""
    return get_origin(annotation) in _UNIONS


def _behind_its_name(annotation: Any) -> Any:
    """What stands behind `type Name = ...` and `type Name[T] = ...` (Python 3.12; numpy's NDArray is one)."""
    for _ in range(_MOST_LAYERS):
        if type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif type(origin := get_origin(annotation)).__name__ == "TypeAliasType":
            annotation = origin.__value__[get_args(annotation)]
        else:
            break
    return annotation


def resolved(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function with texts turned into types; one that cannot be stays the text it is.

    >>> def add(a: "int", b: Unheard) -> "int": ...
    >>> resolved(add)
    {'a': <class 'int'>, 'b': 'Unheard', 'return': <class 'int'>}
    """
    source = underlying(function)
    around = _enclosing(source)
    try:
        return get_type_hints(source, localns=around, include_extras=True)
    except Exception:
        return _one_by_one(source, around)


def _one_by_one(function: Any, around: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    names = getattr(function, "__globals__", {})
    for name, annotation in dict(getattr(function, "__annotations__", None) or {}).items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            found.update(get_type_hints(alone, names, around, include_extras=True))
        except Exception:
            found[name] = annotation
    return found


def _enclosing(function: Any) -> dict[str, Any]:
    """Names of the enclosing function that a nested one uses: its annotations may mean them."""
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    found: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars, cells, strict=False) if code and cells else ():
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def underlying(function: Callable[..., Any]) -> Any:
    """The plain function inside a bound method, partial, decorator, class or callable object.

    >>> underlying(functools.partial(len)) is len
    True
    """
    found: Any = function
    for _ in range(_MOST_LAYERS):
        if isinstance(found, functools.partial):
            found = found.func
        elif inspect.ismethod(found):
            found = found.__func__
        elif inspect.isclass(found):
            found = found.__init__
        elif hasattr(found, "__wrapped__"):
            found = found.__wrapped__
        elif inspect.isroutine(found) or not inspect.isroutine(type(found).__call__):
            return found
        else:
            found = type(found).__call__
    return found


def returned(annotation: Any) -> tuple[Any, bool]:
    """The type behind a return annotation, and whether it is certainly a stream of that type.

    An awaitable is what it brings; an iterator is what it yields.

    >>> from collections.abc import AsyncIterator, Awaitable
    >>> returned(AsyncIterator[int]), returned(Awaitable[str])
    ((<class 'int'>, True), (<class 'str'>, False))
    """
    annotation = _behind_its_name(annotation)
    cls, parts = get_origin(annotation) or annotation, get_args(annotation)
    if cls is Annotated:
        inner, streams = returned(parts[0])
        return (inner, True) if streams else (annotation, False)
    if not isinstance(cls, type):
        return annotation, False
    if cls in _AWAITABLE:
        return returned(parts[-1]) if parts else (Any, False)
    if cls in STREAMS:
        return (parts[0] if parts else Any), True
    return annotation, False


def spoken(annotation: Any) -> str:
    """The annotation as a person writes it.

    >>> spoken(dict[str, list[int] | None])
    'dict[str, list[int] | None]'
    """
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is Ellipsis or isinstance(annotation, str):
        return "..." if annotation is Ellipsis else annotation
    if isinstance(annotation, (list, tuple)):
        return f"[{', '.join(map(spoken, annotation))}]"
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return spoken(parts[0])
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, parts))}]"
    if is_union(annotation):
        return " | ".join(map(spoken, parts))
    if getattr(origin, "__name__", "") == "ndarray" and len(parts) == 2:
        return f"NDArray[{', '.join(map(spoken, get_args(parts[1]))) or 'Any'}]"
    if origin is not None and parts:
        return f"{spoken(origin)}[{', '.join(map(spoken, parts))}]"
    if isinstance(annotation, type):
        return annotation.__qualname__.rpartition("<locals>.")[2]
    return str(getattr(annotation, "__name__", None) or annotation).removeprefix("typing.")
