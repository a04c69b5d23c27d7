"""The signature of anything that can be called: a function, method, partial, class, callable object, C function.

Rules of this file
- Nothing is called, only looked at.
- The parameters are those of `inspect`, with their annotations resolved; None stands for a C function that tells
  nothing about its parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Union

from tincans.core.hints import resolved, spoken

EMPTY = inspect.Parameter.empty
Kind = inspect.Parameter
LONGEST_DEFAULT = 40
"""Characters; a longer default is shown as "..."."""
_STARS: dict[Any, str] = {Kind.VAR_POSITIONAL: "*", Kind.VAR_KEYWORD: "**"}


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature with its annotations resolved, None when the function keeps it to itself.

    >>> def add(a: "int", b: int = 1) -> "int": ...
    >>> signature_of(add)
    <Signature (a: int, b: int = 1) -> int>
    """
    try:
        raw = inspect.signature(function)
        hints = resolved(function)
    except Exception:  # a C function that tells nothing, or an object that pretends to be everything
        return None
    parameters = [_resolved(parameter, hints) for parameter in raw.parameters.values()]
    result = function if inspect.isclass(function) else hints.get("return", EMPTY)
    return raw.replace(parameters=parameters, return_annotation=result)


def _resolved(parameter: inspect.Parameter, hints: dict[str, Any]) -> inspect.Parameter:
    annotation = hints.get(parameter.name, EMPTY)
    if parameter.default is None and annotation is not EMPTY and not isinstance(annotation, str):
        try:  # `x: int = None` says that None is welcome, though the type does not
            annotation = Union[annotation, None]  # noqa: UP007
        except TypeError:
            annotation = EMPTY
    return parameter.replace(annotation=annotation)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call certainly gives an awaitable.

    >>> async def later(): ...
    >>> is_async(later), is_async(len)
    (True, False)
    """
    return any(map(inspect.iscoroutinefunction, (function, getattr(function, "__call__", None))))  # noqa: B004


def is_generator(function: Callable[..., Any]) -> bool:
    """Whether a call certainly gives a generator, plain or async.

    >>> def numbers(): yield 1
    >>> is_generator(numbers), is_generator(len)
    (True, False)
    """
    both = (function, getattr(function, "__call__", None))  # noqa: B004
    return any(map(inspect.isgeneratorfunction, both)) or any(map(inspect.isasyncgenfunction, both))


def text_of(name: str, signature: inspect.Signature | None) -> str:
    """The signature as a person writes it.

    >>> def add(a: int, /, *rest: int, scale: float = 1.0) -> int: ...
    >>> text_of("add", signature_of(add))
    'add(a: int, /, *rest: int, scale: float = 1.0) -> int'
    """
    if signature is None:
        return f"{name}(...)"
    words: list[str] = []
    before: Any = None
    for parameter in signature.parameters.values():
        if before is Kind.POSITIONAL_ONLY and parameter.kind is not Kind.POSITIONAL_ONLY:
            words.append("/")
        if parameter.kind is Kind.KEYWORD_ONLY and before not in (Kind.KEYWORD_ONLY, Kind.VAR_POSITIONAL):
            words.append("*")
        words.append(_parameter_text(parameter))
        before = parameter.kind
    if before is Kind.POSITIONAL_ONLY:
        words.append("/")
    result = signature.return_annotation
    arrow = "" if result is EMPTY else f" -> {spoken(result)}"
    return f"{name}({', '.join(words)}){arrow}"


def _parameter_text(parameter: inspect.Parameter) -> str:
    text, equals = _STARS.get(parameter.kind, "") + parameter.name, "="
    if parameter.annotation is not EMPTY:
        text, equals = f"{text}: {spoken(parameter.annotation)}", " = "
    return text if parameter.default is EMPTY else text + equals + default_text(parameter.default)


def default_text(default: Any) -> str:
    """A default as source text; "..." when it is long, or says only where it lies in memory.

    >>> default_text("x"), default_text(object())
    ("'x'", '...')
    """
    try:
        text = repr(default)
    except Exception:
        return "..."
    return "..." if len(text) > LONGEST_DEFAULT or text.startswith("<") or "\n" in text else text
