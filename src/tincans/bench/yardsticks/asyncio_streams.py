"""asyncio streams with msgpack, both ends on an event loop: a length and a message each way, an echo."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import Client, Contestant, Serving, awaited_times_of, in_background


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    import msgpack

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                data = msgpack.packb(msgpack.unpackb(await _receive(reader)))
                writer.write(len(data).to_bytes(4, "little") + data)
                await writer.drain()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.start_unix_server(echo, place / "socket"))
    with in_background(loop.run_forever):
        yield Serving()
    loop.call_soon_threadsafe(loop.stop)


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import msgpack

    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    reader, writer = run(asyncio.open_unix_connection(place / "socket"))

    async def call(a: int, b: int) -> Any:
        data = msgpack.packb([a, b])
        writer.write(len(data).to_bytes(4, "little") + data)
        await writer.drain()
        return msgpack.unpackb(await _receive(reader))

    try:
        yield Client(call=lambda a, b: run(call(a, b)), times=lambda count: run(awaited_times_of(call, count)))
    finally:
        writer.close()
        loop.close()


async def _receive(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "little"))


CONTESTANTS = (
    Contestant(
        name="asyncio streams + msgpack",
        kind="yardstick",
        about="`asyncio.start_unix_server` and `open_unix_connection`, length and msgpack, an echo",
        can=frozenset({"call"}),
        serve=serve,
        connect=connect,
        needs=("msgpack",),
    ),
)
