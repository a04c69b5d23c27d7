"""litequeue and persist-queue: queues in a SQLite file, used by each program on its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tincans.bench.contestant import Client, Contestant, no_server


@contextlib.contextmanager
def connect_litequeue(place: Path) -> Iterator[Client]:
    from litequeue import LiteQueue

    queue = LiteQueue(str(place / "litequeue.db"))

    def take() -> object:
        message = queue.pop()
        assert message is not None
        queue.done(message.message_id)
        return message.data

    yield Client(put=lambda data: queue.put(data.decode("latin-1")), take=take)
    queue.close()


@contextlib.contextmanager
def connect_persist_queue(place: Path) -> Iterator[Client]:
    from persistqueue import SQLiteAckQueue

    queue = SQLiteAckQueue(str(place / "persist-queue"), auto_commit=True)

    def take() -> object:
        item = queue.get()
        queue.ack(item)
        return item

    yield Client(put=queue.put, take=take)
    queue.close()


CONTESTANTS = (
    Contestant(
        name="litequeue",
        kind="other",
        about="`put`, `pop`, `done` on a SQLite file, with its own settings",
        can=frozenset({"turn"}),
        serve=no_server,
        connect=connect_litequeue,
        needs=("litequeue",),
    ),
    Contestant(
        name="persist-queue",
        kind="other",
        about="`SQLiteAckQueue`: `put`, `get`, `ack` on a SQLite file, with its own settings",
        can=frozenset({"turn"}),
        serve=no_server,
        connect=connect_persist_queue,
        needs=("persistqueue",),
    ),
)
