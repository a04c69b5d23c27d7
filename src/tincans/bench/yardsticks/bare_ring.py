"""The C ring alone: the bytes of a call of two ints go there and back, and nobody looks at them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans import _speed
from tincans.bench.contestant import Client, Contestant, Serving, in_background


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    from tincans._speed import ring
    from tincans.errors import DisconnectedError

    def echo() -> None:
        connection, _ = listening.accept()
        with connection, contextlib.suppress(DisconnectedError):
            end = ring.accept(connection)
            while True:
                end.send(end.receive(None) or [], 1.0)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "socket"))
        listening.listen(1)
        with in_background(echo):
            yield Serving()


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    from tincans._speed import ring
    from tincans.core.messages import Request
    from tincans.wires.native import WIRE

    parts = WIRE.encode(Request(1, "add", (2, 5)))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place / "socket"))
        end = ring.offer(connection)
        send, receive = end.send, end.receive

        def call(a: int, b: int) -> Any:
            send(parts, 1.0)
            return receive(1.0)

        yield Client(call=call)
        end.close()


CONTESTANTS = (
    Contestant(
        name="bare C ring",
        kind="yardstick",
        about="our ring in shared memory without session and wire: an echo of the bytes of the same call, spinning",
        can=frozenset({"call"}),
        serve=serve,
        connect=connect,
        obstacle=_speed.why_not(),
    ),
)
