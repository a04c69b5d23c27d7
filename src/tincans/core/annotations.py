"""Annotations that go beyond msgspec: classes of other libraries, functions, streams, and any union.

Rules of this file
- msgspec reads a type directly wherever it can; `readable` only rewrites the unions that it refuses.
- `accept` is its hook for classes it does not know: a value that is one already passes, a plain one (JSON) is made
  into one when there is exactly one sensible way, and anything else is a ValueError, which gets the path.
- A class is only ever found in the receiver's own annotation, never by a word from the wire.
"""

from __future__ import annotations

import collections
import re
from abc import ABC
from collections.abc import Callable
from functools import lru_cache, reduce
from itertools import chain
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, TypeGuard, Union, get_args, get_origin

import msgspec

from tincans.errors import UnsupportedError

Convert = Callable[[Any], Any]


class Choice(ABC):  # noqa: B024  (an ABC for its __subclasshook__, not for methods)
    """Stands for a union that msgspec cannot tell apart: everything counts as an instance, `accept` decides."""

    members: ClassVar[tuple[Any, ...]] = ()
    keywords: ClassVar[dict[str, Any]] = {}

    @classmethod
    def __subclasshook__(cls, subclass: type) -> bool:
        return True


def converter(annotation: Any, **keywords: Any) -> Convert:
    """A function that turns a rebuilt value into `annotation`, as msgspec.convert does; its ValidationError.

    >>> converter(tuple[int, float])([1, 2])
    (1, 2.0)
    """
    wanted = readable(annotation, **keywords)

    def convert(value: Any) -> Any:
        return msgspec.convert(value, wanted, dec_hook=accept, **keywords)

    return convert


@lru_cache(maxsize=1024)
def _readable(annotation: Any, keywords: frozenset[tuple[str, Any]]) -> Any:
    try:
        rewritten = _rewrite(annotation, dict(keywords))
        msgspec.msgpack.Decoder(rewritten, dec_hook=accept)
    except (TypeError, NameError) as refused:
        raise UnsupportedError(
            f"Values cannot be read as {annotation}: {refused}. Annotate with types that msgspec can tell "
            "apart, or with typing.Any"
        ) from None
    return annotation if rewritten == annotation else rewritten


def readable(annotation: Any, **keywords: Any) -> Any:
    """`annotation` such that a msgspec decoder with the hook `accept` takes it; UnsupportedError when it cannot be.

    >>> readable(int | None)
    int | None
    """
    settings = frozenset(keywords.items())
    try:
        return _readable(annotation, settings)
    except TypeError:  # not hashable: metadata with a list in it
        return _readable.__wrapped__(annotation, settings)


def _rewrite(annotation: Any, keywords: dict[str, Any]) -> Any:
    """The same annotation with a Choice in place of each union that must be tried member by member."""
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(_rewrite(members[0], keywords), *annotation.__metadata__)]
    if origin is Union or origin is UnionType:
        return _rewrite_union(annotation, members, keywords)
    named: Any = origin or annotation
    if isinstance(named, type) and named in _ITERATORS:
        return _ITERATORS[named]
    if not isinstance(origin, type) or not _holds_values(origin):
        return annotation
    return named[tuple(member if member is Ellipsis else _rewrite(member, keywords) for member in members)]


_ITERATORS: dict[Any, Any] = {
    collections.abc.Generator: collections.abc.Iterator,
    collections.abc.AsyncGenerator: collections.abc.AsyncIterator,
}
"""A stream of the other program is an iterator, but has no `throw`: what a generator is annotated for."""


def _holds_values(origin: Any) -> bool:
    return issubclass(origin, (collections.abc.Collection, tuple)) and not hasattr(origin, "__array__")


def _rewrite_union(annotation: Any, members: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    rest = [member for member in members if member is not NoneType]
    optional = len(rest) < len(members)
    if len(rest) == 1:
        only = _rewrite(rest[0], keywords)
        return Union[only, None] if optional else only  # noqa: UP007
    try:
        rewritten = reduce(or_, (_rewrite(member, keywords) for member in members))
        msgspec.msgpack.Decoder(rewritten, dec_hook=accept)
    except (TypeError, NameError):
        choice = type("Choice", (Choice,), {"members": tuple(rest), "keywords": keywords})
        return Union[choice, None] if optional else choice  # noqa: UP007
    return rewritten


def accept(wanted: Any, value: Any) -> Any:
    """msgspec's hook: `value` as the class `wanted`, which msgspec does not know; ValueError when it is not one.

    >>> accept(complex, [1, 2])
    (1+2j)
    """
    origin = get_origin(wanted) or wanted
    if isinstance(origin, type):
        if Choice in origin.__mro__:  # issubclass would say yes for every class
            return _choose(origin, value)
        made = _make(wanted, origin, value)
        if made is not None:
            return made
        if isinstance(value, origin):
            return value
    elif origin is value:
        return value
    raise ValueError(f"Expected `{_title(wanted)}`, got `{_title(type(value))}`")


def _choose(choice: type[Choice], value: Any) -> Any:
    """The member whose own class the value has; else the first that it can be read as."""
    exact = [member for member in choice.members if (get_origin(member) or member) is type(value)]
    for member in (*exact, *choice.members):
        try:
            return converter(member, **choice.keywords)(value)
        except msgspec.ValidationError:
            continue
    names = " | ".join(_title(member) for member in choice.members)
    raise ValueError(f"Expected `{names}`, got `{_title(type(value))}`")


def _make(wanted: Any, origin: type, value: Any) -> Any:
    """A value of a class that is not msgspec's, out of a plain one; None when there is no sensible way."""
    make = _MAKERS.get((origin.__module__.partition(".")[0], origin.__name__))
    if make is not None:
        return make(wanted, origin, value)
    if origin.__module__.partition(".")[0] == "numpy" and not isinstance(value, origin):
        return _make_scalar(wanted, origin, value)
    return None


def _make_path(wanted: Any, origin: type, value: Any) -> Any:
    return origin(value) if type(value) is str else None


def _make_fraction(wanted: Any, origin: type, value: Any) -> Any:
    """Without an exponent: `1e9999999999` would be a number that fills the memory."""
    if type(value) is int or (type(value) is str and _FRACTION.fullmatch(value)):
        return origin(value)
    return None


_FRACTION = re.compile(r"[+-]?[0-9]{1,4000}([./][0-9]{1,4000})?")


def _make_complex(wanted: Any, origin: type, value: Any) -> Any:
    if type(value) in (int, float):
        return complex(value)
    if type(value) in (list, tuple) and len(value) == 2 and all(type(n) in (int, float) for n in value):
        return complex(*value)
    return None


def _make_range(wanted: Any, origin: type, value: Any) -> Any:
    if type(value) in (list, tuple) and all(type(n) is int for n in value):
        return origin(*value)
    return None


def _make_collection(wanted: Any, origin: type, value: Any) -> Any:
    """A deque, or a dict subclass: made of the list or dict that travelled, with its members read as annotated."""
    members = get_args(wanted)
    plain = dict if issubclass(origin, dict) else list
    if not isinstance(value, plain):
        return None
    if origin is collections.Counter:
        members = (*members, int) if members else ()
    read = converter(plain[members])(value) if members else value
    return collections.defaultdict(None, read) if origin is collections.defaultdict else origin(read)


def _make_iterator(wanted: Any, origin: type, value: Any) -> Any:
    """A list serves where a stream is expected."""
    return iter(value) if isinstance(value, list | tuple) else None


def _make_array(wanted: Any, origin: type, value: Any) -> Any:
    """A numpy array of the annotated type, out of an array or of nested lists of numbers."""
    import numpy

    if type(value) in (list, tuple, int, float, bool):
        if not _all_numbers(value, (numpy.ndarray, numpy.generic)):
            return None
        value = numpy.array(value)
        if value.dtype.kind not in "biufc":
            return None
    if not isinstance(value, numpy.ndarray):
        return None
    want = _scalar_type(wanted)
    if want is None or numpy.issubdtype(value.dtype, want):
        return value
    if issubclass(want, numpy.generic) and numpy.can_cast(value.dtype, want, "safe"):
        return value.astype(want)
    raise ValueError(f"Expected an array of `{_title(want)}`, got one of `{value.dtype}`")


def _all_numbers(value: Any, arrays: tuple[type, ...]) -> bool:
    """Whether there is nothing but numbers and arrays in nested lists: numpy would fill memory with a long range.

    >>> _all_numbers([[1, 2.5], (True,)], ()), _all_numbers([range(2**40)], ())
    (True, False)
    """
    level = [value]
    while level:
        kinds = set(map(type, level))
        if not all(kind in _NUMBERS or kind in _LISTS or issubclass(kind, arrays) for kind in kinds):
            return False
        level = list(chain.from_iterable(each for each in level if type(each) in _LISTS))
    return True


_NUMBERS = frozenset({bool, int, float, complex})
_LISTS = frozenset({list, tuple})


def _scalar_type(wanted: Any) -> Any:
    """The float64 of numpy.typing.NDArray[numpy.float64]; None when anything goes."""
    arguments = get_args(wanted)
    inner = get_args(arguments[1]) if len(arguments) == 2 else ()
    return inner[0] if inner and isinstance(inner[0], type) else None


def _make_scalar(wanted: Any, origin: Any, value: Any) -> Any:
    """One numpy number out of a Python one."""
    import numpy

    if not issubclass(origin, numpy.generic) or type(value) not in (bool, int, float, complex, str, bytes):
        return None
    if type(value) in (float, complex) and issubclass(origin, numpy.integer | numpy.bool_):
        return None
    try:
        made = origin(value)
    except OverflowError as error:
        raise ValueError(f"Expected `{_title(wanted)}`: {error}") from None
    if type(value) is int and issubclass(origin, numpy.integer) and int(made) != value:  # numpy 1 wraps round
        raise ValueError(f"Expected `{_title(wanted)}`: {value} does not fit")
    return made


def _title(wanted: Any) -> str:
    return wanted.__name__ if _is_plain_class(wanted) else str(wanted)


def _is_plain_class(wanted: Any) -> TypeGuard[type]:
    return isinstance(wanted, type) and get_origin(wanted) is None


_MAKERS: dict[tuple[str, str], Callable[[Any, Any, Any], Any]] = {
    ("pathlib", "Path"): _make_path,
    ("pathlib", "PurePath"): _make_path,
    ("pathlib", "PurePosixPath"): _make_path,
    ("pathlib", "PureWindowsPath"): _make_path,
    ("fractions", "Fraction"): _make_fraction,
    ("builtins", "complex"): _make_complex,
    ("builtins", "range"): _make_range,
    ("collections", "deque"): _make_collection,
    ("collections", "OrderedDict"): _make_collection,
    ("collections", "defaultdict"): _make_collection,
    ("collections", "Counter"): _make_collection,
    ("numpy", "ndarray"): _make_array,
    ("collections", "Iterator"): _make_iterator,
}
