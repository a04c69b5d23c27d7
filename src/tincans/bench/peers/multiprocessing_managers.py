"""multiprocessing.managers: a BaseManager that serves a registered object and a queue, through proxies."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

from tincans.bench.contestant import ANSWER, Client, Contestant, Serving, in_background
from tincans.bench.service import add, size

KEY = b"bench"


class Calculator:
    """What is served."""

    def __init__(self) -> None:
        self.values = {"bench": {"speed": 3, "name": "alice"}}

    def add(self, a: int, b: int) -> int:
        return add(a, b)

    def size(self, data: bytes) -> int:
        return size(data)

    def get(self, key: str) -> Any:
        return self.values[key]


class Offering(BaseManager):
    """The server's manager; the client's registers the same names without functions."""


class Using(BaseManager):
    """The client's manager."""


Using.register("calculator")
Using.register("items")


@contextlib.contextmanager
def serve(place: Path) -> Iterator[Serving]:
    calculator: Any = Calculator()
    items: Any = queue.Queue()
    Offering.register("calculator", callable=lambda: calculator)
    Offering.register("items", callable=lambda: items)
    server: Any = Offering(str(place / "socket"), KEY).get_server()
    with in_background(lambda: _forever(server)):
        yield Serving()


def _forever(server: Any) -> None:
    with contextlib.suppress(SystemExit):
        server.serve_forever()


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    manager: Any = Using(str(place / "socket"), KEY)
    manager.connect()
    calculator, items = manager.calculator(), manager.items()
    yield Client(
        call=calculator.add,
        deliver=calculator.size,
        put=items.put,
        take=lambda: items.get(True, ANSWER),
        look=lambda: calculator.get("bench"),
    )


CONTESTANTS = (
    Contestant(
        name="multiprocessing BaseManager",
        kind="other",
        about="an object and a `queue.Queue` registered with a `BaseManager` on a Unix socket; no acknowledging",
        can=frozenset({"call", "payload", "crowd", "queue", "turn", "state"}),
        serve=serve,
        connect=connect,
    ),
)
