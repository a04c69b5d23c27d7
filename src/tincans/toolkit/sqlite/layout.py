"""How the shared file is laid out, and which bytes and slots of its bell mean what.

Rules of this file
- The layout only grows, by steps (database_file.py). The numbers of bytes and slots are part of it.
"""

from __future__ import annotations

from typing import Final

from tincans.toolkit.files.database_file import Layout

READY: Final = 0.5
FREE: Final = 1 << 62

LAYOUT = Layout(
    0x54494E53,  # "TINS"
    (
        (
            "CREATE TABLE meta (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
            "INSERT INTO meta VALUES ('run', 0), ('owner', 0)",
            # due: READY, or when its delay or its lease ends; lease: FREE when nobody has it. Both always take eight
            # bytes, and the value stands last: so taking a job writes its first page only, however large it is.
            "CREATE TABLE jobs (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, deliveries INTEGER NOT NULL DEFAULT 0,"
            f" due REAL NOT NULL DEFAULT {READY}, lease INTEGER NOT NULL DEFAULT {FREE}, value BLOB NOT NULL)",
            "CREATE INDEX jobs_in_turn ON jobs (queue, due)",
            "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, number INTEGER NOT NULL,"
            " value BLOB NOT NULL, at REAL NOT NULL)",
            "CREATE TABLE topics (topic TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
            # a version is never used twice, for it is the row's number
            "CREATE TABLE state (version INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE,"
            " value BLOB NOT NULL)",
            "CREATE TABLE locks (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, token INTEGER NOT NULL)",
            # run: the server that has taken it up, 0 for none
            "CREATE TABLE boxes (id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL DEFAULT 0)",
            "CREATE TABLE letters (id INTEGER PRIMARY KEY, box INTEGER NOT NULL, down INTEGER NOT NULL,"
            " body BLOB NOT NULL, at REAL NOT NULL)",
            "CREATE INDEX letters_in_box ON letters (box, down)",
            "CREATE TABLE left_calls (ticket TEXT PRIMARY KEY, request BLOB NOT NULL, run INTEGER NOT NULL DEFAULT 0,"
            " at REAL NOT NULL, answer BLOB)",
            "CREATE INDEX left_calls_open ON left_calls (at) WHERE answer IS NULL",
            "CREATE INDEX left_calls_answered ON left_calls (at) WHERE answer IS NOT NULL",
        ),
    ),
)

# Bytes of the bell's file that are locks, far behind its end
OPENING: Final = 1 << 32
SERVING: Final = OPENING + 1
RUNS: Final = 1 << 40
BOXES: Final = 1 << 41
OWNERS: Final = 1 << 42
LOCKS: Final = 1 << 43

# Slots of the bell that have no name
TO_SERVER: Final = 0
NEWS: Final = 1


def next_number(name: str) -> str:
    """The statement that counts one up, and gives it; it begins anew where somebody has removed it."""
    return (
        f"INSERT INTO meta VALUES ('{name}', 1) ON CONFLICT (name) DO UPDATE SET number = CAST(number AS INTEGER) + 1"
        " RETURNING CAST(number AS INTEGER)"
    )
