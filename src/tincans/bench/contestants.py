"""Who is measured: for each, the serving program, and the call of two ints that the measuring program makes.

Rules of this file
- A contestant is a name, a function that serves at an address until its stdin ends, and one that connects and gives
  `call`. Its library is imported in these functions only; what is not installed is left out by name.
- "bare" contestants are the floor: msgpack over the same kind of descriptor, with no checks at all.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Call = Callable[[int, int], Any]


@dataclass(frozen=True)
class Contestant:
    """One way to call a function of another program. `serve(place)` blocks; `connect(place)` yields the call."""

    name: str
    serve: Callable[[Path], None]
    connect: Callable[[Path], contextlib.AbstractContextManager[Call]]
    needs: str = ""


def add(a: int, b: int) -> int:
    """What everybody calls."""
    return a + b


def tincans_method(name: str, url: str) -> Contestant:
    """One of our methods; `{place}` in the URL is a fresh directory."""

    def serve(place: Path) -> None:
        import tincans

        with tincans.serve(url.format(place=place)) as server:
            server.expose(add)
            (place / "url").write_text(server.url)
            until_stdin_ends()

    @contextlib.contextmanager
    def connect(place: Path) -> Iterator[Call]:
        import tincans

        with tincans.connect((place / "url").read_text()) as peer:
            yield peer.call.add

    return Contestant(name, serve, connect)


def until_stdin_ends() -> None:
    """The measuring program ends us by closing our stdin."""
    print("ready", flush=True)
    sys.stdin.read()


def _serve_bare_socket(place: Path) -> None:
    import msgpack

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "socket"))
        listening.listen()
        print("ready", flush=True)
        connection, _ = listening.accept()
        while data := connection.recv(65536):
            connection.sendall(msgpack.packb(msgpack.unpackb(data)))


@contextlib.contextmanager
def _connect_bare_socket(place: Path) -> Iterator[Call]:
    import msgpack

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place / "socket"))

        def call(a: int, b: int) -> Any:
            connection.sendall(msgpack.packb([a, b]))
            return msgpack.unpackb(connection.recv(65536))

        yield call


def _serve_bare_pipes(place: Path) -> None:
    import msgpack

    for name in ("to", "from"):
        os.mkfifo(place / name)
    print("ready", flush=True)
    to, back = os.open(place / "to", os.O_RDONLY), os.open(place / "from", os.O_WRONLY)
    while data := os.read(to, 65536):
        os.write(back, msgpack.packb(msgpack.unpackb(data)))


@contextlib.contextmanager
def _connect_bare_pipes(place: Path) -> Iterator[Call]:
    import msgpack

    to, back = os.open(place / "to", os.O_WRONLY), os.open(place / "from", os.O_RDONLY)

    def call(a: int, b: int) -> Any:
        os.write(to, msgpack.packb([a, b]))
        return msgpack.unpackb(os.read(back, 65536))

    try:
        yield call
    finally:
        os.close(to)
        os.close(back)


def _serve_multiprocessing(place: Path) -> None:
    from multiprocessing.connection import Listener

    with Listener(str(place / "socket"), "AF_UNIX") as listener:
        print("ready", flush=True)
        with listener.accept() as connection, contextlib.suppress(EOFError):
            while True:
                connection.send(add(*connection.recv()))


@contextlib.contextmanager
def _connect_multiprocessing(place: Path) -> Iterator[Call]:
    from multiprocessing.connection import Client

    with Client(str(place / "socket"), "AF_UNIX") as connection:

        def call(a: int, b: int) -> Any:
            connection.send((a, b))
            return connection.recv()

        yield call


OURS = [
    tincans_method("local", "local:bench-{place.name}"),
    tincans_method("local, not spinning", "local:bench-{place.name}?spin=0"),
    tincans_method("unix", "unix:{place}/tincans.sock"),
    tincans_method("pipe", "pipe:{place}/tincans"),
    tincans_method("tcp", "tcp://127.0.0.1:0"),
]

FLOORS = [
    Contestant("bare socket + msgpack", _serve_bare_socket, _connect_bare_socket, "msgpack"),
    Contestant("two bare pipes + msgpack", _serve_bare_pipes, _connect_bare_pipes, "msgpack"),
]

OTHERS = [Contestant("multiprocessing.connection", _serve_multiprocessing, _connect_multiprocessing)]

ALL = [*OURS, *FLOORS, *OTHERS]
BY_NAME = {each.name: each for each in ALL}


def main() -> None:
    """The serving program: `python -m tincans.bench.contestants NAME PLACE`."""
    BY_NAME[sys.argv[1]].serve(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
