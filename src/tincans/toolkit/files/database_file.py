"""An SQLite file of ours: what stands at its path, its layout, what its errors mean.

Rules of this file
- What is not ours is never written to: another program's database, a link, another user's file.
- The layout only grows, by steps; a file of a newer Tincans is refused, an older one is brought up to date.
- Every error of SQLite leaves as an error that says what to do.
- The file itself is looked at by descriptors that cannot hold locks (O_PATH): closing any other descriptor of a file
  ends all locks that SQLite holds on it in this program (sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path

from tincans.errors import DeniedError, KeepError, TincansError, WaitTimeoutError
from tincans.toolkit.files.private_file import FILE_MODE, check_private, open_private, refused

SIDE_FILES = ("-journal", "-wal", "-shm")
"""What SQLite keeps beside a file (sqlite.org/tempfiles.html)."""

_WAL_KEPT = 64 << 20  # bytes; the log shrinks to this after a burst
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@dataclass(frozen=True)
class Layout:
    """What a file of one kind looks like. The step at place N leads from layout N to N + 1; append only.

    `application_id` stands in the file's header, and tells it apart from the databases of other programs.
    """

    application_id: int
    steps: tuple[tuple[str, ...], ...]


def open_database(path: Path, layout: Layout, *, patience: float, examine: bool) -> sqlite3.Connection:
    """Check what stands at `path`, open it, bring it to the present layout. One caller at a time makes a new file.

    `patience`: seconds to wait for another program's transaction. `examine`: look at every page for damage first.
    """
    identity = _check_files(path)
    try:
        database = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise trouble(path, error) from error
    try:
        version = _version(path, database, layout, examine)
        if database.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise KeepError(
                f"{path} lies on a file system that cannot keep a write-ahead log. Keep it on a local disk."
            )
        database.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}")
        database.execute("PRAGMA synchronous = FULL")
        if version < len(layout.steps):
            _bring_up(database, layout)
        if not os.path.samestat(path.lstat(), identity):
            raise DeniedError(f"{path} was exchanged while it was opened. Keep it where only this user can write.")
    except BaseException as error:
        database.close()
        if isinstance(error, UnicodeError):  # in the words with which SQLite describes the damage
            raise trouble(path, sqlite3.DatabaseError(f"what it says of itself is no text: {error}")) from error
        if isinstance(error, (sqlite3.Error, OSError)) and not isinstance(error, TincansError):
            raise trouble(path, error) from error
        raise
    return database


def _bring_up(database: sqlite3.Connection, layout: Layout) -> None:
    """Bring the layout up to date, in one transaction."""
    database.execute("BEGIN IMMEDIATE")
    (version,) = database.execute("PRAGMA user_version").fetchone()  # another program may have been quicker
    for step in layout.steps[version:]:
        for statement in step:
            database.execute(statement)
    database.execute(f"PRAGMA application_id = {layout.application_id}")
    database.execute(f"PRAGMA user_version = {max(version, len(layout.steps))}")
    database.execute("COMMIT")


def _version(path: Path, database: sqlite3.Connection, layout: Layout, examine: bool) -> int:
    """The layout that the file has, 0 for a new one. KeepError when it is not ours, too new or damaged."""
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if owner != layout.application_id:
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (owner, version, tables) != (0, 0, 0):
            raise KeepError(
                f"{path} is a database of another program, or was made for another use (`keep=` and `sqlite:` are two),"
                " and was not touched. Choose another file."
            )
    if version > len(layout.steps):
        raise KeepError(
            f"{path} was written by a newer Tincans (layout {version}; this one knows {len(layout.steps)})."
            " Update tincans."
        )
    if examine:
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    return int(version)


def _check_files(path: Path) -> os.stat_result:
    """DeniedError for anything planted at `path` or beside it; a new file is made, for this user only."""
    try:
        place = path.parent.stat()
    except OSError as error:
        raise refused(path.parent, error) from error
    if place.st_mode & stat.S_IWOTH and not place.st_mode & stat.S_ISVTX:
        raise DeniedError(
            f"Everybody may exchange files in {path.parent}. Keep {path.name} in a directory of your own."
        )
    for suffix in SIDE_FILES:
        _status(path.with_name(path.name + suffix))
    status = _status(path)
    if status is None:
        descriptor = open_private(path, create=True)
        try:
            os.fchmod(descriptor, FILE_MODE)
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)  # nobody has opened what was not there
    if status.st_mode & 0o077:
        path.chmod(FILE_MODE)
    return status


def _status(path: Path) -> os.stat_result | None:
    """What stands there, None for nothing; DeniedError for what was planted."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refused(path, error) from error
    check_private(path, status)
    return status


_REASONS = {  # by SQLite's primary result code: what happened, what to do, whether it may pass
    sqlite3.SQLITE_FULL: ("the disk is full", "Free some space and try again.", True),
    sqlite3.SQLITE_IOERR: ("the disk refused", "Look at its space, quota and health, and try again.", True),
    sqlite3.SQLITE_READONLY: ("it is read-only", "Make it and its directory writable.", False),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", "Make its directory writable, and free some space.", False),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", "Put a copy of the file back in its place.", False),
    sqlite3.SQLITE_NOTADB: (
        "it is damaged or no database",
        "Put a copy back in its place, or choose another file.",
        False,
    ),
    sqlite3.SQLITE_TOOBIG: ("a value is too large for it", "Send smaller values.", False),
    sqlite3.SQLITE_BUSY: ("another program is using it", "End that program's transaction.", True),
    sqlite3.SQLITE_LOCKED: ("another program is using it", "End that program's transaction.", True),
}


def is_busy(error: BaseException) -> bool:
    """Whether another program's transaction was in the way: waiting helps."""
    return isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY


def is_full(error: BaseException) -> bool:
    """Whether the disk had no room."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def trouble(path: Path, error: BaseException) -> KeepError:
    """An error of SQLite, or of a value that it cannot hold, as one that says what to do."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT if type(error) is sqlite3.DatabaseError else -1)
    what, advice, passing = _REASONS.get(code & 0xFF, ("it did not take this", "See the reason in brackets.", False))
    return KeepError(f"{path} cannot be used: {what} ({error}). Nothing was changed. {advice}", temporary=passing)


def held_up(path: Path, patience: float) -> WaitTimeoutError:
    """Others' transactions took all the time."""
    return WaitTimeoutError(f"Other programs held {path} for {patience:g} s. Nothing was changed. Try again.")


def never_close(database: sqlite3.Connection | None) -> None:
    """In a forked child: hold on to the parent's handle for ever, and never use it.

    SQLite closing its copy in the child takes back a transaction that the parent is in the middle of, in the memory
    they share, and so damages the file.
    """
    if database is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(database))
