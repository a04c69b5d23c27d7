"""faster-fifo: a queue in shared memory that a parent and its child share; nothing is acknowledged."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import ANSWER, Client, Contestant, no_server


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import faster_fifo
    import faster_fifo_reduction  # noqa: F401 (it teaches multiprocessing to pass the queue on)

    context = multiprocessing.get_context("spawn")
    items: Any = faster_fifo.Queue()
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
        items.close()


def produce(items: Any, orders: Any) -> None:
    """The child; its first item says that it is there."""
    items.put(b"")
    while True:
        count, size = orders.get()
        if not count:
            return
        for _ in range(count):
            items.put(bytes(size), timeout=ANSWER)


CONTESTANTS = (
    Contestant(
        name="faster-fifo",
        kind="other",
        about="`put` in a child, `get` in its parent, one item at a time; nothing is acknowledged",
        can=frozenset({"queue"}),
        serve=no_server,
        connect=connect,
        needs=("faster_fifo",),
    ),
)
