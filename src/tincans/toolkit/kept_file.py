"""The SQLite file of toolkit/keep.py: what stands at its path, how it is laid out, what its errors mean.

Rules of this file
- What is not ours is never written to: another program's database, a link, another user's file.
- The layout only grows, by steps; a file of a newer Tincans is refused, an older one is brought up to date.
- Every error of SQLite leaves as a KeepError that says what to do.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from tincans.errors import DeniedError, KeepError, TincansError
from tincans.toolkit.private_file import FILE_MODE, open_private

APPLICATION_ID = 0x54494E43  # "TINC" in the file's header: told apart from databases of other programs

# The step at place N leads from layout N to N + 1; append only.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        "CREATE TABLE meta (name TEXT PRIMARY KEY, number INTEGER NOT NULL)",
        "INSERT INTO meta VALUES ('run', 0), ('floor', 0)",
        "CREATE TABLE jobs (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, value BLOB NOT NULL,"
        " deliveries INTEGER NOT NULL, due REAL NOT NULL)",
        "CREATE TABLE state (key TEXT PRIMARY KEY, version INTEGER NOT NULL, value BLOB)",  # no value: deleted
    ),
)

_SIDE_FILES = ("-journal", "-wal", "-shm")  # sqlite.org/tempfiles.html
_PATIENCE = 1.0  # seconds that somebody looking into the file with another program may hold up a commit
_WAL_KEPT = 64 << 20  # bytes; the log shrinks to this after a burst


def open_database(path: Path, *, fsync: bool) -> sqlite3.Connection:
    """Check what stands at `path`, open it, bring it to the present layout and begin a run."""
    identity = _check_files(path)
    try:
        database = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise trouble(path, error) from error
    try:
        version = _layout(path, database)
        if database.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise KeepError(
                f"{path} lies on a file system that cannot keep a write-ahead log. Keep it on a local disk."
            )
        database.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}")
        database.execute("PRAGMA synchronous = FULL")  # also without `fsync`: a run's number must never come twice
        _begin_run(database, version)
        if not fsync:
            database.execute("PRAGMA synchronous = NORMAL")
        if not os.path.samestat(path.lstat(), identity):
            raise DeniedError(f"{path} was exchanged while it was opened. Keep it where only this user can write.")
    except BaseException as error:
        database.close()
        if isinstance(error, (sqlite3.Error, OSError)) and not isinstance(error, TincansError):
            raise trouble(path, error) from error
        raise
    return database


def _begin_run(database: sqlite3.Connection, version: int) -> None:
    """Bring the layout up to date and count this run, in one transaction."""
    database.execute("BEGIN IMMEDIATE")
    for step in STEPS[version:]:
        for statement in step:
            database.execute(statement)
    database.execute("UPDATE meta SET number = number + 1 WHERE name = 'run'")
    database.execute(f"PRAGMA user_version = {len(STEPS)}")
    database.execute("COMMIT")


def _layout(path: Path, database: sqlite3.Connection) -> int:
    """The layout that the file has, 0 for a new one. KeepError when it is not ours, too new or damaged."""
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != APPLICATION_ID and (owner, version, tables) != (0, 0, 0):
        raise KeepError(f"{path} is a database of another program, and was not touched. Choose another file.")
    if version > len(STEPS):
        raise KeepError(
            f"{path} was written by a newer Tincans (layout {version}; this one knows {len(STEPS)}). Update tincans."
        )
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    return int(version)


def _check_files(path: Path) -> os.stat_result:
    """DeniedError for anything planted at `path` or beside it; a new file is made, for this user only.

    The descriptors are closed before SQLite opens the file: closing one later would end SQLite's own locks.
    """
    place = path.parent.stat()
    if place.st_mode & stat.S_IWOTH and not place.st_mode & stat.S_ISVTX:
        raise DeniedError(
            f"Everybody may exchange files in {path.parent}. Keep {path.name} in a directory of your own."
        )
    for suffix in _SIDE_FILES:
        try:
            os.close(open_private(path.with_name(path.name + suffix), create=False))
        except FileNotFoundError:
            continue
    descriptor = open_private(path, create=True)
    try:
        os.fchmod(descriptor, FILE_MODE)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


_REASONS = {  # by SQLite's primary result code: what happened, what to do, whether it may pass
    sqlite3.SQLITE_FULL: ("the disk is full", "Free some space and try again.", True),
    sqlite3.SQLITE_IOERR: ("the disk refused", "Look at its space, quota and health, and try again.", True),
    sqlite3.SQLITE_READONLY: ("it is read-only", "Make it and its directory writable.", False),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "Make its directory writable.", False),
    sqlite3.SQLITE_BUSY: ("another program is using it", "End that program's transaction.", True),
    sqlite3.SQLITE_LOCKED: ("another program is using it", "End that program's transaction.", True),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", "Put a copy of the file back in its place.", False),
    sqlite3.SQLITE_NOTADB: (
        "it is damaged or no database",
        "Put a copy back in its place, or choose another file.",
        False,
    ),
    sqlite3.SQLITE_TOOBIG: ("a value is too large for it", "Send smaller values.", False),
}


def trouble(path: Path, error: BaseException) -> KeepError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT if type(error) is sqlite3.DatabaseError else -1)
    what, advice, passing = _REASONS.get(code & 0xFF, ("it did not take this", "See the reason in brackets.", False))
    return KeepError(f"{path} cannot be used: {what} ({error}). Nothing was changed. {advice}", temporary=passing)
