"""A bare Unix socket with msgpack at both ends: what arrives is decoded, encoded again and sent back."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import Client, Contestant, Serving, in_background


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    import msgpack

    def echo(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            connection.sendall(msgpack.packb(msgpack.unpackb(data)))

    def accept() -> None:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "socket"))
        listening.listen(128)
        with in_background(accept):
            yield Serving()


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import msgpack

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place / "socket"))

        def call(a: int, b: int) -> Any:
            connection.sendall(msgpack.packb([a, b]))
            return msgpack.unpackb(connection.recv(65536))

        yield Client(call=call)


CONTESTANTS = (
    Contestant(
        name="bare socket + msgpack",
        kind="yardstick",
        about="one `sendall` and one `recv` each way on a Unix socket, msgpack, an echo",
        can=frozenset({"call", "crowd"}),
        serve=serve,
        connect=connect,
        needs=("msgpack",),
    ),
)
