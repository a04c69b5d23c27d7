"""faster-fifo: a queue in shared memory that a parent and its child share; nothing is acknowledged."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.bench.contestant import ANSWER, Client, Contestant, no_server
from tincans.bench.relatives import child_puts


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    import faster_fifo
    import faster_fifo_reduction  # noqa: F401 (it teaches multiprocessing to pass the queue on)

    items: Any = faster_fifo.Queue()
    try:
        with child_puts(multiprocessing.get_context("spawn"), items, timeout=ANSWER) as client:
            yield client
    finally:
        items.close()


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
