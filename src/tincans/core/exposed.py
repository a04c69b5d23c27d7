"""One function that others may call: what is known of it, and its arguments out of a request.

Rules of this file
- The function is looked at once, when it is exposed; a call finds everything ready.
- Nothing is called here; whoever calls decides on which thread.
- Whatever a stranger sends as arguments, only our own errors come out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import MsgspecError

from tincans.contracts import Reader, References, Wire
from tincans.core.binding import Arguments, Misfit, Parameters, bound
from tincans.core.hints import returned
from tincans.core.interface import Function, describe
from tincans.core.messages import Request
from tincans.core.refusal import refusal
from tincans.core.signature import EMPTY, is_async, is_generator, signature_of, text_of
from tincans.errors import ArgumentError, TincansError

_UNREADABLE = (MsgspecError, Misfit, ValueError, TypeError, OverflowError, RecursionError)


class Exposed:
    """One function that others may call.

    `is_async`: a call gives an awaitable. `streams`: it gives a generator; a plain function may still return one,
    so look at the result too. `idempotent`: it may be repeated. `safe`: it changes nothing. `plain`: what a
    call with plain values must look like (core/binding.py). `slow`: for how many more calls it counts as one that runs
    long; set by who calls it.

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
        "plain",
        "result_type",
        "safe",
        "signature",
        "slow",
        "streams",
    )

    def __init__(
        self, function: Callable[..., Any], *, name: str | None = None, idempotent: bool = False, safe: bool = False
    ) -> None:
        self.name = name_of(function) if name is None else name
        self.function = function
        self.signature = signature_of(function)
        self.is_async = is_async(function)
        self.result_type, certain = returned(EMPTY if self.signature is None else self.signature.return_annotation)
        if self.result_type is EMPTY:
            self.result_type = Any
        self.streams = certain or is_generator(function)
        self.idempotent = idempotent or safe
        self.safe = safe
        self.slow = 0
        self._parameters = Parameters(self.signature)
        self.plain = self._parameters.plain
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
        # A reader that knows one connection's references is used once; one that knows none is kept.
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
            return self._parameters.all_positional.reader(wire, references)
        read = self._positional.get(wire)
        if read is None:
            read = self._positional[wire] = self._parameters.all_positional.reader(wire, None)
        return read

    def _readers(self, wire: Wire, references: References | None) -> tuple[Reader, Reader]:
        both = self._general.get(wire) if references is None else None
        if both is None:
            shapes = self._parameters
            both = shapes.some_positional.reader(wire, references), shapes.some_named.reader(wire, references)
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


def name_of(function: Callable[..., Any]) -> str:
    """The name that a function was defined with, "" when it has none."""
    while not hasattr(function, "__name__") and hasattr(function, "func"):
        function = function.func  # a functools.partial
    return getattr(function, "__name__", "")
