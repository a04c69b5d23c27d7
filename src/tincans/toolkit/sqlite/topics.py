"""Topics in the shared file: contracts.Topics. A table of notes, read by each subscriber from a position on.

Rules of this file
- Each topic numbers its notes, so that a subscriber knows how many it lost, whoever dropped them: its own limit, or the
  table, which keeps MOST_NOTES for OLDEST_NOTE seconds.
- Publishing needs no disk: news are for who listens now, and survive the programs, not the machine.
- `limit` and its policy say what a slow subscriber loses: the oldest (drop_oldest), nothing but what the table drops
  (wait), or its place (refuse: FullError, and it goes on from then).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tincans.contracts import Note, Policy, Wire
from tincans.core.hub import arguments
from tincans.core.hub.topics import matcher, one_topic
from tincans.errors import ClosedError, FullError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.sqlite.layout import NEWS
from tincans.toolkit.sqlite.letter import bytes_in
from tincans.toolkit.sqlite.store import Store

MOST_NOTES = 10_000
OLDEST_NOTE = 86_400.0
_TRIM_EVERY = 64
_AT_ONCE = 100
_TOPIC = "INSERT INTO topics VALUES (?, 1) ON CONFLICT (topic) DO UPDATE SET number = number + 1 RETURNING number"
_NOTE = "INSERT INTO notes (topic, number, value, at) VALUES (?, ?, ?, ?) RETURNING id"
_TRIM = "DELETE FROM notes WHERE id <= ? OR at < ?"
_END = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'notes'), 0)"


class StoredTopics:
    """See contracts.Topics."""

    def __init__(self, store: Store, wire: Wire) -> None:
        self._store = store
        self._wire = wire

    def publish(self, topic: str, value: Any, *, timeout: float | None) -> None:
        """See contracts.Topics."""
        one_topic(topic)
        packed, now = self._wire.pack(value), time.time()
        with self._store.quick.transaction() as execute:
            number = execute(_TOPIC, topic)[0][0]
            id = execute(_NOTE, topic, number, packed, now)[0][0]
            if id % _TRIM_EVERY == 0:
                execute(_TRIM, id - MOST_NOTES, now - OLDEST_NOTE)
        self._store.bell.ring(NEWS)

    def subscribe(self, pattern: str, *, limit: int, policy: Policy, timeout: float | None) -> StoredSubscription:
        """See contracts.Topics."""
        fits = matcher(pattern)
        arguments.count("limit", limit, least=1)
        return StoredSubscription(self._store, self._wire, pattern, fits, limit, arguments.policy(policy))


class StoredSubscription:
    """See contracts.Subscription."""

    def __init__(
        self,
        store: Store,
        wire: Wire,
        pattern: str,
        fits: Callable[[str], object] | None,
        limit: int,
        policy: Policy,
    ) -> None:
        self.dropped = 0
        self._store = store
        self._wire = wire
        self._pattern = pattern
        self._fits = fits
        self._limit = limit
        self._policy = policy
        self._closed = self._gap = False
        self._fetched: deque[tuple[str, int, bytes]] = deque()
        self._seen = store.bell.seen(NEWS)
        self._position = 0
        self._numbers: dict[str, int] = {}
        self._begin()

    def _begin(self) -> None:
        """From the present end of the table on."""
        with self._store.quick.transaction() as execute:
            self._position = execute(_END)[0][0]
            if self._fits is None:
                rows = execute("SELECT topic, number FROM topics WHERE topic = ?", self._pattern)
            else:
                rows = execute("SELECT topic, number FROM topics")
        self._numbers = {topic: number for topic, number in rows if self._is_ours(topic)}

    def _is_ours(self, topic: str) -> bool:
        return topic == self._pattern if self._fits is None else self._fits(topic) is not None

    def receive(self, *, timeout: float | None) -> Note | None:
        """See contracts.Subscription."""
        deadline = deadline_of(timeout)
        while not self._fetched:
            if self._closed:
                raise ClosedError("This subscription was closed.")
            seen = self._store.bell.seen(NEWS)
            self._fetch()
            if self._fetched:
                break
            left = left_of(deadline)
            if left == 0:
                return None
            self._store.bell.wait(NEWS, seen, timeout=left)
        topic, number, value = self._fetched.popleft()
        missed: int | None = number - self._numbers.get(topic, 0) - 1
        self._numbers[topic] = number
        self.dropped += missed or 0
        if self._gap:
            missed, self._gap = None, False
        return Note(topic, self._wire.unpack(bytes_in(value)), missed)

    def _fetch(self) -> None:
        """What is new, as far as the limit and memory go."""
        head = "SELECT id, topic, number FROM notes WHERE id > ?"
        quick = self._store.quick
        if self._fits is None:
            rows = quick.change(f"{head} AND topic = ? ORDER BY id", self._position, self._pattern)
        else:
            rows = quick.change(f"{head} ORDER BY id", self._position)
        ours = [row for row in rows if self._is_ours(row[1])]
        if len(ours) > self._limit and self._policy == "refuse":
            self._begin()
            self._gap = True
            raise FullError(
                f"More than {self._limit} notes of {self._pattern!r} waited; they are lost. Receive faster."
            )
        if self._policy == "drop_oldest":
            ours = ours[-self._limit :]
        if len(ours) > _AT_ONCE:
            ours = ours[:_AT_ONCE]
            self._position = ours[-1][0]
        elif rows:
            self._position = rows[-1][0]
        for id, topic, number in ours:
            for (value,) in quick.change("SELECT value FROM notes WHERE id = ?", id):  # none: trimmed, and counted
                self._fetched.append((topic, number, value))

    def close(self) -> None:
        """See contracts.Subscription."""
        self._closed = True
        self._store.bell.ring(NEWS)
