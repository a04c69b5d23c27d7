"""Arrow tables, pandas and polars frames travel whole; what is no honest table is refused.

Rules of this file
- Needs pyarrow, pandas and polars (extra `test`).
"""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from value_trips import trip

from tincans.contracts import Wire
from tincans.core.messages import Reply
from tincans.core.values import LARGE, Code
from tincans.errors import MissingLibraryError, UnsendableError
from tincans.wires.json import WIRE as JSON
from tincans.wires.native import WIRE as NATIVE

TABLE = pa.table({"a": [1, 2, None], "s": ["x", "y", None], "d": pa.array(["p", "q", "p"]).dictionary_encode()})
FRAME = pd.DataFrame(
    {"a": [1, 2], "t": pd.to_datetime(["2024-01-01", "2024-01-02"]), "c": pd.Categorical(["x", "y"])}, index=["r", "s"]
)
TABLES = [
    TABLE,
    TABLE.slice(0, 0),
    TABLE.to_batches()[0],
    TABLE.to_batches()[0].slice(0, 0),
    TABLE.column("a"),
    pa.array([1, 2]),
    pa.array([], pa.int64()),
    pa.chunked_array([[1], [2]]),
    FRAME,
    pd.DataFrame({("a", "b"): [1.5], ("a", "c"): [2]}),
    FRAME["a"],
    pd.Series([1, 2]),
    pd.Series([1], name=("x", 1)),
    pd.DataFrame(),
    pd.DataFrame({1: [2]}),
    pd.DataFrame({"x": range(5000)}),
    pl.DataFrame({"a": [1, 2], "s": ["x", None]}),
    pl.DataFrame(),
    pl.Series("q", [1.5, None]),
    pl.Series([1]),
    pl.DataFrame({"x": range(5000)}),
]


@pytest.fixture(params=[NATIVE, JSON], ids=lambda wire: wire.name)
def wire(request: pytest.FixtureRequest) -> Wire:
    chosen: Wire = request.param
    return chosen


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{type(table).__module__}.{type(table).__name__}")
def test_a_table_arrives_unchanged(wire: Wire, table: Any) -> None:
    arrived = trip(wire, {"t": [table]})["t"][0]
    assert type(arrived) is type(table) and arrived.equals(table)
    assert getattr(arrived, "name", None) == getattr(table, "name", None)


def test_a_table_arrives_where_it_is_annotated(wire: Wire) -> None:
    assert trip(wire, FRAME, pd.DataFrame).equals(FRAME)
    with pytest.raises(msgspec.ValidationError, match="Expected `DataFrame`, got `Table`"):
        trip(wire, TABLE, pd.DataFrame)


def test_a_large_table_is_received_without_a_copy() -> None:
    envelope, part = NATIVE.encode(Reply(1, pa.table({"x": np.arange(LARGE)})))
    memory = np.frombuffer(bytes(part), "u1")
    message: Any = NATIVE.decode([envelope, memoryview(memory.data)])
    arrived = NATIVE.reader(Any)(message.value, message)
    assert np.shares_memory(arrived.column("x").chunk(0).to_numpy(), memory)


@pytest.mark.parametrize(
    ("table", "advice"),
    [
        (pd.DataFrame({"a": [1, "x", object()]}), "one simple type each"),
        (pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}), "Cast them"),
        (pl.DataFrame({"o": pl.Series([[1]], dtype=pl.List(pl.Int128))}), "Cast them"),
        (pd.Timestamp("2024-01-01T00:00:00.000000001"), "isoformat"),
        (pd.NaT, "isoformat"),
        (pd.Timedelta("1ns"), "timedelta64"),
        (pd.Index([1]), "numpy.asarray"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_arrow_cannot_say_is_refused(wire: Wire, table: Any, advice: str) -> None:
    with pytest.raises(UnsendableError, match=rf"^result\['t'\] cannot be sent: (.|\n)*{advice}"):
        wire.encode(Reply(1, {"t": table}))


def forged(kind: Any, data: bytes, name: Any = None) -> Any:
    mark = msgspec.msgpack.Ext(Code.TABLE.value, msgspec.msgpack.encode([kind, name, data]))
    message: Any = NATIVE.decode([msgspec.msgpack.encode([2, 1, mark, True])])
    return NATIVE.reader(Any)(message.value, message)


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def test_an_honest_stream_is_read() -> None:
    assert forged("table", stream(TABLE)).equals(TABLE)


@pytest.mark.parametrize("kind", ["table", "pandas", "polars"])
def test_compressed_data_is_refused_before_it_is_unpacked(kind: str) -> None:
    for compression in ("lz4", "zstd"):
        with pytest.raises(msgspec.ValidationError, match="Compressed"):
            forged(kind, stream(pa.table({"x": [0] * 100_000}), compression=compression))


def test_a_compressed_dictionary_is_refused() -> None:
    table = pa.table({"d": pa.array(["x" * 1000, "y"] * 2).dictionary_encode()})
    with pytest.raises(msgspec.ValidationError, match="Compressed"):
        forged("table", stream(table, compression="zstd"))


@pytest.mark.parametrize("kind", ["table", "pandas", "polars"])
def test_rows_out_of_nothing_are_refused(kind: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="rows in"):
        forged(kind, stream(pa.table({"n": pa.nulls(50_000_000)})))


def test_an_offset_that_points_outside_is_refused() -> None:
    data = bytearray(stream(pa.table({"s": ["abcd", "efgh"]})))
    place = data.rindex((8).to_bytes(4, "little"))
    data[place : place + 4] = (2**30).to_bytes(4, "little")
    with pytest.raises(msgspec.ValidationError):
        forged("table", bytes(data))


@pytest.mark.parametrize("kind", ["table", "pandas", "polars", "series", "spam", 5, "batch", "array", "polars_series"])
@pytest.mark.parametrize(
    "data", [b"", b"x" * 64, stream(TABLE)[:-200], stream(TABLE)[:40], b"\xff\xff\xff\xff\xff\xff\xff\x7f"]
)
def test_what_is_no_table_is_a_validation_error(kind: Any, data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        forged(kind, data)


def test_a_series_has_one_column() -> None:
    for kind in ("series", "array", "chunked", "polars_series"):
        with pytest.raises(msgspec.ValidationError):
            forged(kind, stream(TABLE))


def test_a_polars_table_written_by_arrow_is_read() -> None:
    assert forged("polars", stream(pa.table({"a": [1]}))).equals(pl.DataFrame({"a": [1]}))


@pytest.mark.parametrize("kind", ["pyarrow", "pandas", "polars"])
def test_a_missing_library_is_named_with_the_command(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = stream(TABLE)
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(MissingLibraryError, match=f"pip install {kind}"):
        forged({"pyarrow": "table"}.get(kind, kind), data)


def test_an_arrow_that_could_be_made_to_run_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = stream(TABLE)
    monkeypatch.setattr(pa, "__version__", "14.0.0")
    with pytest.raises(MissingLibraryError, match="too old"):
        forged("table", data)
    with pytest.raises(MissingLibraryError, match="too old"):
        NATIVE.encode(Reply(1, TABLE))


def test_a_polars_frame_is_sent_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert NATIVE.encode(Reply(1, pl.DataFrame({"a": [1, 2]})))


def test_the_column_types_of_polars_are_kept(wire: Wire) -> None:
    frame = pl.DataFrame(
        {
            "category": pl.Series(["a", "b"], dtype=pl.Categorical),
            "enum": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])),
            "decimal": pl.Series([1, 2]).cast(pl.Decimal(10, 2)),
            "time": [time(1), None],
            "length": [timedelta(1), timedelta(2)],
            "moment": [datetime(2024, 1, 1, tzinfo=UTC)] * 2,
            "lists": [[1], []],
            "structs": [{"x": 1}] * 2,
            "pairs": pl.Series([[1, 2]] * 2, dtype=pl.Array(pl.Int8, 2)),
            "bytes": [b"x", None],
            "nothing": [None, None],
        }
    )
    arrived = trip(wire, frame)
    assert arrived.schema == frame.schema and arrived.equals(frame)


def test_a_missing_numpy_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = NATIVE.encode(Reply(1, np.arange(3)))
    message: Any = NATIVE.decode(parts)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingLibraryError, match="pip install numpy"):
        NATIVE.reader(Any)(message.value, message)


def test_the_wires_import_none_of_these_libraries() -> None:
    program = (
        "import sys, tincans.wires.native as n, tincans.wires.json, tincans.wires.text\n"
        "from tincans.core.messages import Reply\n"
        "n.WIRE.encode(Reply(1, [(1,), {2}, object.__doc__, memoryview(b'x')]))\n"
        "print({'numpy', 'pandas', 'polars', 'pyarrow', 'fractions', 'zoneinfo'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()", io.StringIO(done.stderr).read()
