"""Values made of values: lists, dicts, tuples, sets, records, and what is none of our kinds.

Rules of this file
- A list and a dict with plain keys stay as they are, down to the first thing that must be marked.
- Records (dataclass, Struct, attrs) travel as their fields and Enums as their value: the receiver's annotation
  brings the class back. No class is named on the wire.
- A key of a dict and an element of a set must have a hash on the other side too, so records cannot be one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from itertools import chain
from typing import Any

from msgspec import UNSET, ValidationError

from tincans.core.arrays import lower_buffer
from tincans.core.scalars import lower_function, lower_stream
from tincans.core.values import Code, Lowering, Rebuilding, elements

_LONGEST_KEY = 40


def lower_list(value: Any, low: Lowering) -> Any:
    if low.hashing:
        _refuse_as_key(value, low)
    if low.are_plain(value) or _are_rows(value, low):
        return value
    return low.each(value)


def _are_rows(value: Any, low: Lowering) -> bool:
    """Whether a list holds only flat plain dicts, or only flat plain lists: records, checked in one go."""
    kind = type(value[0])
    if kind is dict:
        return (
            _ROW.issuperset(map(type, value))
            and low.keys.issuperset(map(type, chain.from_iterable(value)))
            and not (low.form.tag and 1 in map(len, value))
            and low.are_plain([*chain.from_iterable(map(dict.values, value))])
        )
    return kind is list and _LIST.issuperset(map(type, value)) and low.are_plain([*chain.from_iterable(value)])


_ROW = frozenset({dict})
_LIST = frozenset({list})


def lower_sequence(value: Any, low: Lowering) -> Any:
    """A deque, or a view of a dict: it arrives as a list."""
    return lower_list(list(value), low)


def lower_tuple(value: tuple[Any, ...], low: Lowering) -> Any:
    return low.wrap(Code.TUPLE, value if low.are_plain(value) else low.each(value))


def rebuild_tuple(payload: Any, up: Rebuilding) -> tuple[Any, ...]:
    return tuple(elements(payload))


def lower_set(value: Any, low: Lowering) -> Any:
    code = Code.FROZENSET if isinstance(value, frozenset) else Code.SET
    if low.are_plain(value):
        return low.wrap(code, list(value))
    low.hashing += 1
    items = low.each(value)
    low.hashing -= 1
    return low.wrap(code, items)


def rebuild_set(payload: Any, up: Rebuilding) -> set[Any]:
    return set(elements(payload))


def rebuild_frozenset(payload: Any, up: Rebuilding) -> frozenset[Any]:
    return frozenset(elements(payload))


def lower_dict(value: Any, low: Lowering) -> Any:
    if low.hashing:
        _refuse_as_key(value, low)
    if not low.keys.issuperset(map(type, value)):
        return _lower_pairs(value, low)
    if low.form.tag and _looks_marked(value, low):
        return low.wrap(Code.DICT, [[*pair] for pair in low.fields(value, value, _item_step).items()])
    if low.are_plain(value.values()):
        return value
    return low.fields(value, value, _item_step)


def _lower_pairs(value: Any, low: Lowering) -> Any:
    """A dict whose keys must be looked at one by one."""
    low.hashing += 1
    keys = low.fields({key: key for key in value}, value, _key_step)
    low.hashing -= 1
    fields = low.fields(value, value, _item_step)
    form = low.form
    if all(keys[key] is key and type(key) in form.keys for key in value) and not _looks_marked(value, low):
        return fields
    return low.wrap(Code.DICT, [[keys[key], item] for key, item in fields.items()])


def rebuild_dict(payload: Any, up: Rebuilding) -> dict[Any, Any]:
    if not _LIST.issuperset(map(type, elements(payload))):  # dict() would take a text of two letters for a pair
        raise ValidationError("A marked dict does not consist of pairs.")
    return dict(payload)


def _looks_marked(value: Any, low: Lowering) -> bool:
    if len(value) != 1 or not low.form.tag:
        return False
    key = next(iter(value))
    return isinstance(key, str) and key.startswith(low.form.tag)


def lower_mapping(value: Mapping[Any, Any], low: Lowering) -> Any:
    """Any other mapping arrives as a dict."""
    return lower_dict(dict(value), low)


def lower_enum(value: Enum, low: Lowering) -> Any:
    return low.lower(value.value)


def lower_record(value: Any, low: Lowering) -> Any:
    """A dataclass or attrs object: its fields, by name."""
    if low.hashing:
        _refuse_as_key(value, low)
    fields = {name: getattr(value, name, UNSET) for name in _field_names(value.__class__)}
    return _unmarked(_present(fields, value, low), low)


def lower_struct(value: Any, low: Lowering) -> Any:
    """A msgspec Struct, in the form that its own configuration asks for."""
    if low.hashing:
        _refuse_as_key(value, low)
    fields = {name: getattr(value, name, UNSET) for name in value.__struct_fields__}
    if low.are_plain(fields.values()):
        return value
    config = value.__struct_config__
    tag = {} if config.tag is None else {config.tag_field: config.tag}
    if config.array_like:
        return [*tag.values(), *low.fields(fields, value, _field_step).values()]
    names = dict(zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True))
    return _unmarked({**tag, **{names[name]: item for name, item in _present(fields, value, low).items()}}, low)


def _present(fields: dict[str, Any], owner: Any, low: Lowering) -> dict[str, Any]:
    given = {name: item for name, item in fields.items() if item is not UNSET}
    return given if low.are_plain(given.values()) else low.fields(given, owner, _field_step)


def _unmarked(said: dict[str, Any], low: Lowering) -> Any:
    return low.wrap(Code.DICT, [[*pair] for pair in said.items()]) if _looks_marked(said, low) else said


@lru_cache(maxsize=512)
def _field_names(kind: type) -> tuple[str, ...]:
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields

        return tuple(field.name for field in fields(kind))
    return tuple(field.name for field in kind.__attrs_attrs__)  # type: ignore[attr-defined]


def lower_raw(value: Any, low: Lowering) -> Any:
    """msgspec.Raw: already in this wire's own bytes."""
    return value


def lower_other(value: Any, low: Lowering) -> Any:
    """What no table names: a buffer, a mapping, a stream, a function, or a refusal that says what to do."""
    kind = type(value)
    try:
        view = memoryview(value)
    except TypeError:
        view = None
    if view is not None:
        return lower_buffer(view, low)
    if isinstance(value, Mapping):
        return lower_mapping(value, low)
    if isinstance(value, type):
        return low.refuse("a class does not travel. Send its name, or a function that makes one")
    if hasattr(kind, "fileno"):
        return low.refuse(f"{_name(kind)} is an open file or socket of this program. Send what it holds, or its path")
    if hasattr(kind, "__next__") or hasattr(kind, "__anext__"):
        return lower_stream(value, low)
    if callable(value):
        return lower_function(value, low)
    return low.refuse(_advice(kind))


def _advice(kind: type) -> str:
    name = _name(kind)
    if hasattr(kind, "__await__"):
        return f"{name} is a result still to come. Await it, and send what it gives"
    if hasattr(kind, "__array__"):
        return f"{name} is no value of ours. Send numpy.asarray(...) of it"
    if hasattr(kind, "__iter__"):
        return f"{name} is no value of ours. Send list(...) of it, or iter(...) of it as a stream"
    return (
        f"{name} is no value of ours. Make it a dataclass or a msgspec.Struct, send a dict of what matters, "
        "or expose its methods as functions"
    )


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _refuse_as_key(value: Any, low: Lowering) -> None:
    low.refuse(f"{_name(type(value))} would arrive as a dict or list, which cannot be a key or in a set")


def _item_step(key: Any) -> str:
    if isinstance(key, str):
        return f"[{key!r}]" if len(key) <= _LONGEST_KEY else f"[{key[:_LONGEST_KEY]!r}...]"
    if key is None or isinstance(key, bool | float):
        return f"[{key!r}]"
    if isinstance(key, int) and key.bit_length() < 64:
        return f"[{key!r}]"
    return f"[<a {type(key).__name__}>]"


def _key_step(key: Any) -> str:
    return f".key{_item_step(key)}"


def _field_step(key: Any) -> str:
    return f".{key}"
