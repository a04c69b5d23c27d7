"""Which functions others may call, found by name.

Rules of this file
- Names are flat: a name from a message is looked up in one dict, never as an attribute, never along dots.
- A name that begins with "_" is never exposed; one that begins with "$" is reserved for Tincans itself.
- Of an object only what is a method for certain is fetched; no property is run.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

from tincans.core.exposed import Exposed, name_of
from tincans.core.hints import spoken
from tincans.core.interface import Interface, describe
from tincans.errors import ArgumentError, NotExposedError

__all__ = ["Dispatcher", "Exposed"]

_MOST_SHOWN = 60
"""Characters of a stranger's name that an error repeats."""
_METHODS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    staticmethod,
    classmethod,
    functools.partialmethod,
    functools.singledispatchmethod,
    type(functools.lru_cache(len)),
)
"""Any other thing with a __get__ may be a property of some kind, and would run."""


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
        self.exposed: dict[str, Exposed] = {}
        """By name; what is reserved is not among them. Only `expose` changes it."""
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
        name = name_of(function) if name is None else name
        _check_name(name, function)
        exposed = Exposed(function, name=name, idempotent=idempotent, safe=safe)
        before = self.exposed.get(exposed.name)
        if before is not None and not _is_new_version(before.function, function):
            raise ArgumentError(
                f"The name {exposed.name!r} is taken by {before}; give this one another: "
                f"expose(function, name={exposed.name + '2'!r})"
            )
        self.exposed[exposed.name] = exposed
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
        found = self.exposed.get(name) or self._reserved.get(name)
        if found is None:
            raise NotExposedError(self._unknown(name), operation=f"call {name[:_MOST_SHOWN]}")
        return found

    def knows(self, name: str) -> bool:
        """Whether there is a function of this name."""
        return name in self.exposed or name in self._reserved

    def _unknown(self, name: str) -> str:
        shown = repr(name if len(name) <= _MOST_SHOWN else f"{name[:_MOST_SHOWN]}...")
        close = difflib.get_close_matches(name[:_MOST_SHOWN], list(self.exposed), 1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        if "." in name:
            hint += " Names are flat: nothing is looked up behind a dot."
        count = len(self.exposed)
        there = "1 function is exposed" if count == 1 else f"{count} functions are exposed"
        return f"No function {shown} is exposed here{hint} {there}{self._some_names()}"

    def _some_names(self) -> str:
        names = list(self.exposed)
        if not names:
            return ": expose one with @server.expose"
        return f": {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"

    def names(self) -> list[str]:
        """The exposed names, in the order of exposing."""
        return list(self.exposed)

    def idempotent_names(self) -> tuple[str, ...]:
        """The functions that may be called again when nobody knows whether the first call arrived."""
        return tuple(name for name, exposed in self.exposed.copy().items() if exposed.idempotent)

    def __iter__(self) -> Iterator[Exposed]:
        return iter(list(self.exposed.values()))

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
        if isinstance(kept, _METHODS):
            yield name, getattr(thing, name)


def _shown(thing: Any) -> str:
    """Which thing, for an error: by name when it has one."""
    if inspect.ismodule(thing):
        return f"the module {thing.__name__}"
    return getattr(thing, "__qualname__", None) or f"a {spoken(type(thing))}"
