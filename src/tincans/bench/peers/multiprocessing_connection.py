"""multiprocessing.connection: a Listener with a thread for each Client, and a pickled tuple for a call."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client as StandardClient
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from tincans.bench.contestant import CALLS, IN_FLIGHT, Client, Contestant, Serving, in_background
from tincans.bench.service import add


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    def answer(connection: Any) -> None:
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                message = connection.recv()
                connection.send(add(*message) if type(message) is tuple else len(connection.recv_bytes()))

    def accept() -> None:
        while True:
            threading.Thread(target=answer, args=(listener.accept(),), daemon=True).start()

    with Listener(str(place / "socket"), "AF_UNIX", backlog=128) as listener, in_background(accept):
        yield Serving()


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    with StandardClient(str(place / "socket"), "AF_UNIX") as connection:
        yield client(connection)


def client(connection: Connection[Any, Any]) -> Client:
    """A call is two pickles; bytes go as bytes."""

    def call(a: int, b: int) -> Any:
        connection.send((a, b))
        return connection.recv()

    def pipeline(count: int) -> None:
        for begin in range(0, count, IN_FLIGHT):
            some = min(IN_FLIGHT, count - begin)
            for n in range(some):
                connection.send((n, 1))
            for _ in range(some):
                connection.recv()

    def deliver(data: bytes) -> int:
        connection.send("bytes")
        connection.send_bytes(data)
        return int(connection.recv())

    return Client(call=call, pipeline=pipeline, deliver=deliver)


CONTESTANTS = (
    Contestant(
        name="multiprocessing.connection",
        kind="other",
        about="`Listener` and `Client` on a Unix socket, `send` and `recv`; `send_bytes` for payloads",
        can=CALLS,
        serve=serve,
        connect=connect,
    ),
)
