"""The file in which a hub's queues and values outlive the serving program: one SQLite database.

Rules of this file
- What `commit` returned from survives the death of the program at any instant; with `fsync=True` that of the
  machine too.
- One batch of changes is one transaction: all of it or, with an error that says why, nothing.
- One live program keeps a file: PATH.lock is under a kernel lock meanwhile. Only this user can read it.
- Values are the server's bytes (`encode`, `decode`); nothing in the file is ever run or unpickled.
- Times are kept as wall-clock time, for no other clock means anything to the next run.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tincans.core.hub import (
    Hub,
    JobBuried,
    JobCounted,
    JobDelayed,
    JobPut,
    JobRemoved,
    Kept,
    KeptChange,
    Outcome,
    ValueDeleted,
    ValueForgotten,
    ValueSet,
)
from tincans.errors import ClosedError, KeepError, TincansError
from tincans.toolkit.files.database_file import never_close, trouble
from tincans.toolkit.files.kept_file import open_kept
from tincans.toolkit.files.name_lock import acquire
from tincans.toolkit.fork_guard import abandon_in_child

Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]
Row = tuple[str, tuple[Any, ...]]

_SET = (
    "INSERT INTO state VALUES (?, ?, ?)"
    " ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value"
)


class Keep:
    """An open file of kept queues and values. One caller at a time, the one who guards the hub.

    NameInUseError names the live program that keeps the same file, DeniedError what was planted at its place,
    KeepError what else is wrong with it.

    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     keep = Keep(Path(place, "alice.db"), encode=lambda value: json.dumps(value).encode(), decode=json.loads)
    ...     hub = Hub.restore(keep.load(), now=0.0)
    ...     answer = keep.settle(hub, hub.request("bob", 1, "$set", ("mood", "good"), now=0.0))
    ...     keep.load().changes
    ...     keep.close()
    [ValueSet(key='mood', version=1, value='good')]
    """

    def __init__(self, path: str | os.PathLike[str], *, encode: Encode, decode: Decode, fsync: bool = False) -> None:
        self.path = Path(path).absolute()
        self._encode = encode
        self._decode = decode
        self._database: sqlite3.Connection | None = None
        self._lock = acquire(self.path.with_name(self.path.name + ".lock"), {"keeps": self.path.name})
        try:
            self._database = open_kept(self.path, fsync=fsync)
            abandon_in_child(self)
        except BaseException:
            self.close()
            raise

    def load(self) -> Kept:
        """What earlier runs left: values, and jobs as ready with their counts. KeepError when it cannot be read."""
        database = self._open()
        try:
            meta = dict(database.execute("SELECT name, number FROM meta"))
            changes: list[KeptChange] = []
            for key, version, value in database.execute("SELECT key, version, value FROM state ORDER BY rowid"):
                self._check((key, str), (version, int), (value, bytes | None))
                if value is None:
                    changes.append(ValueDeleted(key, version))
                else:
                    changes.append(ValueSet(key, version, self._decoded(value, f"the value of {key!r}")))
            now = time.time()
            jobs = database.execute("SELECT id, queue, value, deliveries, due FROM jobs ORDER BY id")
            for number, queue, value, deliveries, due in jobs:
                self._check((queue, str), (value, bytes), (deliveries, int), (due, int | float))
                kept = self._decoded(value, f"job {number} of the queue {queue!r}")
                changes.append(JobPut(number, queue, kept, deliveries, max(0.0, due - now)))
        except sqlite3.Error as error:
            raise trouble(self.path, error) from error
        self._check((meta.get("run"), int), (meta.get("floor"), int))
        return Kept(meta["run"], changes, meta["floor"])

    def commit(self, changes: Iterable[KeptChange]) -> None:
        """Write one batch, all or nothing. KeepError, or what `encode` raises, when nothing was written."""
        database = self._open()
        rows = [row for change in changes for row in self._rows(change)]
        try:
            if len(rows) == 1:  # a statement on its own is a transaction, at half the price
                database.execute(*rows[0])
                return
            database.execute("BEGIN IMMEDIATE")
            for row in rows:
                database.execute(*row)
            database.execute("COMMIT")
        except BaseException as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            if isinstance(
                error, (sqlite3.Error, ValueError, OverflowError)
            ):  # the latter: a name or size it cannot hold
                raise trouble(self.path, error) from error
            raise

    def settle(self, hub: Hub, outcomes: list[Outcome]) -> list[Outcome]:
        """Write down what `outcomes` rest on, and say what to deliver: them, or the reason why it did not happen."""
        changes = hub.take_changes()
        if not changes:
            return outcomes
        try:
            self.commit(changes)
        except TincansError as error:
            return hub.undo(error, outcomes)
        except Exception as error:  # a fault in `encode`; the hub must not get ahead of its file even so
            return hub.undo(KeepError(f"This cannot be kept in {self.path}: {error!r}. Nothing was changed."), outcomes)
        return outcomes

    def close(self) -> None:
        """Close the file and let others keep it. May be called twice."""
        database, self._database = self._database, None
        try:
            if database is not None:
                database.close()
        finally:
            self._lock.release()

    def abandon(self) -> None:
        """In a forked child: never touch the database again (see fork_guard)."""
        database, self._database = self._database, None
        never_close(database)

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            raise ClosedError(f"{self.path} is not kept by this program any more. Open it again to use it.")
        return self._database

    def _check(self, *columns: tuple[Any, Any]) -> None:
        """SQLite takes any value in any column; what is of another type came from another program."""
        for value, kind in columns:
            if not isinstance(value, kind):
                raise KeepError(
                    f"In {self.path} stands {value!r:.60}, which Tincans did not write there. Nothing was changed. Put"
                    " a copy of the file back in its place."
                )

    def _decoded(self, value: bytes, what: str) -> Any:
        try:
            return self._decode(value)
        except Exception as error:
            raise KeepError(
                f"In {self.path}, {what} cannot be decoded ({error}). The file is damaged or was written by a newer "
                "Tincans: update, or put a copy of the file back in its place."
            ) from error

    def _rows(self, change: KeptChange) -> list[Row]:
        match change:
            case JobPut(id, queue, value, deliveries, delay):
                due = time.time() + delay if delay else 0.0
                insert = "INSERT INTO jobs VALUES (?, ?, ?, ?, ?)"
                return [(insert, (id, queue, self._encode(value), deliveries, due))]
            case JobCounted(id, deliveries):
                return [("UPDATE jobs SET deliveries = ?, due = 0 WHERE id = ?", (deliveries, id))]
            case JobRemoved(id):
                return [("DELETE FROM jobs WHERE id = ?", (id,))]
            case JobDelayed(id, delay):
                return [("UPDATE jobs SET due = ? WHERE id = ?", (time.time() + delay, id))]
            case JobBuried(id, queue, value):
                bury = "UPDATE jobs SET queue = ?, value = ?, deliveries = 0, due = 0 WHERE id = ?"
                return [(bury, (queue, self._encode(value), id))]
            case ValueSet(key, version, value):
                return [(_SET, (key, version, self._encode(value)))]
            case ValueDeleted(key, version):
                return [(_SET, (key, version, None))]
            case ValueForgotten(key, floor):
                forget = ("DELETE FROM state WHERE key = ?", (key,))
                return [forget, ("UPDATE meta SET number = ? WHERE name = 'floor'", (floor,))]
