"""multiprocessing.Queue: a child puts, its parent takes. Only relatives can share one, and nothing is acknowledged."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

from tincans.bench.contestant import Client, Contestant, no_server
from tincans.bench.relatives import child_puts


@contextlib.contextmanager
def connect(place: Path) -> Iterator[Client]:
    context = multiprocessing.get_context("spawn")
    with child_puts(context, context.Queue()) as client:
        yield client


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
