"""Types as JSON Schema, for those who do not speak Python.

Rules of this file
- Several types at once, so that a class that two functions use is described once and meant by both ("$ref").
- A class that JSON has no word for still gets a schema: with its name as title and in "x-python-type".
- Never an exception: a type that cannot be described is {} (anything).
"""

from __future__ import annotations

import collections.abc as abc
import inspect
from collections.abc import Sequence
from typing import Any, get_args, get_origin

import msgspec

from tincans.core.hints import STREAMS, rebuilt, spoken

Schema = dict[str, Any]
REFERENCE = "#/definitions/{name}"
_LISTS: frozenset[Any] = STREAMS | {abc.Iterable}
_NUMBER: Schema = {"type": "number"}
_BY_NAME: dict[tuple[str, str], Schema] = {
    ("pathlib", "Path"): {"type": "string", "format": "path"},
    ("pathlib", "PurePath"): {"type": "string", "format": "path"},
    ("fractions", "Fraction"): {"anyOf": [{"type": "integer"}, {"type": "string", "format": "fraction"}]},
    ("builtins", "complex"): {"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}]},
    ("builtins", "range"): {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
    ("numpy", "ndarray"): {"type": "array"},
}
"""The plain form that each takes in JSON, as core/annotations.py reads it."""
_BY_NUMPY_KIND: dict[str, Schema] = {
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "uint": {"type": "integer"},
    "float": _NUMBER,
}


def schemas(annotations: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """The schema of each annotation, and the definitions that they refer to.

    >>> schemas([int, list[str]])
    ([{'type': 'integer'}, {'type': 'array', 'items': {'type': 'string'}}], {})
    """
    wanted = [_plain(annotation) for annotation in annotations]
    try:
        return _together(wanted)
    except Exception:  # one of them cannot be described: all others still are
        described = [each if _is_describable(each) else Any for each in wanted]
    try:
        return _together(described)
    except Exception:
        return [{} for _ in wanted], {}


def _together(annotations: list[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    made, definitions = msgspec.json.schema_components(annotations, schema_hook=_foreign, ref_template=REFERENCE)
    return list(made), definitions


def _is_describable(annotation: Any) -> bool:
    try:
        _together([annotation])
    except Exception:
        return False
    return True


def _plain(annotation: Any) -> Any:
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return Any
    try:
        return rebuilt(annotation, _list_for_stream)
    except Exception:
        return Any


def _list_for_stream(part: Any) -> Any:
    """Where Python says iterator, JSON has a list."""
    if (get_origin(part) or part) not in _LISTS:
        return part
    items = get_args(part)
    return list[items[0]] if items else list  # type: ignore[valid-type]


def _foreign(annotation: Any) -> Schema:
    """msgspec's hook for the classes that it does not know."""
    cls = get_origin(annotation) or annotation
    if cls is object:
        return {}
    name, module = getattr(cls, "__name__", str(cls)), getattr(cls, "__module__", "")
    schema = {"title": spoken(annotation), "x-python-type": f"{module}.{name}"}
    if module.partition(".")[0] == "numpy":
        schema |= _BY_NUMPY_KIND.get(name.rstrip("_0123456789"), {})
    return schema | _BY_NAME.get((module.partition(".")[0], name), {})
