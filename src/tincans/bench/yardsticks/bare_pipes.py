"""Two bare pipes with msgpack at both ends: what arrives is decoded, encoded again and sent back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import Client, Contestant, Serving, in_background


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    import msgpack

    def echo() -> None:
        to, back = os.open(place / "to", os.O_RDONLY), os.open(place / "from", os.O_WRONLY)
        while data := os.read(to, 65536):
            os.write(back, msgpack.packb(msgpack.unpackb(data)))

    for name in ("to", "from"):
        os.mkfifo(place / name)
    with in_background(echo):
        yield Serving()


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import msgpack

    to, back = os.open(place / "to", os.O_WRONLY), os.open(place / "from", os.O_RDONLY)

    def call(a: int, b: int) -> Any:
        os.write(to, msgpack.packb([a, b]))
        return msgpack.unpackb(os.read(back, 65536))

    try:
        yield Client(call=call)
    finally:
        os.close(to)
        os.close(back)


CONTESTANTS = (
    Contestant(
        name="two bare pipes + msgpack",
        kind="yardstick",
        about="one `write` and one `read` each way on two named pipes, msgpack, an echo",
        can=frozenset({"call"}),
        serve=serve,
        connect=connect,
        needs=("msgpack",),
    ),
)
