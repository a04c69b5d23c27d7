"""Which functions others may call, and their arguments out of a request.

Rules of this file
- Names are flat: a name from a message is looked up in one dict, never as an attribute, never along dots.
- A name that begins with "_" is never exposed; one that begins with "$" is reserved for Tincans itself.
- Nothing is called here; whoever calls decides on which thread.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import MsgspecError

from tincans.contracts import Reader, References, Wire
from tincans.core.binding import (
    Arguments,
    Misfit,
    Parameters,
    bound,
    given_reader,
    named_reader,
    positional_reader,
)
from tincans.core.hints import returned, spoken
from tincans.core.interface import Function, Interface, describe
from tincans.core.messages import Request
from tincans.core.refusal import refusal
from tincans.core.signature import EMPTY, is_async, is_generator, signature_of, text_of
from tincans.errors import ArgumentError, NotExposedError, TincansError

_MOST_SHOWN = 60
"""Characters of a stranger's name that an error repeats."""
_UNREADABLE = (MsgspecError, Misfit, ValueError, TypeError, OverflowError, RecursionError)


class Exposed:
    """One function that others may call.

    `is_async`: a call gives an awaitable. `streams`: it gives a generator; a plain function may still return one,
    so look at the result too. `idempotent`: it may be repeated. `safe`: it changes nothing. `slow`: set by the
    caller when it was seen to run long.

    >>> def add(a: int, b: int = 1) -> int: ...
    >>> exposed = Exposed(add)
    >>> exposed.name, str(exposed), exposed.result_type
    ('add', 'add(a: int, b: int = 1) -> int', <class 'int'>)
    """

    __slots__ = (
        "_general",
        "_parameters",
        "_positional",
        "function",
        "idempotent",
        "is_async",
        "name",
        "result_type",
        "safe",
        "signature",
        "slow",
        "streams",
    )

    def __init__(
        self, function: Callable[..., Any], *, name: str | None = None, idempotent: bool = False, safe: bool = False
    ) -> None:
        self.name = _name_of(function) if name is None else name
        self.function = function
        self.signature = signature_of(function)
        self.is_async = is_async(function)
        self.result_type, certain = returned(EMPTY if self.signature is None else self.signature.return_annotation)
        if self.result_type is EMPTY:
            self.result_type = Any
        self.streams = certain or is_generator(function)
        self.idempotent = idempotent or safe
        self.safe = safe
        self.slow = False
        self._parameters = Parameters(self.signature)
        self._positional: dict[Wire, Reader] = {}
        self._general: dict[Wire, tuple[Reader, Reader]] = {}

    def __str__(self) -> str:
        return text_of(self.name, self.signature)

    def __repr__(self) -> str:
        return f"<Exposed {self}>"

    @property
    def description(self) -> Function:
        """The function as plain data, for people and for other languages."""
        return describe([self]).functions[0]

    def arguments(self, wire: Wire, request: Request[Any], references: References | None = None) -> Arguments:
        """The arguments of a request, each of the type that its parameter is annotated with.

        ArgumentError names the parameter that does not fit, and shows the signature.
        """
        read = self._positional.get(wire)
        if read is None or request.kwargs is not None or (request.rich and references is not None):
            return self._arguments(wire, request, references)
        try:
            return read(request.args, request), {}
        except TincansError:
            raise
        except _UNREADABLE as error:
            raise self._refusal(wire, request, error, named=False) from None

    def _arguments(self, wire: Wire, request: Request[Any], references: References | None) -> Arguments:
        """The uncommon ways: the first call over a wire, keywords, functions and streams as arguments."""
        # A reader that knows this connection's references must not be kept, nor one that does not be used for them.
        within = references if request.rich else None
        named = False
        try:
            if request.kwargs is None and not self._parameters.needs_names:
                read = self._reader(wire, within)
                return read(request.args, request), {}
            read_args, read_kwargs = self._readers(wire, within)
            args = read_args(request.args, request)
            named = True
            kwargs = {} if request.kwargs is None else read_kwargs(request.kwargs, request)
            return bound(self._parameters, args, kwargs)
        except TincansError:
            raise
        except _UNREADABLE as error:
            raise self._refusal(wire, request, error, named=named) from None

    def _reader(self, wire: Wire, references: References | None) -> Reader:
        if references is not None:
            return positional_reader(self._parameters, wire, references)
        read = self._positional.get(wire)
        if read is None:
            read = self._positional[wire] = positional_reader(self._parameters, wire, None)
        return read

    def _readers(self, wire: Wire, references: References | None) -> tuple[Reader, Reader]:
        both = self._general.get(wire) if references is None else None
        if both is None:
            both = (
                given_reader(self._parameters, wire, references),
                named_reader(self._parameters, wire, references),
            )
            if references is None:
                self._general[wire] = both
        return both

    def _refusal(self, wire: Wire, request: Request[Any], error: Exception, *, named: bool) -> ArgumentError:
        count = None
        if not request.rich:  # a plain body can be read again: to count what came
            try:
                count = len(wire.reader(list[Any])(request.args, request))
            except Exception:  # not even a list: the error in hand says so
                count = None
        return refusal(self.name, str(self), self._parameters, error, named=named, count=count)


def _name_of(function: Callable[..., Any]) -> str:
    while not hasattr(function, "__name__") and hasattr(function, "func"):
        function = function.func  # a functools.partial
    return getattr(function, "__name__", "")


class Dispatcher:
    """The functions that one program exposes.

    >>> dispatcher = Dispatcher()
    >>> def add(a: int, b: int) -> int:
    ...     return a + b
    >>> dispatcher.expose(add)
    <Exposed add(a: int, b: int) -> int>
    >>> dispatcher.find("ad")
    Traceback (most recent call last):
    tincans.errors.NotExposedError: No function 'ad' is exposed here; did you mean 'add'? 1 function is exposed: add
    """

    def __init__(self) -> None:
        self._exposed: dict[str, Exposed] = {}
        self._reserved: dict[str, Exposed] = {}

    def expose(
        self, function: Callable[..., Any], *, name: str | None = None, idempotent: bool = False, safe: bool = False
    ) -> Exposed:
        """Let others call `function` by `name` (its own by default). ArgumentError for what cannot be exposed.

        `safe` says that it changes nothing, and so implies `idempotent`: that it may be called again.
        """
        if not callable(function):
            raise ArgumentError(
                f"expose() takes a function, not {_shown(function)}; "
                "expose_object() takes a module or an object with methods"
            )
        name = _name_of(function) if name is None else name
        _check_name(name, function)
        exposed = Exposed(function, name=name, idempotent=idempotent, safe=safe)
        before = self._exposed.get(exposed.name)
        if before is not None and not _is_new_version(before.function, function):
            raise ArgumentError(
                f"The name {exposed.name!r} is taken by {before}; give this one another: "
                f"expose(function, name={exposed.name + '2'!r})"
            )
        self._exposed[exposed.name] = exposed
        return exposed

    def expose_object(self, thing: Any) -> list[Exposed]:
        """Expose the public functions of a module or the public methods of an object.

        Public is what a module names in `__all__`; without it, what is defined there and has no leading underscore.
        Of an object, its class's methods, the inherited ones too. Classes and data are left out.
        """
        if inspect.isclass(thing):
            raise ArgumentError(
                f"{thing.__name__} is a class, and its methods need an object: expose_object({thing.__name__}())"
            )
        found = dict(_functions_of(thing) if inspect.ismodule(thing) else _methods_of(thing))
        if not found:
            raise ArgumentError(f"{_shown(thing)} has no public functions to expose")
        return [self.expose(function, name=name) for name, function in found.items()]

    def reserve(self, name: str, function: Callable[..., Any]) -> Exposed:
        """Answer a "$name" with `function`: for Tincans itself, not shown among the names."""
        if not name.startswith("$"):
            raise ArgumentError(
                f"A reserved name begins with '$', unlike {name!r}; use expose() for functions of users"
            )
        exposed = self._reserved[name] = Exposed(function, name=name)
        return exposed

    def find(self, name: str) -> Exposed:
        """The function of this name. NotExposedError says what may have been meant."""
        found = self._exposed.get(name) or self._reserved.get(name)
        if found is None:
            raise NotExposedError(self._unknown(name), operation=f"call {name[:_MOST_SHOWN]}")
        return found

    def _unknown(self, name: str) -> str:
        shown = repr(name if len(name) <= _MOST_SHOWN else f"{name[:_MOST_SHOWN]}...")
        close = difflib.get_close_matches(name[:_MOST_SHOWN], list(self._exposed), 1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        if "." in name:
            hint += " Names are flat: nothing is looked up behind a dot."
        count = len(self._exposed)
        there = "1 function is exposed" if count == 1 else f"{count} functions are exposed"
        return f"No function {shown} is exposed here{hint} {there}{self._some_names()}"

    def _some_names(self) -> str:
        names = list(self._exposed)
        if not names:
            return ": expose one with @server.expose"
        return f": {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"

    def names(self) -> list[str]:
        """The exposed names, in the order of exposing."""
        return list(self._exposed)

    def idempotent_names(self) -> tuple[str, ...]:
        """The functions that may be called again when nobody knows whether the first call arrived."""
        return tuple(name for name, exposed in self._exposed.copy().items() if exposed.idempotent)

    def __iter__(self) -> Iterator[Exposed]:
        return iter(list(self._exposed.values()))

    @property
    def interface(self) -> Interface:
        """What is exposed now, described."""
        return describe(list(self))


def _check_name(name: Any, function: Any) -> None:
    if not isinstance(name, str):
        raise ArgumentError(f"{_shown(function)} cannot be exposed as {name!r}: a name is a text")
    if name.isidentifier() and not name.startswith("_"):
        return
    if name.startswith("$"):
        why = "names that begin with '$' are Tincans' own"
    elif name.startswith("_"):
        why = "names that begin with '_' are private"
    else:
        why = "a name is letters, digits and '_', and does not begin with a digit"
    raise ArgumentError(
        f"{_shown(function)} cannot be exposed as {name!r}: {why}. Give it a name: expose(function, name='...')"
    )


def _is_new_version(old: Any, new: Any) -> bool:
    """The same function again, or the same definition run again (a module or a notebook cell reloaded)."""
    if old == new:
        return True
    places = [(getattr(each, "__module__", None), getattr(each, "__qualname__", "<")) for each in (old, new)]
    return places[0] == places[1] and "<" not in places[0][1] and not inspect.ismethod(new)


def _functions_of(module: Any) -> Iterator[tuple[str, Any]]:
    listed = getattr(module, "__all__", None)
    for name in dir(module) if listed is None else listed:
        value = getattr(module, name, None)
        if name.startswith("_") or not callable(value) or inspect.isclass(value):
            continue
        if listed is not None or getattr(value, "__module__", None) == module.__name__:
            yield name, value


def _methods_of(thing: Any) -> Iterator[tuple[str, Any]]:
    """Looked up without running properties: only what is a method for certain is fetched from the object."""
    for name in dir(thing):
        if name.startswith("_") or hasattr(object, name):
            continue
        try:
            kept = inspect.getattr_static(thing, name)
        except AttributeError:
            continue
        if inspect.isroutine(kept) or hasattr(kept, "__partialmethod__") or type(kept).__name__ == "partialmethod":
            yield name, getattr(thing, name)


def _shown(thing: Any) -> str:
    """Which thing, for an error: by name when it has one."""
    if inspect.ismodule(thing):
        return f"the module {thing.__name__}"
    return getattr(thing, "__qualname__", None) or f"a {spoken(type(thing))}"
