"""Pyro5: an exposed class behind a daemon on a Unix socket, its own serializer (serpent)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import CALLS, Client, Contestant, Serving, address_file, in_background
from tincans.bench.service import add


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    import Pyro5.api
    import serpent

    @Pyro5.api.expose
    @Pyro5.api.behavior(instance_mode="single")
    class Calculator:
        def add(self, a: int, b: int) -> int:
            return add(a, b)

        def size(self, data: Any) -> int:
            return len(serpent.tobytes(data))

    Pyro5.api.config.THREADPOOL_SIZE = 200
    daemon = Pyro5.api.Daemon(unixsocket=str(place / "socket"))
    address_file(place).write_text(str(daemon.register(Calculator, "calculator")))
    with in_background(daemon.requestLoop):
        yield Serving()
    daemon.shutdown()


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import Pyro5.api

    Pyro5.api.config.SERIALIZER = "serpent"
    with Pyro5.api.Proxy(address_file(place).read_text()) as proxy:

        def pipeline(count: int) -> None:
            batch = Pyro5.api.BatchProxy(proxy)
            for n in range(count):
                batch.add(n, 1)
            for _ in batch():
                pass

        yield Client(call=proxy.add, pipeline=pipeline, deliver=proxy.size)


CONTESTANTS = (
    Contestant(
        name="Pyro5",
        kind="other",
        about="an exposed class, a `Daemon` on a Unix socket, the serpent serializer; `BatchProxy` for pipelined calls",
        can=CALLS,
        serve=serve,
        connect=connect,
        needs=("Pyro5",),
    ),
)
