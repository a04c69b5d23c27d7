"""What stands at the place of a shared file before it is ours, and the disk below it.

Rules of this file
- A refusal leaves everything as it was.
"""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from planted import PLANTS
from sqlite_stage import bob, path, run

import tincans
from tincans.errors import (
    AddressError,
    DeniedError,
    KeepError,
    UnsupportedError,
)
from tincans.toolkit.files import local_disk

__all__ = ["bob", "path"]


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal", ".lock"])
@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_planted_is_refused_and_not_touched(
    path: Path, tmp_path: Path, suffix: str, plant: Callable[[Path, Path], None]
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    plant(path.with_name(path.name + suffix), victim)
    with pytest.raises(DeniedError):
        tincans.connect(f"sqlite:{path}")
    assert victim.read_text() == "mine"


def test_every_file_is_for_this_user_only(path: Path, bob: Any) -> None:
    bob.queue("jobs").put(1)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == dict.fromkeys(["alice.db", "alice.db-wal", "alice.db-shm", "alice.db.lock"], 0o600)


def test_a_file_that_is_no_database_is_refused_unchanged(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(KeepError, match="damaged or no database"):
        tincans.connect(f"sqlite:{path}")
    assert path.read_bytes() == b"Dear diary, " * 1000


def test_another_programs_database_is_refused_unchanged(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(KeepError, match="another program"):
        tincans.connect(f"sqlite:{path}")
    assert path.read_bytes() == before


def test_a_file_that_a_server_keeps_is_refused(path: Path) -> None:
    tincans.serve("memory:keeper", keep=path).close()
    with pytest.raises(KeepError, match="keep="):
        tincans.connect(f"sqlite:{path}")


def test_a_file_of_a_newer_tincans_is_refused(path: Path) -> None:
    tincans.connect(f"sqlite:{path}").close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(KeepError, match=r"newer Tincans.*99.*Update"):
        tincans.connect(f"sqlite:{path}")


def test_a_file_that_another_program_holds_while_it_is_opened_is_waited_for(path: Path, bob: Any) -> None:
    bob.state["key"] = 1
    bob.close()  # the last one folds the log in
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("COMMIT")  # it keeps its lock
    found: list[Any] = []

    def look() -> None:
        with tincans.connect(f"sqlite:{path}") as peer:
            found.append(peer.state["key"])

    looking = threading.Thread(target=look)
    looking.start()
    looking.join(0.3)
    assert looking.is_alive()
    other.close()
    looking.join(10)
    assert found == [1]


def test_a_network_file_system_is_refused_by_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_disk, "_kind", lambda path: 0x6969)
    with pytest.raises(UnsupportedError, match="NFS"):
        tincans.connect(f"sqlite:{path}")


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="nowhere"):
        tincans.connect(f"sqlite:{tmp_path}/nowhere/alice.db")


@pytest.mark.parametrize("url", ["sqlite:", "sqlite://host/alice.db"])
def test_an_address_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(AddressError, match="names no file"):
        tincans.connect(url)


def test_a_policy_that_there_is_not_is_refused_with_the_ones_there_are(path: Path) -> None:
    with pytest.raises(AddressError, match="full, normal, off"):
        tincans.connect(f"sqlite:{path}?sync=sometimes")


# -- disks ------------------------------------------------------------------------------------------------------------

FILL = """
import pathlib, sys, tincans
from tincans.errors import TincansError
junk = pathlib.Path(sys.argv[1], "junk")
junk.write_bytes(bytes(3_000_000))
bob = tincans.connect(f"sqlite:{sys.argv[1]}/alice.db")
jobs, count = bob.queue("jobs"), 0
try:
    while True:
        jobs.put(bytes(20_000))
        count += 1
except TincansError as error:
    print(type(error).__name__, error)
bob.close()
with tincans.connect(f"sqlite:{sys.argv[1]}/alice.db") as bob:
    print(count, bob.queue("jobs").count())
    junk.unlink()
    for _ in range(count):
        with bob.queue("jobs").take(timeout=0) as job:
            assert job.value == bytes(20_000)
"""


def test_a_full_disk_is_a_clear_error_and_what_was_acknowledged_stays(tmp_path: Path) -> None:
    done = run(FILL, tmp_path, inside=f"mount -t tmpfs -o size=4m tmpfs {tmp_path}")
    said = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert said[0].startswith("KeepError")
    assert "disk" in said[0] and "Nothing was changed" in said[0]
    put, there = map(int, said[1].split())
    assert put == there > 0


TRY_ALL = """
import sys, tincans
from tincans.errors import TincansError
for attempt in (tincans.connect, tincans.serve):
    try:
        attempt(f"sqlite:{sys.argv[1]}/alice.db")
    except TincansError as error:
        print(type(error).__name__, error)
"""


def test_a_full_disk_from_the_start_is_a_clear_error(tmp_path: Path) -> None:
    inside = f"mount -t tmpfs -o size=64k tmpfs {tmp_path}; head -c 64k /dev/zero > {tmp_path}/junk"
    done = run(TRY_ALL, tmp_path, inside=inside)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["KeepError"] * 2


def test_a_read_only_disk_is_a_clear_error_and_the_content_stays(path: Path, bob: Any) -> None:
    bob.queue("jobs").put("x")
    bob.close()
    inside = f"mount --bind {path.parent} {path.parent} && mount -o remount,bind,ro {path.parent}"
    done = run(TRY_ALL, path.parent, inside=inside)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 2
    assert all(line.split()[0] in ("DeniedError", "KeepError") and str(path) in line for line in said)
    with tincans.connect(f"sqlite:{path}") as again:
        assert again.queue("jobs").take(timeout=0).value == "x"
