"""The file that keeps queues and state: what survives, and what cannot be written. As a file: test_keep_file.py."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from keep_kills import open_keep, run_rounds
from keep_stage import KeptDesk, Restart, database, keep, path, restart, run_script

from tincans.core.hub import Hub, JobDelayed, JobPut, Limits, ValueDeleted
from tincans.errors import (
    KeepError,
    TincansError,
    UnsendableError,
)
from tincans.toolkit.files import kept_file
from tincans.toolkit.files.keep import Keep

__all__ = ["keep", "path", "restart"]

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


def test_a_value_that_cannot_be_decoded_is_named(keep: Keep) -> None:
    keep.commit([JobPut(5, "q", "x")])
    database(keep).execute("UPDATE jobs SET value = x'ff'")
    with pytest.raises(KeepError, match="job 5 of the queue 'q' cannot be decoded"):
        keep.load()


def test_a_kept_hub_is_given_back_by_its_keep(keep: Keep) -> None:
    hub = Hub.restore(keep.load(), 0.0)
    outcomes = hub.request("alice", 1, "$get", ("mood",), 0.0)
    assert keep.settle(hub, outcomes) is outcomes
