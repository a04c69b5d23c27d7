"""The SQLite file of toolkit/files/keep.py: its layout, and the number of each run.

Rules of this file
- One program at a time uses it (keep.py holds its lock); what any SQLite file of ours needs is in database_file.py.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tincans.toolkit.files.database_file import Layout, open_database, trouble

LAYOUT = Layout(
    0x54494E43,  # "TINC"
    (
        (
            "CREATE TABLE meta (name TEXT PRIMARY KEY, number INTEGER NOT NULL)",
            "INSERT INTO meta VALUES ('run', 0), ('floor', 0)",
            "CREATE TABLE jobs (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, value BLOB NOT NULL,"
            " deliveries INTEGER NOT NULL, due REAL NOT NULL)",
            "CREATE TABLE state (key TEXT PRIMARY KEY, version INTEGER NOT NULL, value BLOB)",  # no value: deleted
        ),
    ),
)
_PATIENCE = 1.0  # seconds that somebody looking into the file with another program may hold up a commit


def open_kept(path: Path, *, fsync: bool) -> sqlite3.Connection:
    """Open the file and begin a run."""
    database = open_database(path, LAYOUT, patience=_PATIENCE, examine=True)
    try:
        # With the disk's promise also without `fsync`: a run's number must never come twice.
        database.execute("UPDATE meta SET number = number + 1 WHERE name = 'run'")
        if not fsync:
            database.execute("PRAGMA synchronous = NORMAL")
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.Error):
            raise trouble(path, error) from error
        raise
    return database
