"""multiprocessing.Queue: a child puts, its parent takes. Only relatives can share one, and nothing is acknowledged."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import ANSWER, Client, Contestant, no_server


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    context = multiprocessing.get_context("spawn")
    items: Any = context.Queue()
    orders: Any = context.SimpleQueue()
    child = context.Process(target=produce, args=(items, orders), daemon=True)
    child.start()
    items.get(timeout=ANSWER)
    try:
        yield Client(
            take=lambda: items.get(timeout=ANSWER),
            produce=lambda count, size: orders.put((count, size)),
            others=lambda: [child.pid or 0],
        )
    finally:
        orders.put((0, 0))
        child.join(2)
        child.kill()


def produce(items: Any, orders: Any) -> None:
    """The child; its first item says that it is there."""
    items.put(b"")
    while True:
        count, size = orders.get()
        if not count:
            return
        for _ in range(count):
            items.put(bytes(size))


CONTESTANTS = (
    Contestant(
        name="multiprocessing.Queue",
        kind="yardstick",
        about="`put` in a child, `get` in its parent; nothing is acknowledged",
        can=frozenset({"queue"}),
        serve=no_server,
        connect=connect,
    ),
)
