"""A queue that only a parent and its child can share: the child puts, its parent takes; nothing is acknowledged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from multiprocessing.context import SpawnContext
from typing import Any

from tincans.bench.contestant import ANSWER, Client


@contextlib.contextmanager
def child_puts(context: SpawnContext, items: Any, **putting: Any) -> Iterator[Client]:
    """Bob, whose child puts into `items`; `putting` are the options of its `put`."""
    orders: Any = context.SimpleQueue()
    child = context.Process(target=produce, args=(items, orders, putting), daemon=True)
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


def produce(items: Any, orders: Any, putting: dict[str, Any]) -> None:
    """The child; its first item says that it is there."""
    items.put(b"")
    while True:
        count, size = orders.get()
        if not count:
            return
        for _ in range(count):
            items.put(bytes(size), **putting)
