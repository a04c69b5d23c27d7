"""The file that keeps queues and state: what survives, what is refused, what is left alone."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_desk import Desk
from keep_kills import open_keep, run_rounds

from tincans.core.hub import Hub, JobDelayed, JobPut, Limits, ValueDeleted, ValueSet
from tincans.errors import (
    AddressError,
    ClosedError,
    DeniedError,
    KeepError,
    NameInUseError,
    TincansError,
    UnsendableError,
)
from tincans.toolkit.files import kept_file
from tincans.toolkit.files.database_file import Layout
from tincans.toolkit.files.keep import Keep


class KeptDesk(Desk):
    """A desk whose hub is kept, as a server does it."""

    def __init__(self, keep: Keep, limits: Limits | None = None) -> None:
        super().__init__(keep.load(), limits)
        self.keep = keep

    def ask(self, owner: str, name: str, *args: Any) -> int:
        self.ticket += 1
        outcomes = self.hub.request(owner, self.ticket, name, args, self.now)
        self.seen += self.keep.settle(self.hub, outcomes)
        return self.ticket


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alice.db"


@pytest.fixture
def keep(path: Path) -> Iterator[Keep]:
    keep = open_keep(path)
    yield keep
    keep.close()


Restart = Callable[[], KeptDesk]


@pytest.fixture
def restart(keep: Keep) -> Iterator[Restart]:
    """Close the file and open it again, as a server's next start does."""
    keeps = [keep]

    def again() -> KeptDesk:
        keeps[-1].close()
        keeps.append(open_keep(keep.path))
        return KeptDesk(keeps[-1])

    yield again
    for each in keeps:
        each.close()


def database(keep: Keep) -> sqlite3.Connection:
    assert keep._database is not None
    return keep._database


# -- what survives ------------------------------------------------------------------------------------------------


def test_jobs_and_values_survive_a_restart(keep: Keep, restart: Restart) -> None:
    desk = KeptDesk(keep)
    desk.get("alice", "$put", "q", {"n": 1})
    desk.get("alice", "$set", "mood", None)
    desk = restart()
    assert desk.get("bob", "$take", "q", 5.0, 9)[1:3] == [{"n": 1}, 1]
    assert desk.get("bob", "$get", "mood") == [1, None]


def test_a_job_on_lease_comes_back_ready_with_its_count(keep: Keep, restart: Restart) -> None:
    desk = KeptDesk(keep)
    desk.get("alice", "$put", "q", "x")
    desk.get("bob", "$take", "q", 500.0, 9)
    assert restart().get("bob", "$take", "q", 5.0, 9)[1:3] == ["x", 2]


def test_an_acknowledged_job_does_not_come_back(keep: Keep) -> None:
    desk = KeptDesk(keep)
    desk.get("alice", "$put", "q", "x")
    desk.get("bob", "$ack", "q", desk.get("bob", "$take", "q", 5.0, 9)[0])
    assert keep.load().changes == []


def test_a_dead_letter_survives_with_its_story(keep: Keep, restart: Restart) -> None:
    desk = KeptDesk(keep)
    desk.get("alice", "$put", "q", "x")
    desk.get("bob", "$give_back", "q", desk.get("bob", "$take", "q", 5.0, 1)[0])
    letter = restart().get("bob", "$take", "q.dead", 5.0, 1)[1]
    assert (letter["queue"], letter["value"], letter["deliveries"]) == ("q", "x", 1)


def test_a_dropped_job_stays_dropped(keep: Keep, restart: Restart) -> None:
    desk = KeptDesk(keep)
    desk.get("alice", "$put", "q", "a")
    desk.get("alice", "$put", "q", "b", 1, "drop_oldest")
    assert restart().get("bob", "$take", "q", 5.0, 1)[1] == "b"


def test_a_delay_is_kept_as_wall_clock_time(keep: Keep) -> None:
    desk = KeptDesk(keep)
    desk.get("alice", "$put", "q", "a", None, "wait", 100.0)
    (job,) = keep.load().changes
    assert isinstance(job, JobPut) and 50 < job.delay <= 100


def test_a_job_given_back_for_later_is_still_for_later(keep: Keep) -> None:
    keep.commit([JobPut(1, "q", "a"), JobDelayed(1, 100.0)])
    (job,) = keep.load().changes
    assert isinstance(job, JobPut) and 50 < job.delay <= 100


def test_a_deleted_keys_version_is_kept(keep: Keep, restart: Restart) -> None:
    desk = KeptDesk(keep)
    desk.get("alice", "$set", "mood", "good")
    desk.get("alice", "$delete", "mood")
    assert keep.load().changes == [ValueDeleted("mood", 2)]
    assert restart().get("alice", "$set", "mood", "new") == 3


def test_a_forgotten_keys_version_never_comes_twice_after_a_restart(keep: Keep, restart: Restart) -> None:
    desk = KeptDesk(keep, Limits(deleted_keys=0))
    for _ in range(5):
        desk.get("alice", "$set", "mood", "good")
    desk.get("alice", "$delete", "mood")
    assert (list(keep.load().changes), keep.load().floor) == ([], 6)
    assert restart().get("alice", "$set", "mood", "new") == 7


def test_each_start_is_a_run_of_its_own(keep: Keep, restart: Restart) -> None:
    first = keep.load().run
    assert restart().keep.load().run == first + 1


def test_names_with_odd_characters_survive(keep: Keep, restart: Restart) -> None:
    names = ["a b", "'; DROP TABLE jobs; --", "nul\0inside", "ключ 🥫"]
    desk = KeptDesk(keep)
    for name in names:
        desk.get("alice", "$put", name, name)
        desk.get("alice", "$set", name, name)
    desk = restart()
    assert [desk.get("bob", "$take", name, 5.0, 1)[1] for name in names] == names
    assert [desk.get("bob", "$get", name)[1] for name in names] == names


def test_no_acknowledged_thing_is_lost_by_kills_at_random_instants(path: Path) -> None:
    assert run_rounds(path, rounds=20, seed=os.getpid()) > 100


@pytest.mark.parametrize(("fsync", "level"), [(False, 1), (True, 2)])  # sqlite.org/pragma.html: NORMAL, FULL
def test_fsync_waits_for_the_disk_at_each_commit(path: Path, fsync: bool, level: int) -> None:
    keep = Keep(path, encode=lambda value: b"", decode=lambda data: None, fsync=fsync)
    assert database(keep).execute("PRAGMA synchronous").fetchone() == (level,)
    keep.close()


# -- what cannot be written ---------------------------------------------------------------------------------------


def test_a_full_disk_refuses_the_put_and_nothing_else_changes(keep: Keep) -> None:
    desk = KeptDesk(keep)
    desk.get("alice", "$put", "q", "before")
    (pages,) = database(keep).execute("PRAGMA page_count").fetchone()
    database(keep).execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(KeepError, match="disk is full") as refused:
        desk.get("alice", "$put", "q", "x" * 100_000)
    assert refused.value.temporary
    assert desk.get("bob", "$count", "q") == len(list(keep.load().changes)) == 1


def test_a_put_works_again_when_the_disk_has_space(keep: Keep, restart: Restart) -> None:
    desk = KeptDesk(keep)
    (pages,) = database(keep).execute("PRAGMA page_count").fetchone()
    database(keep).execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(KeepError):
        desk.get("alice", "$put", "q", "x" * 100_000)
    database(keep).execute("PRAGMA max_page_count = 100000")
    desk.get("alice", "$put", "q", "y" * 100_000)
    assert restart().get("bob", "$take", "q", 5.0, 1)[1] == "y" * 100_000


def test_a_waiting_taker_gets_no_job_that_could_not_be_written(keep: Keep) -> None:
    desk = KeptDesk(keep)
    ticket = desk.ask("bob", "$take", "q", 5.0, 9)
    database(keep).execute("PRAGMA query_only = 1")
    with pytest.raises(KeepError, match="read-only"):
        desk.get("alice", "$put", "q", "x")
    with pytest.raises(KeepError):
        raise desk.answer(ticket).error  # type: ignore[union-attr]
    assert desk.get("bob", "$count", "q", "leased") == 0


def run_script(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run `script` with `path` as a program of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


LIMITED = """
import resource, sys
from pathlib import Path
from keep_kills import open_keep
from test_keep import KeptDesk
from tincans.errors import KeepError
keep = open_keep(Path(sys.argv[1]))
desk = KeptDesk(keep)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
put = 0
try:
    while True:
        desk.get("alice", "$put", "q", "x" * 10_000)
        put += 1
except KeepError as error:
    assert desk.get("bob", "$count", "q") == put, "the hub is ahead of its file"
    print(put, error.temporary)
"""


def test_a_real_limit_of_the_system_loses_nothing_that_was_acknowledged(path: Path) -> None:
    said = run_script(LIMITED, path)
    assert said.returncode == 0, said.stderr
    put, temporary = said.stdout.split()
    keep = open_keep(path)
    assert (len(list(keep.load().changes)), temporary) == (int(put), "True")
    keep.close()
    assert int(put) > 5


def test_a_batch_is_written_whole_or_not_at_all(keep: Keep) -> None:
    with pytest.raises(KeepError):
        keep.commit([JobPut(1, "q", "a"), JobPut(2, "q", "b"), JobPut(1, "q", "a second one of this number")])
    assert keep.load().changes == []


@pytest.mark.parametrize(("raised", "told"), [(UnsendableError("args[1]"), UnsendableError), (KeyError(1), KeepError)])
def test_a_value_that_cannot_be_encoded_is_refused_and_not_put(
    path: Path, raised: Exception, told: type[TincansError]
) -> None:
    def encode(value: Any) -> bytes:
        raise raised

    keep = Keep(path, encode=encode, decode=json.loads)
    desk = KeptDesk(keep)
    with pytest.raises(told):
        desk.get("alice", "$put", "q", object())
    assert desk.get("alice", "$count", "q") == 0
    keep.close()


def test_a_name_that_is_no_text_is_refused_and_not_put(keep: Keep) -> None:
    desk = KeptDesk(keep)
    with pytest.raises(KeepError):
        desk.get("alice", "$put", "half a pair: \ud800", "x")
    assert desk.get("alice", "$count", "half a pair: \ud800") == 0


def test_a_program_that_looks_into_the_file_may_delay_but_not_stop_us(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_file, "_PATIENCE", 0.01)
    keep = open_keep(path)
    desk = KeptDesk(keep)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(KeepError, match="another program is using it") as refused:
        desk.get("alice", "$put", "q", "x")
    assert refused.value.temporary
    other.execute("COMMIT")
    other.close()
    desk.get("alice", "$put", "q", "y")
    keep.close()


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


def plant(at: Path, victim: Path, kind: str) -> None:
    makers = {
        "link": lambda: at.symlink_to(victim),
        "dangling link": lambda: at.symlink_to(victim.with_name("nothing")),
        "second name": lambda: at.hardlink_to(victim),
        "pipe": lambda: os.mkfifo(at),
        "directory": at.mkdir,
    }
    makers[kind]()


@pytest.mark.parametrize("kind", ["link", "dangling link", "second name", "pipe", "directory"])
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal", ".lock"])
def test_what_was_planted_is_refused_and_its_victim_unchanged(tmp_path: Path, suffix: str, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    plant(tmp_path / f"alice.db{suffix}", victim, kind)
    with pytest.raises(DeniedError):
        open_keep(tmp_path / "alice.db")
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nothing").exists()


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
rows = [(number, '"' + "x" * 1000 + '"') for number in range(1, 2001)]
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


def test_a_value_that_cannot_be_decoded_is_named(keep: Keep) -> None:
    keep.commit([JobPut(5, "q", "x")])
    database(keep).execute("UPDATE jobs SET value = x'ff'")
    with pytest.raises(KeepError, match="job 5 of the queue 'q' cannot be decoded"):
        keep.load()


def test_a_kept_hub_is_given_back_by_its_keep(keep: Keep) -> None:
    hub = Hub.restore(keep.load(), 0.0)
    outcomes = hub.request("alice", 1, "$get", ("mood",), 0.0)
    assert keep.settle(hub, outcomes) is outcomes
