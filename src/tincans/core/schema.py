"""Types as JSON Schema, for those who do not speak Python.

Rules of this file
- Several types at once, so that a class that two functions use is described once and meant by both ("$ref").
- A class that JSON has no word for still gets a schema: with its name as title and in "x-python-type".
- Never an exception: a type that cannot be described is {} (anything).
"""

from __future__ import annotations

import collections.abc as abc
import datetime
import inspect
from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec

from tincans.core.hints import STREAMS, is_union, rebuilt, spoken

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


class _Moment:
    """Stands in for datetime: msgspec names no format where the offset may be missing, but a reader wants one."""


class _Daytime:
    """Stands in for time."""


_STAND_INS: dict[Any, type] = {datetime.datetime: _Moment, datetime.time: _Daytime}
_FORMATS: dict[Any, str] = {_Moment: "date-time", _Daytime: "time"}


def schemas(annotations: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """The schema of each annotation, and the definitions that they refer to.

    >>> schemas([int, list[str]])
    ([{'type': 'integer'}, {'type': 'array', 'items': {'type': 'string'}}], {})
    """
    wanted = [_plain(annotation) for annotation in annotations]
    try:
        return _together(wanted, REFERENCE)
    except Exception:  # one of them cannot be described: all others still are
        members = [_members(each) for each in wanted]
    definitions: dict[str, Schema] = {}
    return [_either([_added(part, definitions) for part in parts]) for parts in members], definitions


def _together(annotations: list[Any], reference: str) -> tuple[list[Schema], dict[str, Schema]]:
    made, definitions = msgspec.json.schema_components(annotations, schema_hook=_foreign, ref_template=reference)
    return list(made), definitions


def _added(annotation: Any, definitions: dict[str, Schema]) -> Schema:
    """The schema of one more type, its definitions added to those of the others."""
    (made,), own = _together([annotation], REFERENCE)
    if any(definitions.get(name, schema) != schema for name, schema in own.items()):
        # Another class of the same name and place (both made by one function, say) is among them already.
        suffix = f"_{len(definitions)}"
        (made,), own = _together([annotation], REFERENCE + suffix)
        own = {name + suffix: schema for name, schema in own.items()}
    definitions.update(own)
    return made


def _members(annotation: Any) -> list[Any]:
    """What can be described of it: the whole, the members of a union that msgspec cannot tell apart, or Any."""
    if _is_describable(annotation):
        return [annotation]
    if is_union(annotation):
        return [part for member in get_args(annotation) for part in _members(member)]
    return [Any]


def _either(made: list[Schema]) -> Schema:
    return made[0] if len(made) == 1 else {"anyOf": made}


def _is_describable(annotation: Any) -> bool:
    try:
        _together([annotation], REFERENCE)
    except Exception:
        return False
    return True


def _plain(annotation: Any) -> Any:
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return Any
    try:
        return rebuilt(annotation, _in_json)
    except Exception:
        return Any


def _in_json(part: Any) -> Any:
    """Where Python says iterator, JSON has a list; and the number type of an array, which msgspec drops, is kept."""
    origin, inner = get_origin(part), get_args(part)
    if (origin or part) in _LISTS:
        return list[inner[0]] if inner else list  # type: ignore[valid-type]
    if part in _STAND_INS:
        return _STAND_INS[part]
    if origin is not None and origin.__name__ == "ndarray":
        return Annotated[origin, msgspec.Meta(extra_json_schema={"title": spoken(part)})]
    return part


def _foreign(annotation: Any) -> Schema:
    """msgspec's hook for the classes that it does not know."""
    cls = get_origin(annotation) or annotation
    if cls is object:
        return {}
    if cls in _FORMATS:
        return {"type": "string", "format": _FORMATS[cls]}
    name, module = getattr(cls, "__name__", str(cls)), getattr(cls, "__module__", "")
    module = module.split("._")[0]  # pathlib._local is where Python 3.13 keeps pathlib.Path
    schema = {"title": spoken(annotation), "x-python-type": f"{module}.{name}"}
    if module.partition(".")[0] == "numpy":
        schema |= _BY_NUMPY_KIND.get(name.rstrip("_0123456789"), {})
    return schema | _BY_NAME.get((module.partition(".")[0], name), {})
