"""A program's way into the shared file: one handle for what must be durable, one for what need not, and the bell.

Rules of this file
- A handle is never used in a forked child, not even to close it; the child opens its own when it first needs one.
- One thread at a time uses a handle. Another program's transaction is waited for, up to PATIENCE seconds.
- Each call is one transaction, or nothing: what `change` and `transaction` returned from is committed by the handle's
  policy ("full": the disk has it; "normal": the system has it, and the disk at the next checkpoint; "off": the system).
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tincans.errors import ClosedError, KeepError, TincansError
from tincans.toolkit.files.database_file import held_up, is_busy, is_full, never_close, open_database, trouble
from tincans.toolkit.files.local_disk import check_local
from tincans.toolkit.files.shared_bell import SharedBell
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.sqlite.layout import LAYOUT, OPENING

Rows = list[tuple[Any, ...]]
Execute = Callable[..., Rows]
PATIENCE = 10.0
_SHORTEST, _LONGEST = 0.0001, 0.004
"""Seconds between two looks whether another program's transaction is over."""


class Handle:
    """One open connection of SQLite's to the file."""

    def __init__(self, path: Path, sync: str) -> None:
        self.path = path
        self._sync = sync
        self._database: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._closed = False
        abandon_in_child(self)

    def change(self, statement: str, *values: Any) -> Rows:
        """Run one statement, which is a transaction of its own; what it returns."""
        with self._lock:
            return self._execute(statement, values)

    def count(self, statement: str, *values: Any) -> int:
        """Run one statement that changes rows; how many it changed."""
        with self._lock:
            count: int = self._cursor(statement, values).rowcount
        return count

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Execute]:
        """A transaction that nobody else's change gets between; taken back when the block raises."""
        with self._lock:
            self._execute("BEGIN IMMEDIATE", ())
            database = self._database
            assert database is not None
            try:
                yield lambda statement, *values: self._execute(statement, values)
                self._execute("COMMIT", ())
            except BaseException:
                if self._database is database and database.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        database.execute("ROLLBACK")
                raise

    def _execute(self, statement: str, values: tuple[Any, ...]) -> Rows:
        found: Rows = self._cursor(statement, values, rows=True)
        return found

    def _cursor(self, statement: str, values: tuple[Any, ...], *, rows: bool = False) -> Any:
        """The cursor of a statement that was run, or all of its rows."""
        deadline, folded = 0.0, False
        while True:
            try:
                cursor = (self._database or self._open()).execute(statement, values)
                return cursor.fetchall() if rows else cursor
            except KeepError as error:  # it could not be opened
                if error.__cause__ is None or not is_busy(error.__cause__):
                    raise
                cause: BaseException = error
            except (sqlite3.Error, OverflowError, ValueError) as error:  # the latter: a name or size it cannot hold
                if isinstance(error, TincansError):
                    raise
                if is_full(error) and not folded:
                    folded = True
                    if self._fold_log():
                        continue
                if not is_busy(error):
                    raise trouble(self.path, error) from error
                cause = error
            now = time.monotonic()
            deadline = deadline or now + PATIENCE
            if now > deadline:
                raise held_up(self.path, PATIENCE) from cause
            time.sleep(random.uniform(_SHORTEST, _LONGEST))

    def _fold_log(self) -> bool:
        """Give the disk back what the log takes; False when that cannot be, or not now."""
        if self._database is None or self._database.in_transaction:
            return False
        try:
            busy, _, _ = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            return False
        return not busy

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise ClosedError(f"{self.path} was closed here. Open it again to use it.")
        self._database = open_database(self.path, LAYOUT, patience=0.0, examine=False)
        self._database.execute(f"PRAGMA synchronous = {self._sync}")
        return self._database

    def close(self) -> None:
        """May be called twice."""
        with self._lock:
            self._closed = True
            database, self._database = self._database, None
            if database is not None:
                with contextlib.suppress(sqlite3.Error):  # the log cannot be folded in: the next one does it
                    database.close()

    def abandon(self) -> None:
        """In a forked child (see fork_guard)."""
        database, self._database = self._database, None
        self._lock = threading.Lock()
        never_close(database)


class Store:
    """What one board, connection or listener has of the file. `durable` commits by the policy asked for."""

    def __init__(self, path: Path, *, sync: str = "full") -> None:
        self.path = path.absolute()
        self._bell: SharedBell | None = None
        self._making = threading.Lock()
        self._closed = False
        check_local(self.path.parent)
        self.durable = Handle(self.path, sync)
        self.quick = self.durable if sync != "full" else Handle(self.path, "normal")
        abandon_in_child(self)
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        """Open, or make, the file; programs that make it do so one after the other."""
        bell = self.bell
        deadline = time.monotonic() + PATIENCE
        lock = bell.new_lock()
        try:
            while not lock.take(OPENING):
                if time.monotonic() > deadline:
                    raise held_up(self.path, PATIENCE)
                time.sleep(_LONGEST)
            self.durable.change("SELECT 1")
        finally:
            lock.close()

    @property
    def bell(self) -> SharedBell:
        """This program's end of the bell."""
        if self._bell is None:
            with self._making:
                if self._closed:
                    raise ClosedError(f"{self.path} was closed here. Open it again to use it.")
                if self._bell is None:
                    self._bell = SharedBell(self.path.with_name(f"{self.path.name}.lock"))
        return self._bell

    def wake(self) -> None:
        """End every wait here: ClosedError for who waits."""
        self._closed = True
        if self._bell is not None:
            self._bell.close()

    def close(self) -> None:
        """May be called twice."""
        self.wake()
        self.durable.close()
        self.quick.close()

    def abandon(self) -> None:
        """In a forked child: begin anew."""
        self._bell = None
        self._making = threading.Lock()
