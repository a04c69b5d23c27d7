"""RPyC: a service on a Unix socket, a thread for each client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import CALLS, IN_FLIGHT, Client, Contestant, Serving, in_background
from tincans.bench.service import add, size


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    import rpyc
    from rpyc.utils.server import ThreadedServer

    class Calculator(rpyc.Service):  # type: ignore[misc]
        def exposed_add(self, a: int, b: int) -> int:
            return add(a, b)

        def exposed_size(self, data: bytes) -> int:
            return size(data)

    server = ThreadedServer(Calculator(), socket_path=str(place / "socket"), backlog=128)
    with in_background(server.start):
        yield Serving()
    server.close()


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import rpyc

    connection = rpyc.utils.factory.unix_connect(str(place / "socket"))
    root = connection.root
    started: Any = rpyc.async_(root.add)

    def pipeline(count: int) -> None:
        for begin in range(0, count, IN_FLIGHT):
            for result in [started(n, 1) for n in range(min(IN_FLIGHT, count - begin))]:
                result.wait()
                result.value  # noqa: B018 (it raises what the call raised)

    yield Client(call=root.add, pipeline=pipeline, deliver=root.size)
    connection.close()


CONTESTANTS = (
    Contestant(
        name="RPyC",
        kind="other",
        about="a `Service` with a `ThreadedServer` on a Unix socket, `root.add`; `async_` for pipelined calls",
        can=CALLS,
        serve=serve,
        connect=connect,
        needs=("rpyc",),
    ),
)
