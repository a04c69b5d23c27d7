"""Tables: Arrow tables and arrays, pandas and polars frames and series, as one Arrow IPC stream.

Rules of this file
- No library is imported to send: a frame can only come from a program that has it. To rebuild one, its own
  library and pyarrow are imported, or MissingLibraryError says what to install.
- Arrow carries no pickles: pyarrow older than 15 could be made to run code by a file, so it is refused.
- What a stranger sent is read by pyarrow and checked in full before it is handed out: Arrow itself trusts offsets
  inside its buffers, and polars' own reader ends the whole program over a damaged stream.
- What is large is written straight into memory that is passed on, where the link has such: one copy in all. An Arrow
  table that came in such memory never changes, so it is passed on as it came, without any.
- Compressed data and rows out of nothing are refused: a small message must not turn into gigabytes.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from struct import unpack_from
from typing import Any, Final

from msgspec import ValidationError

from tincans.core.values import Code, Lowering, Rebuilding, expect
from tincans.errors import MissingLibraryError

_OLDEST_ARROW = 15
"""CVE-2023-47248: 14.0.1 was the first to refuse pickles inside Arrow data."""

_FREE_ROWS = 1_000_000
"""Rows that may come without data (columns of nothing but null); above, each needs at least one bit."""

_COLUMN = "column"

_LARGE = 1024 * 1024
"""Bytes of a frame from which not copying it matters more than how its columns are arranged."""


class KnownTables:
    """Arrow tables that look into a received stream, and that stream: what never changes need not be written again."""

    def __init__(self) -> None:
        self._streams: dict[int, tuple[weakref.ref[Any], str, memoryview]] = {}

    def add(self, kind: str, table: Any, stream: Any) -> Any:
        """Remember a table as long as it lives, when its stream is memory that can be passed on. The table itself."""
        if type(stream) is memoryview and stream.nbytes >= _LARGE:
            number = id(table)
            self._streams[number] = (weakref.ref(table, lambda _: self._streams.pop(number, None)), kind, stream)
        return table

    def find(self, table: Any) -> tuple[str, memoryview] | None:
        """Kind and stream of this very table."""
        known = self._streams.get(id(table))
        return known[1:] if known is not None and known[0]() is table else None


KNOWN: Final = KnownTables()
"""The tables of this program."""


def lower_arrow(value: Any, low: Lowering) -> Any:
    """A pyarrow Table, RecordBatch, Array or ChunkedArray."""
    known = KNOWN.find(value)
    if known is not None:
        return low.wrap(Code.TABLE, [known[0], low.lower(None), low.data(known[1])])
    arrow = sys.modules["pyarrow"]
    if isinstance(value, arrow.Table):
        return _lower_stream("table", value, low)
    if isinstance(value, arrow.RecordBatch):
        return _lower_stream("batch", arrow.Table.from_batches([value]), low)
    kind = "chunked" if isinstance(value, arrow.ChunkedArray) else "array"
    return _lower_stream(kind, arrow.table({_COLUMN: value}), low)


def lower_pandas(value: Any, low: Lowering) -> Any:
    """A pandas DataFrame or Series, with its index."""
    arrow = _find("pyarrow", "a pandas frame travels as Arrow data")
    _check_age(arrow)
    kind = "pandas" if hasattr(value, "columns") else "series"
    try:
        named = value if kind == "pandas" else value.to_frame(_COLUMN)
        table = arrow.Table.from_pandas(named)
    except Exception as error:
        reason = " ".join(map(str, error.args))
        low.refuse(f"pandas cannot say it as Arrow data ({reason}). Give its columns one simple type each")
    return _lower_stream(kind, table, low, None if kind == "pandas" else value.name)


def _lower_stream(kind: str, table: Any, low: Lowering, name: Any = None) -> Any:
    arrow = sys.modules["pyarrow"]
    _check_age(arrow)
    data = written(arrow, table, getattr(low.references, "room", None))
    return low.wrap(Code.TABLE, [kind, low.lower(name), low.data(data)])


def written(arrow: Any, table: Any, room: Callable[[int], memoryview | None] | None) -> memoryview:
    """A table as an IPC stream, in memory from `room` when there is some for it."""
    target = None
    if room is not None:
        scale = arrow.MockOutputStream()
        _write(arrow, table, scale)
        target = room(scale.size())
    if target is None:
        sink = arrow.BufferOutputStream()
        _write(arrow, table, sink)
        return memoryview(sink.getvalue())
    _write(arrow, table, arrow.FixedSizeBufferWriter(arrow.py_buffer(target)))
    return target


def _write(arrow: Any, table: Any, sink: Any) -> None:
    with arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def lower_polars(value: Any, low: Lowering) -> Any:
    """A polars DataFrame or Series."""
    if not hasattr(value, "columns"):
        return _lower_polars("polars_series", value.to_frame(_COLUMN), low, value.name)
    return _lower_polars("polars", value, low)


def _lower_polars(kind: str, frame: Any, low: Lowering, name: Any = None) -> Any:
    kinds = " ".join(map(str, frame.dtypes))
    if "Object" in kinds or "Int128" in kinds:  # polars would write addresses; Arrow has no integers of 128 bits
        low.refuse("polars columns of Python objects or 128 bit integers cannot travel. Cast them to a simpler type")
    if getattr(low.references, "room", None) is not None and frame.estimated_size() >= _LARGE and _is_simple(kinds):
        _find("pyarrow", "a large polars frame travels as Arrow data")
        newest = sys.modules["polars"].CompatLevel.newest()
        return _lower_stream(kind, frame.to_arrow(compat_level=newest), low, name)
    sink = BytesIO()
    try:
        frame.write_ipc_stream(sink)
    except BaseException as error:  # a Rust panic is a BaseException
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        low.refuse(f"polars cannot say it as Arrow data ({error}). Give its columns one simple type each")
    return low.wrap(Code.TABLE, [kind, low.lower(name), low.data(sink.getbuffer())])


def rebuild_table(payload: Any, up: Rebuilding) -> Any:
    """A table of any of these kinds."""
    kind, name, place = expect(payload, str, object, object)
    data = up.data(place)
    _refuse_compressed(data)
    table = _read_arrow(data)
    if kind == "polars":
        return _to_polars(table)
    if kind == "polars_series":
        return _only_column(_to_polars(table).get_columns()).alias(name)
    if kind == "table":
        return KNOWN.add(kind, table, data)
    if kind == "pandas":
        return _to_pandas(table)
    if kind == "series":
        frame = _to_pandas(table)
        return _only_column([frame[column] for column in frame.columns]).rename(name)
    if kind == "batch":
        return KNOWN.add(kind, _only_batch(table), data)
    column = _only_column(table.columns)
    if kind == "chunked":
        return KNOWN.add(kind, column, data)
    if kind == "array":
        return KNOWN.add(kind, column.combine_chunks() if column.num_chunks != 1 else column.chunk(0), data)
    raise ValidationError(f"A table of the unknown kind {kind[:40]!r}.")


def look_at_table(payload: Any, up: Rebuilding) -> None:
    """Whether it could be one; whoever wants the table itself checks it in full."""
    _kind, _name, place = expect(payload, str, object, object)
    up.data(place)


def _read_arrow(data: Any) -> Any:
    arrow = _find("pyarrow", "the other program sent Arrow data")
    _check_age(arrow)
    with arrow.ipc.open_stream(arrow.py_buffer(data)) as reader:
        table = reader.read_all()
    if table.num_rows > max(_FREE_ROWS, 8 * len(data)):
        raise ValidationError(f"A table of {table.num_rows} rows in {len(data)} bytes is refused.")
    table.validate(full=True)
    return table


def _refuse_compressed(data: Any) -> None:
    """Walk over the messages of an Arrow IPC stream (flatbuffers); ValidationError when one is compressed.

    The layout is the Arrow columnar format's "Encapsulated message format" and its Message.fbs.
    """
    view, place = memoryview(data).cast("B"), 0
    while place < len(view):
        marker, size = unpack_from("<Ii", view, place)
        if marker != 0xFFFFFFFF or size < 0:
            raise ValidationError("The Arrow data does not consist of messages.")
        if size == 0:
            return
        head = view[place + 8 : place + 8 + size]
        message = unpack_from("<I", head, 0)[0]
        kind, batch = head[_field(head, message, 1)], _table(head, message, 2)
        if kind == _DICTIONARY:
            batch = _table(head, batch, 1)
        elif kind not in (_SCHEMA, _BATCH):
            raise ValidationError("The Arrow data holds what is no table.")
        if kind != _SCHEMA and _field(head, batch, 3):
            raise ValidationError("Compressed Arrow data is refused.")
        length = _field(head, message, 3)
        body = unpack_from("<q", head, length)[0] if length else 0
        if body < 0:
            raise ValidationError("The Arrow data has a message of negative size.")
        place += 8 + size + body


_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3


def _field(head: memoryview, table: int, number: int) -> int:
    """Where a field of a flatbuffers table stands; 0 when the table has none."""
    slots = table - unpack_from("<i", head, table)[0]
    slot = 4 + 2 * number
    if slots < 0 or slot >= unpack_from("<H", head, slots)[0]:
        return 0
    distance: int = unpack_from("<H", head, slots + slot)[0]
    return table + distance if distance else 0


def _table(head: memoryview, table: int, number: int) -> int:
    """Where the table in a field stands."""
    place = _field(head, table, number)
    target: int = place + unpack_from("<I", head, place)[0]
    return target


def _to_pandas(table: Any) -> Any:
    _find("pandas", "the other program sent a pandas frame")
    return table.to_pandas(split_blocks=table.nbytes >= _LARGE)  # its columns then stay where they are


def _only_batch(table: Any) -> Any:
    batches = table.combine_chunks().to_batches()
    if len(batches) > 1:
        raise ValidationError("A batch of a table has more than one piece.")
    return batches[0] if batches else sys.modules["pyarrow"].RecordBatch.from_pylist([], schema=table.schema)


def _to_polars(table: Any) -> Any:
    polars = _find("polars", "the other program sent a polars frame")
    try:
        return polars.from_arrow(table)
    except BaseException as error:  # a Rust panic is a BaseException
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise ValidationError(f"The polars frame cannot be made: {error}") from None


def _only_column(columns: list[Any]) -> Any:
    if len(columns) != 1:
        raise ValidationError(f"A series has {len(columns)} columns.")
    return columns[0]


_COMPLICATED = ("Enum", "Categorical", "Decimal", "Null", "128", "Unknown")


def _is_simple(kinds: str) -> bool:
    """Whether polars and Arrow mean exactly the same by these column types."""
    return not any(word in kinds for word in _COMPLICATED)


def _find(library: str, reason: str) -> Any:
    try:
        return import_module(library)
    except ImportError:
        raise MissingLibraryError(
            f"{library} is not installed here, and {reason}. Run: pip install {library}"
        ) from None


def _check_age(arrow: Any) -> None:
    version = str(arrow.__version__)
    if int(version.partition(".")[0]) < _OLDEST_ARROW:
        raise MissingLibraryError(
            f"pyarrow {version} is too old to be safe with data of others. Run: pip install 'pyarrow>={_OLDEST_ARROW}'"
        )
