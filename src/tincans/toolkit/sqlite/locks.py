"""Locks of the shared file: contracts.Locks.

Rules of this file
- The kernel holds a lock (a byte of the bell), so it is free when its holder's program ends, however it ends; the file
  only keeps the tokens. Nobody's lock is broken by age.
- A token is committed before its lock is handed out.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable

from tincans.core.hub import arguments
from tincans.errors import LeaseLostError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.files.byte_lock import ByteLock
from tincans.toolkit.files.shared_bell import slot_of
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.sqlite.layout import LOCKS
from tincans.toolkit.sqlite.store import Store

_SOON = 0.005
"""Seconds between being told of a close and the last look for what it freed."""

_NAME = "INSERT INTO locks (name, token) VALUES (?, 0) ON CONFLICT (name) DO NOTHING"
_ID = "SELECT id FROM locks WHERE name = ?"
_TOKEN = "UPDATE locks SET token = token + 1 WHERE id = ? RETURNING token"


class StoredLocks:
    """See contracts.Locks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ids: dict[str, int] = {}
        self._held: dict[tuple[str, Hashable], ByteLock] = {}
        self._guard = threading.Lock()
        abandon_in_child(self)

    def acquire(self, name: str, owner: Hashable, *, timeout: float | None) -> int | None:
        """See contracts.Locks."""
        arguments.name("lock", name)
        deadline, bell = deadline_of(timeout), self._store.bell
        id, again = self._id(name), False
        lock = bell.new_lock()
        try:
            while True:
                seen = bell.seen(0)
                if lock.take(LOCKS + id):
                    return self._granted(name, owner, id, lock)
                left = left_of(deadline)
                if left == 0:
                    lock.close()
                    return None
                if again:  # we were told of something; a dead holder's lock is free a moment after that
                    left = _SOON if left is None else min(left, _SOON)
                again = bell.wait(None, seen, timeout=left) and not again
        except BaseException:
            lock.close()
            raise

    def _id(self, name: str) -> int:
        if name not in self._ids:
            self._store.durable.change(_NAME, name)
            self._ids[name] = self._store.durable.change(_ID, name)[0][0]
        return self._ids[name]

    def _granted(self, name: str, owner: Hashable, id: int, lock: ByteLock) -> int:
        token: int = self._store.durable.change(_TOKEN, id)[0][0]
        with self._guard:
            self._held[name, owner] = lock
        return token

    def release(self, name: str, owner: Hashable, *, timeout: float | None) -> None:
        """See contracts.Locks."""
        with self._guard:
            lock = self._held.pop((name, owner), None)
        if lock is None:
            raise LeaseLostError(
                f"The lock {name!r} is not held by {owner!r} here: it was released before, or lost in a fork."
            )
        lock.close()
        self._store.bell.ring(slot_of("lock", name))

    def close(self) -> None:
        """Release everything."""
        with self._guard:
            held, self._held = self._held, {}
        for lock in held.values():
            lock.close()

    def abandon(self) -> None:
        """In a forked child: its parent's locks are not its own."""
        self._held = {}
        self._guard = threading.Lock()
