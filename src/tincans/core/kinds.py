"""Which function lowers a type, and which rebuilds a code: the two tables.

Rules of this file
- A type is found by walking its base classes, nearest first, so a subclass travels as what it extends.
- Types of libraries stand here by name, so that none of them is imported before the user does. The names
  are only ever compared with classes of values that are being sent; nothing from a wire is looked up.
"""

from __future__ import annotations

from collections import deque
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from types import NoneType
from typing import Any
from uuid import UUID

from msgspec import Raw, Struct

from tincans.core import arrays, carried, containers, scalars, tables, tensors
from tincans.core.values import Code, Lower, Rebuild

BY_TYPE: dict[type, Lower] = {
    NoneType: scalars.lower_plain,
    bool: scalars.lower_plain,
    int: scalars.lower_int,
    float: scalars.lower_float,
    complex: scalars.lower_complex,
    str: scalars.lower_text,
    bytes: scalars.lower_bytes,
    bytearray: scalars.lower_bytearray,
    memoryview: arrays.lower_buffer,
    list: containers.lower_list,
    dict: containers.lower_dict,
    tuple: containers.lower_tuple,
    set: containers.lower_set,
    frozenset: containers.lower_set,
    deque: containers.lower_sequence,
    type({}.keys()): containers.lower_sequence,
    type({}.values()): containers.lower_sequence,
    type({}.items()): containers.lower_sequence,
    datetime: scalars.lower_datetime,
    date: scalars.lower_date,
    time: scalars.lower_time,
    timedelta: scalars.lower_timedelta,
    Decimal: scalars.lower_decimal,
    UUID: scalars.lower_uuid,
    range: scalars.lower_range,
    slice: scalars.lower_slice,
    Enum: containers.lower_enum,
    Struct: containers.lower_struct,
    Raw: containers.lower_raw,
    carried.Carried: carried.lower_carried,
}

_BY_NAME: dict[tuple[str, str], Lower] = {
    ("fractions", "Fraction"): scalars.lower_fraction,
    ("pathlib", "PurePath"): scalars.lower_path,
    ("numpy", "ndarray"): arrays.lower_array,
    ("numpy", "generic"): arrays.lower_scalar,
    ("numpy", "str_"): arrays.lower_numpy_text,
    ("numpy", "bytes_"): arrays.lower_numpy_bytes,
    ("pyarrow", "Table"): tables.lower_arrow,
    ("pyarrow", "RecordBatch"): tables.lower_arrow,
    ("pyarrow", "Array"): tables.lower_arrow,
    ("pyarrow", "ChunkedArray"): tables.lower_arrow,
    ("pandas", "DataFrame"): tables.lower_pandas,
    ("pandas", "Series"): tables.lower_pandas,
    ("polars", "DataFrame"): tables.lower_polars,
    ("polars", "Series"): tables.lower_polars,
}

REBUILDERS: dict[int, Rebuild] = {
    Code.TUPLE: containers.rebuild_tuple,
    Code.SET: containers.rebuild_set,
    Code.FROZENSET: containers.rebuild_frozenset,
    Code.DICT: containers.rebuild_dict,
    Code.INT: scalars.rebuild_int,
    Code.FLOAT: scalars.rebuild_float,
    Code.COMPLEX: scalars.rebuild_complex,
    Code.TEXT: scalars.rebuild_text,
    Code.BYTES: scalars.rebuild_bytes,
    Code.BYTEARRAY: scalars.rebuild_bytearray,
    Code.DATETIME: scalars.rebuild_datetime,
    Code.DATE: scalars.rebuild_date,
    Code.TIME: scalars.rebuild_time,
    Code.TIMEDELTA: scalars.rebuild_timedelta,
    Code.DECIMAL: scalars.rebuild_decimal,
    Code.FRACTION: scalars.rebuild_fraction,
    Code.UUID: scalars.rebuild_uuid,
    Code.PATH: scalars.rebuild_path,
    Code.RANGE: scalars.rebuild_range,
    Code.SLICE: scalars.rebuild_slice,
    Code.BUFFER: arrays.rebuild_buffer,
    Code.ARRAY: arrays.rebuild_array,
    Code.SCALAR: arrays.rebuild_scalar,
    Code.TABLE: tables.rebuild_table,
    Code.FUNCTION: scalars.rebuild_function,
    Code.STREAM: scalars.rebuild_stream,
    Code.TENSOR: tensors.rebuild_tensor,
}

LOOKERS: dict[int, Rebuild] = {**REBUILDERS, Code.TABLE: tables.look_at_table, Code.TENSOR: tensors.look_at_tensor}
"""For who passes a value on and need not have its libraries: the same checks, but no tables and tensors are made."""


@lru_cache(maxsize=1024)
def handler(kind: type) -> Lower:
    """What lowers values of this type; for one that nobody knows, what looks at the value and may refuse it."""
    if hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__attrs_attrs__"):
        return containers.lower_record
    for parent in kind.__mro__:
        found: Any = BY_TYPE.get(parent) or _BY_NAME.get((parent.__module__.partition(".")[0], parent.__qualname__))
        if found is not None:
            return found  # type: ignore[no-any-return]
    if hasattr(kind, "__dlpack__") and hasattr(kind, "__dlpack_device__"):
        return tensors.lower_tensor
    return containers.lower_other
