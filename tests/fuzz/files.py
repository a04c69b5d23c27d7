"""Damaged and forged files into whatever reads files: `python tests/fuzz/files.py [NAME] COUNT [SEED]`.

Rules of this file
- A file is damaged between two uses, by somebody who knows its format: checksums are made right again, mostly.
- Nothing but our own errors may come out, nothing may hang, and a value read must be one that can be sent again.
- What was refused as damaged is left as it was. Reproducible by seed and round, which a failure names.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from tincans.contracts import Board
from tincans.core.address import parse
from tincans.core.framing import framing as framing_of
from tincans.errors import TincansError
from tincans.finder import find_transport, find_wire
from tincans.toolkit.files.keep import Keep
from tincans.toolkit.mapped import line, store
from tincans.toolkit.mapped.store import HEADERS, PAGE
from tincans.toolkit.signals.directory import SignalDirectory
from tincans.toolkit.signals.target import target_of

NUMBERS = [0, 1, 8, 127, PAGE, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1]
IMPATIENCE = 0.002
"""Seconds for a writer who may be in the middle of it: here nobody is."""

Round = Callable[[random.Random], None]


def mutated(chance: random.Random, data: bytes, pieces: list[bytes]) -> bytes:
    """Bytes with a few changes."""
    changed = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(4):
            case 0:
                changed[at:at] = chance.choice(pieces)
            case 1:
                del changed[at : at + chance.randrange(12)]
            case 2:
                changed[at : at + 1] = chance.randbytes(1)
            case _:
                changed[at : at + 8] = struct.pack("<Q", chance.choice(NUMBERS))
    return bytes(changed)


def _board(url: str, wire: str) -> Board:
    found = find_wire("" if wire == "native" else wire)
    board = find_transport(parse(url).method).board(parse(url), wire=found, timeout=1)
    assert board is not None
    return board


def _use(board: Board, chance: random.Random) -> None:
    """Everything that reads, and now and then something that writes."""
    wait = 0.0
    deeds: list[Callable[[], Any]] = []
    if (values := board.values) is not None:
        deeds += [
            lambda: values.keys(timeout=wait),
            lambda: values.get("mood", timeout=wait),
            lambda: values.set("mood", [1, "x"], timeout=wait),
            lambda: values.delete("n", timeout=wait),
        ]
    if (queues := board.queues) is not None:
        deeds += [
            lambda: queues.count("jobs", timeout=wait),
            lambda: queues.put("jobs", 5, limit=9, policy="refuse", delay=0.0, timeout=wait),
            lambda: _take(queues),
        ]
    for deed in chance.sample(deeds, 2):
        with contextlib.suppress(TincansError):
            deed()


def _take(queues: Any) -> None:
    job = queues.take("jobs", lease=5.0, max_deliveries=2, timeout=0.0)
    if job is not None:
        queues.give_back(job, delay=0.0, timeout=0.0)


DOCUMENT = b"""{"state": {"mood": "good", "n": 5}, "flags": {"paused": true}, "versions": {"mood": 3}, "count": 9,
"queues": {"jobs": [{"value": 5}, {"value": {"$tuple": [1]}, "deliveries": 1, "lease": {"receipt": "r", "until": 1e9}},
{"value": 6, "due": 5.5}]}, "commands": [{"id": "a", "call": "add", "args": [1, 2]}], "finished": []}"""
WORDS = [b"null", b"[", b"]", b"{", b"}", b'"', b"-1", b"1e308", b"9" * 40, b"1e999", b'"$tuple":', b"true",
         b'"value":', b"[" * 3000, b"\xff", b'"\\ud800"', b"5.5", b'"due":', b'"lease":', b",", b":"]  # fmt: skip


@contextlib.contextmanager
def documents(place: Path) -> Iterator[Round]:
    """JSON that people and scripts write."""
    path = place / "board.json"
    board = _board(f"file:{path}?fsync=no", "commands")

    def one(chance: random.Random) -> None:
        path.write_bytes(mutated(chance, DOCUMENT, WORDS))
        path.chmod(0o600)
        _use(board, chance)

    yield one
    board.close()


@contextlib.contextmanager
def stores(place: Path) -> Iterator[Round]:
    """Pages with values, laid out by somebody who can do checksums."""
    path, store._PATIENCE = place / "pages", IMPATIENCE
    board = _board(f"mmap:{path}?size=16384", "native")
    assert board.values is not None
    for number in range(5):
        board.values.set("mood" if number % 2 else f"k{number}", "x" * number * 30, timeout=1)
    board.close()
    good = path.read_bytes()

    def one(chance: random.Random) -> None:
        path.write_bytes(_forged_store(chance, good))
        with contextlib.suppress(TincansError):
            again = _board(f"mmap:{path}?size=16384", "native")
            _use(again, chance)
            again.close()

    yield one


def _forged_store(chance: random.Random, good: bytes) -> bytes:
    data = bytearray(good)
    for _ in range(chance.randrange(1, 4)):
        at = chance.choice((0, 4, 8, 12, 20, 24, 28, 60)) if chance.random() < 0.7 else chance.randrange(400)
        data[at : at + 4] = struct.pack("<I", chance.choice(NUMBERS) & 0xFFFFFFFF)
    if chance.random() < 0.7:  # the first record's checksum is right
        names, values = struct.unpack_from("<II", data, 4)
        data[0:4] = struct.pack("<I", crc32(data[4 : 24 + min(names + values, 4096)]))
    if chance.random() < 0.5:
        header = len(data) - HEADERS + chance.choice((0, HEADERS // 2))
        field = header + chance.choice((8, 16, 24))
        data[field : field + 8] = struct.pack("<Q", chance.choice(NUMBERS))
        data[header + 40 : header + 44] = struct.pack("<I", crc32(data[header : header + 40]))
    return bytes(data[: chance.choice((len(data), len(data), len(data), 0, 100, PAGE, len(data) - 1))])


@contextlib.contextmanager
def lines(place: Path) -> Iterator[Round]:
    """One line of text, from a program that knows nothing of us."""
    path, line._PATIENCE = place / "line", IMPATIENCE
    board = _board(f"mmap:{path}", "text")
    pieces = [
        b"=",
        b'"',
        b"\n",
        b"\0",
        b"[",
        b"{",
        b" ",
        b"mood=",
        b"\xff",
        b"9" * 5000,
        b"[" * 3000,
        b"\\u0000",
        b"n=5",
    ]

    def one(chance: random.Random) -> None:
        text = mutated(chance, chance.choice([b'mood="sunny day" n=5\n', b"plain words\n", b""]), pieces)
        with path.open("r+b") as file:
            file.write(text[:PAGE])
            if chance.random() < 0.02:
                file.truncate(chance.choice((0, 1, PAGE, PAGE + 5)))
        _use(board, chance)

    yield one
    board.close()


@contextlib.contextmanager
def flags(place: Path) -> Iterator[Round]:
    """Flags, and pid files of programs that are none."""
    directory = SignalDirectory(place / "signals")
    flag, program = place / "signals" / "flags" / "paused", place / "signals" / "999999999"
    pieces = [b"0", b"1", b" ", b"false", b"9" * 40, b"\xff", b"\n", b"start=", b"*", b"\0", b"-1", b"start=99"]

    def one(chance: random.Random) -> None:
        flag.write_bytes(mutated(chance, b"1 7                  \n", pieces))
        flag.chmod(0o600)
        program.write_bytes(mutated(chance, b"* start=1234\n", pieces))
        program.chmod(0o600)
        with contextlib.suppress(TincansError):
            directory.get("paused")
            assert target_of(program) is None
            directory.set("paused", chance.random() < 0.5, timeout=1)

    yield one
    directory.close()


@contextlib.contextmanager
def rows(place: Path) -> Iterator[Round]:
    """Rows that somebody with an SQLite shell has written, of any type."""
    path = place / "alice.db"
    board = _board(f"json+sqlite:{path}?sync=off", "json")
    assert board.values is not None and board.queues is not None
    board.values.set("mood", "good", timeout=1)
    board.queues.put("jobs", 1, limit=None, policy="wait", delay=0.0, timeout=1)
    database = sqlite3.connect(path, isolation_level=None)
    columns = [
        (table, column[1])
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for column in database.execute(f"PRAGMA table_info({table})").fetchall()
    ]
    found = [b"", b"[1]", "text", "[5]", None, 0, -1, 2**62, 1.5, b"\xff" * 9, "\x00", float("inf"), b"x" * 70_000]

    def one(chance: random.Random) -> None:
        table, column = chance.choice(columns)
        with contextlib.suppress(sqlite3.Error):
            database.execute(f"UPDATE OR REPLACE {table} SET {column} = ?", (chance.choice(found),))
        _use(board, chance)

    yield one
    database.close()
    board.close()


@contextlib.contextmanager
def letters(place: Path) -> Iterator[Round]:
    """Letters, of all framings, that were written by others."""
    from tincans.toolkit.sqlite.letter import letter_of, parts_in

    names = ["frames", "lines"]
    framings = [framing_of(name) for name in names]

    def one(chance: random.Random) -> None:
        framing = chance.choice(framings)
        data = letter_of([b"envelope", b"part"] if framing is framings[0] else [b'{"id":1}'], framing)
        with contextlib.suppress(TincansError):
            parts_in(mutated(chance, data, WORDS), framing, 1 << 16)

    yield one


@contextlib.contextmanager
def keeps(place: Path) -> Iterator[Round]:
    """The database of `keep=`, with damaged pages."""
    path = place / "kept.db"
    wire = find_wire("")
    keep = Keep(path, encode=wire.pack, decode=wire.unpack)
    keep.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO jobs VALUES (1, 'jobs', ?, 0, 0)", (wire.pack([1]),))
        database.execute("INSERT INTO state VALUES ('mood', 1, ?)", (wire.pack("good"),))
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    good = path.read_bytes()
    found = ["text", None, 0, -1, 2**62, 1.5, b"", b"\xff", float("inf")]

    def one(chance: random.Random) -> None:
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.write_bytes(good)
        if chance.random() < 0.5:
            path.write_bytes(mutated(chance, good, [b"\0", b"\xff" * 30, b"CREATE"]))
        else:
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
                table, column = chance.choice(
                    [("meta", "number"), ("jobs", "value"), ("jobs", "deliveries"), ("jobs", "due"),
                     ("state", "version"), ("state", "value"), ("state", "key"), ("jobs", "queue"), ("meta", "name")]
                )  # fmt: skip
                with contextlib.suppress(sqlite3.Error):
                    database.execute(f"UPDATE OR REPLACE {table} SET {column} = ?", (chance.choice(found),))
        with contextlib.suppress(TincansError):
            again = Keep(path, encode=wire.pack, decode=wire.unpack)
            try:
                restore(again)
            finally:
                again.close()

    yield one


def restore(keep: Keep) -> None:
    """As a server does when it starts."""
    from tincans.core.hub import Hub

    Hub.restore(keep.load(), now=0.0)


READERS = {
    "documents": documents, "stores": stores, "lines": lines, "flags": flags, "rows": rows, "letters": letters,
    "keeps": keeps,
}  # fmt: skip


def fuzz(name: str, count: int, seed: int) -> None:
    """`count` damaged files for one reader."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="tincans-fuzz-") as place, READERS[name](Path(place)) as one:
        for number in range(count):
            try:
                one(chance)
            except Exception as error:
                raise AssertionError(f"{name}, seed {seed}, round {number}") from error


def main() -> None:
    """All readers, or one."""
    words = sys.argv[1:]
    names = [words.pop(0)] if words and words[0] in READERS else list(READERS)
    amount = int(words[0]) if words else 1_000_000
    seed = int(words[1]) if len(words) > 1 else random.SystemRandom().randrange(1 << 32)
    for name in names:
        fuzz(name, amount, seed)
        print(f"{name}: {amount} damaged files, nothing but our own errors, seed {seed}", flush=True)


if __name__ == "__main__":
    main()
