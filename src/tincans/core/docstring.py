"""A docstring taken apart: the first sentence, and what it says about each parameter and the result.

Rules of this file
- The three habits are understood: Google (`Args:`), NumPy (`Parameters` underlined) and reST (`:param x:`).
- Nothing is ever wrong here: a docstring in no known habit is all description.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from tincans.core.hints import underlying

_PARAMETERS = frozenset({"args", "arguments", "parameters", "params", "other parameters", "keyword args"})
_RESULTS = frozenset({"returns", "return", "yields", "yield"})
_HEADING = re.compile(r"([A-Z][A-Za-z ]{1,30}):\s*")
_UNDERLINE = re.compile(r"-{3,}\s*")
_NAMES = r"(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)"
_GOOGLE_ITEM = re.compile(_NAMES + r"\s*(?:\([^)]*\))?\s*:\s*(?P<said>.*)")
_NUMPY_ITEM = re.compile(_NAMES + r"\s*(?::.*)?(?P<said>)")
_FIELD = re.compile(r":(\w+)\s*([^:]*):\s*(.*)")


class Docs(Struct, frozen=True):
    """`summary`: the first paragraph, in one line. `text`: all of it. `parameters`: name to what is said of it."""

    summary: str = ""
    text: str = ""
    parameters: dict[str, str] = {}
    result: str = ""


def docs_of(function: Callable[..., Any]) -> Docs:
    """The docs of a function, method, partial or callable object.

    >>> def add(a, b):
    ...     '''Add two numbers.
    ...
    ...     Args:
    ...         a: the first
    ...         b: the second
    ...     '''
    >>> docs = docs_of(add)
    >>> docs.summary, docs.parameters
    ('Add two numbers.', {'a': 'the first', 'b': 'the second'})
    """
    said = inspect.getdoc(function) if inspect.isroutine(function) or inspect.isclass(function) else None
    said = said or inspect.getdoc(underlying(function))
    if not said and not isinstance(function, functools.partial):  # a callable object
        said = inspect.getdoc(type(function)) if not inspect.isroutine(function) else None
    return parsed(said or "")


def parsed(text: str) -> Docs:
    """Take a cleaned docstring apart."""
    text = text.strip()
    lines = text.splitlines()
    parameters: dict[str, str] = {}
    results: list[str] = []
    for heading, body, item in _sections(lines):
        if heading in _PARAMETERS:
            parameters.update(_items(body, item))
        elif heading in _RESULTS:
            results += [line.strip() for line in body if line.strip()]
    results += _fields(lines, parameters)
    return Docs(_summary(lines), text, parameters, " ".join(results))


def _summary(lines: list[str]) -> str:
    first: list[str] = []
    for line in lines:
        if not line.strip() or line.lstrip().startswith((":param", ":return", ">>>")):
            break
        first.append(line.strip())
    return " ".join(first)


def _sections(lines: list[str]) -> Iterator[tuple[str, list[str], re.Pattern[str]]]:
    """Each section's heading in small letters, its lines, and what an item in it looks like."""
    heads: list[tuple[int, int, str, re.Pattern[str]]] = []
    for index, line in enumerate(lines):
        under = lines[index + 1] if index + 1 < len(lines) else ""
        if line and not line[0].isspace() and _UNDERLINE.fullmatch(under):
            heads.append((index, index + 2, line.strip().lower(), _NUMPY_ITEM))
        elif (found := _HEADING.fullmatch(line)) is not None:
            heads.append((index, index + 1, found.group(1).lower(), _GOOGLE_ITEM))
    ends = [*(head[0] for head in heads), len(lines)][1:]
    for (_, start, heading, item), end in zip(heads, ends, strict=True):
        yield heading, lines[start:end], item


def _items(body: list[str], pattern: re.Pattern[str]) -> dict[str, str]:
    """The parameters of one section: a name on the outer indent, what is said of it beside or below."""
    found: dict[str, list[str]] = {}
    filled = [line for line in body if line.strip()]
    outer = len(filled[0]) - len(filled[0].lstrip()) if filled else 0
    if outer == 0 and pattern is _GOOGLE_ITEM:
        return {}  # a paragraph, not a section
    names: list[str] = []
    for line in filled:
        indent, content = len(line) - len(line.lstrip()), line.strip()
        if indent < outer:
            break
        item = pattern.fullmatch(content) if indent == outer else None
        if item is None:
            for name in names:
                found[name].append(content)
            continue
        names = [name.strip().lstrip("*") for name in item["names"].split(",")]
        found.update({name: [item["said"]] if item["said"] else [] for name in names})
    return {name: " ".join(said) for name, said in found.items()}


def _fields(lines: list[str], parameters: dict[str, str]) -> list[str]:
    """Put the reST fields into `parameters`; the lines about the result."""
    results: list[str] = []
    put: Callable[[str], None] | None = None
    for line in lines:
        found = _FIELD.fullmatch(line.strip())
        if found is not None:
            put = _field_target(found.group(1), found.group(2), parameters, results)
            if put is not None:
                put(found.group(3))
        elif put is not None and line[:1].isspace() and line.strip():
            put(line.strip())
        else:
            put = None
    return results


def _field_target(
    kind: str, argument: str, parameters: dict[str, str], results: list[str]
) -> Callable[[str], None] | None:
    words = argument.split()
    if kind in {"param", "parameter", "arg", "argument", "key", "keyword"} and words:
        name = words[-1].lstrip("*")
        return lambda text: parameters.update({name: f"{parameters.get(name, '')} {text}".strip()})
    return results.append if kind in {"return", "returns", "yield", "yields"} else None
