"""The file of a keep as a file: whose it is, what may stand at its place, how its layout grows."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from keep_kills import open_keep
from keep_stage import KeptDesk, Restart, database, keep, path, restart, run_script
from planted import PLANTS

from tincans.core.hub import JobPut, ValueSet
from tincans.errors import (
    AddressError,
    ClosedError,
    DeniedError,
    KeepError,
    NameInUseError,
    TincansError,
)
from tincans.toolkit.files import kept_file
from tincans.toolkit.files.database_file import Layout
from tincans.toolkit.files.keep import Keep

__all__ = ["keep", "path", "restart"]

# -- whose file it is ---------------------------------------------------------------------------------------------


def test_two_programs_cannot_keep_the_same_file(keep: Keep) -> None:
    with pytest.raises(NameInUseError, match=str(os.getpid())):
        open_keep(keep.path)


def test_the_file_can_be_kept_again_after_a_kill(path: Path) -> None:
    child = "import os, signal, sys; from pathlib import Path; from keep_kills import open_keep\n"
    child += "keep = open_keep(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    assert run_script(child, path).returncode == -signal.SIGKILL
    assert path.with_name("alice.db.lock").exists()
    open_keep(path).close()


def test_only_this_user_can_read_the_file_also_one_that_was_open_to_others(path: Path) -> None:
    path.touch(mode=0o644)
    open_keep(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_closing_leaves_one_file_and_may_be_done_twice(keep: Keep) -> None:
    KeptDesk(keep).get("alice", "$put", "q", "x")
    keep.close()
    keep.close()
    assert [entry.name for entry in keep.path.parent.iterdir()] == ["alice.db"]


def test_a_closed_keep_says_so(keep: Keep) -> None:
    keep.close()
    with pytest.raises(ClosedError):
        keep.commit([JobPut(1, "q", "x")])
    with pytest.raises(ClosedError):
        keep.load()


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal", ".lock"])
def test_what_was_planted_is_refused_and_its_victim_unchanged(
    tmp_path: Path, suffix: str, plant: Callable[[Path, Path], None]
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    plant(tmp_path / f"alice.db{suffix}", victim)
    with pytest.raises(DeniedError):
        open_keep(tmp_path / "alice.db")
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "absent").exists()


def test_a_directory_where_everybody_may_exchange_files_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(DeniedError, match="Everybody"):
        open_keep(place / "alice.db")
    assert not (place / "alice.db").exists()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="nowhere"):
        open_keep(tmp_path / "nowhere" / "alice.db")


FORKING = """
import os, sys
from pathlib import Path
from keep_kills import open_keep
from test_keep import KeptDesk
from tincans.errors import ClosedError
keep = open_keep(Path(sys.argv[1]))
desk = KeptDesk(keep)
child = os.fork()
if child == 0:
    try:
        keep.load()
    except ClosedError:
        keep.close()
        sys.exit(7)
    sys.exit(1)
_, status = os.waitpid(child, 0)
desk.get("alice", "$put", "q", "after the fork")
print(os.waitstatus_to_exitcode(status), flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_forked_child_cannot_use_the_file_nor_harm_it_by_ending(path: Path) -> None:
    said = run_script(FORKING, path)
    assert said.stdout == "7\n", said.stderr
    keep = open_keep(path)
    assert [change.value for change in keep.load().changes] == ["after the fork"]  # type: ignore[union-attr]
    keep.close()


FORKING_MIDWAY = """
import gc, os, sys
from pathlib import Path
from keep_kills import open_keep
keep = open_keep(Path(sys.argv[1]))
database = keep._database
database.execute("PRAGMA cache_size = 5")  # so that a large transaction is in the log before it ends
database.execute("BEGIN IMMEDIATE")
rows = [(number, b'"' + b"x" * 1000 + b'"') for number in range(1, 2001)]
database.executemany("INSERT INTO jobs VALUES (?, 'q', ?, 0, 0)", rows[:1000])
child = os.fork()
if child == 0:
    del database
    gc.collect()
    os._exit(0)
os.waitpid(child, 0)
database.executemany("INSERT INTO jobs VALUES (?, 'q', ?, 0, 0)", rows[1000:])
database.execute("COMMIT")
print(len(keep.load().changes))
"""


def test_a_fork_in_the_middle_of_a_commit_does_not_damage_the_file(path: Path) -> None:
    said = run_script(FORKING_MIDWAY, path)
    assert said.stdout == "2000\n", said.stderr
    keep = open_keep(path)
    assert len(list(keep.load().changes)) == 2000
    keep.close()


# -- what the file is ---------------------------------------------------------------------------------------------


def refused_untouched(path: Path, match: str) -> None:
    """Opening fails with this text, and not one byte of the file has changed."""
    before = path.read_bytes()
    with pytest.raises(KeepError, match=match):
        open_keep(path)
    assert path.read_bytes() == before


def test_a_file_of_a_newer_tincans_is_refused_untouched(path: Path) -> None:
    open_keep(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    refused_untouched(path, "newer Tincans.*99.*Update")


def test_an_older_file_is_brought_up_to_date_with_what_it_holds(
    keep: Keep, restart: Restart, monkeypatch: pytest.MonkeyPatch
) -> None:
    KeptDesk(keep).get("alice", "$put", "q", "old")
    step = ("ALTER TABLE jobs ADD COLUMN colour TEXT",)
    layout = kept_file.LAYOUT
    monkeypatch.setattr(kept_file, "LAYOUT", Layout(layout.application_id, (*layout.steps, step)))
    newer = database(restart().keep)
    assert newer.execute("SELECT queue, colour FROM jobs").fetchall() == [("q", None)]
    assert newer.execute("PRAGMA user_version").fetchone() == (len(kept_file.LAYOUT.steps),)


def test_a_step_that_fails_leaves_the_older_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_keep(path).close()
    with monkeypatch.context() as patch:
        layout = kept_file.LAYOUT
        steps = (*layout.steps, ("CREATE TABLE a (b)", "no statement"))
        patch.setattr(kept_file, "LAYOUT", Layout(layout.application_id, steps))
        with pytest.raises(KeepError):
            open_keep(path)
    keep = open_keep(path)
    assert database(keep).execute("SELECT count(*) FROM sqlite_master WHERE name = 'a'").fetchone() == (0,)
    keep.close()


def test_another_programs_database_is_refused_untouched(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    refused_untouched(path, "another program")


def test_a_file_that_is_no_database_is_refused_untouched(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)
    refused_untouched(path, "damaged or no database")


def test_a_damaged_file_is_refused(path: Path) -> None:
    keep = open_keep(path)
    keep.commit([ValueSet(f"key {number}", 1, "x" * 1000) for number in range(100)])
    keep.close()
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8192] = os.urandom(8192)
    path.write_bytes(data)
    with pytest.raises(KeepError, match="damaged"):
        open_keep(path)


def test_a_refused_file_can_be_replaced_and_kept(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(TincansError):
        open_keep(path)
    path.unlink()
    open_keep(path).close()
