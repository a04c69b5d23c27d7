"""Values in the shared file: contracts.Values. Flags are values too.

Rules of this file
- A value's version is its row's number, which SQLite never gives twice: it grows with each change, of any key.
- A delete uses up a number as well, so that its version lies between those of the values before and after it.
"""

from __future__ import annotations

from typing import Any

from tincans.contracts import Change, Wire
from tincans.core.hub import arguments
from tincans.errors import ClosedError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.files.shared_bell import slot_of
from tincans.toolkit.sqlite.letter import bytes_in
from tincans.toolkit.sqlite.store import Store

_SET = "INSERT OR REPLACE INTO state (key, value) VALUES (?, ?)"
_GET = "SELECT value, version FROM state WHERE key = ?"
_DELETE = "DELETE FROM state WHERE key = ? RETURNING version"
_USE_UP = "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'state'"
_LAST = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'state'), 0)"


class StoredValues:
    """See contracts.Values."""

    def __init__(self, store: Store, wire: Wire) -> None:
        self._store = store
        self._wire = wire

    def get(self, key: str, *, timeout: float | None) -> Change | None:
        """See contracts.Values."""
        rows = self._store.quick.change(_GET, arguments.name("key", key))
        return Change(key, self._wire.unpack(bytes_in(rows[0][0])), rows[0][1]) if rows else None

    def set(self, key: str, value: Any, *, timeout: float | None) -> None:
        """See contracts.Values."""
        self._store.durable.change(_SET, arguments.name("key", key), self._wire.pack(value))
        self._store.bell.ring(slot_of("value", key))

    def delete(self, key: str, *, timeout: float | None) -> bool:
        """See contracts.Values."""
        with self._store.durable.transaction() as execute:
            there = bool(execute(_DELETE, arguments.name("key", key)))
            if there:
                execute(_USE_UP)
        if there:
            self._store.bell.ring(slot_of("value", key))
        return there

    def keys(self, *, timeout: float | None) -> list[str]:
        """See contracts.Values."""
        return [key for (key,) in self._store.quick.change("SELECT key FROM state ORDER BY key")]

    def watch(self, key: str, *, timeout: float | None) -> StoredWatch:
        """See contracts.Values."""
        return StoredWatch(self._store, self._wire, arguments.name("key", key))


class StoredWatch:
    """See contracts.Subscription."""

    def __init__(self, store: Store, wire: Wire, key: str) -> None:
        self.dropped = 0
        self._store = store
        self._wire = wire
        self._key = key
        self._slot = slot_of("value", key)
        self._shown = 0
        """The version of the value that was shown last; 0 when it had none."""
        self._closed = False

    def receive(self, *, timeout: float | None) -> Change | None:
        """See contracts.Subscription."""
        deadline = deadline_of(timeout)
        while True:
            if self._closed:
                raise ClosedError("This watch was closed.")
            seen = self._store.bell.seen(self._slot)
            change = self._look()
            left = left_of(deadline)
            if change is not None or left == 0:
                return change
            self._store.bell.wait(self._slot, seen, timeout=left)

    def _look(self) -> Change | None:
        rows = self._store.quick.change(_GET, self._key)
        if rows:
            value, version = rows[0]
            if version == self._shown:
                return None
            self._shown = version
            return Change(self._key, self._wire.unpack(bytes_in(value)), version)
        if not self._shown:
            return None
        self._shown = 0
        return Change(self._key, None, self._store.quick.change(_LAST)[0][0], deleted=True)

    def close(self) -> None:
        """See contracts.Subscription."""
        self._closed = True
        self._store.bell.ring(self._slot)
