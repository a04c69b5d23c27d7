"""The board of one program over the shared file: topics, queues, values, locks and answers, with one store behind them.

Rules of this file
- Closing ends every wait first, then gives back what this board held.
"""

from __future__ import annotations

from pathlib import Path

from tincans.contracts import Board, Framing, Wire
from tincans.toolkit.sqlite.answers import StoredAnswers
from tincans.toolkit.sqlite.locks import StoredLocks
from tincans.toolkit.sqlite.queues import StoredQueues
from tincans.toolkit.sqlite.store import Store
from tincans.toolkit.sqlite.topics import StoredTopics
from tincans.toolkit.sqlite.values import StoredValues


def stored_board(path: Path, sync: str, wire: Wire, framing: Framing) -> Board:
    """A program's own board. The file is opened, and made if need be, at once."""
    store = Store(path, sync=sync)
    queues, locks = StoredQueues(store, wire), StoredLocks(store)

    def close() -> None:
        store.wake()
        queues.close()
        locks.close()
        store.close()

    return Board(
        topics=StoredTopics(store, wire),
        queues=queues,
        values=StoredValues(store, wire),
        locks=locks,
        answers=StoredAnswers(store, framing),
        close=close,
    )
