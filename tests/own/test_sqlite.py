"""What only a shared file can break: forks, many writers, old rows. What stands at its place: test_sqlite_place.py."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlite_stage import bob, path, rows

import tincans
from tincans.conformance.patience import eventually
from tincans.errors import (
    ArgumentError,
    FullError,
    LeaseLostError,
    TincansError,
    TooLargeError,
    WaitTimeoutError,
)
from tincans.toolkit.files import shared_bell
from tincans.toolkit.sqlite import answers, box, topics

__all__ = ["bob", "path"]

# -- programs ---------------------------------------------------------------------------------------------------------

WRITE = """
import sys, tincans
first = int(sys.argv[2])
with tincans.connect(f"sqlite:{sys.argv[1]}?sync=normal") as bob:
    for number in range(first, first + 200):
        bob.queue("jobs").put(number)
        bob.state[str(first)] = number
"""


def test_many_writers_take_turns_and_nothing_is_lost(path: Path, bob: Any) -> None:
    words = [[sys.executable, "-c", WRITE, str(path), str(k * 1000)] for k in range(6)]
    writers = [subprocess.Popen(each, stderr=subprocess.PIPE, text=True) for each in words]
    for writer in writers:
        _, trouble = writer.communicate(timeout=60)
        assert writer.returncode == 0, trouble
    taken = []
    for _ in range(1200):
        with bob.queue("jobs").take(timeout=0) as job:
            taken.append(job.value)
    assert sorted(taken) == sorted(k * 1000 + n for k in range(6) for n in range(200))
    assert all(taken.index(k * 1000) < taken.index(k * 1000 + 199) for k in range(6))


def in_child(action: Callable[[], bool]) -> bool:
    """Whether it was true in a forked child."""
    child = os.fork()
    if child == 0:
        result = 3
        try:
            result = 0 if action() else 1
        finally:
            os._exit(result)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


def test_a_forked_child_has_handles_of_its_own_and_none_of_its_parents_locks(bob: Any) -> None:
    lock, queue = bob.lock("update"), bob.queue("jobs")
    assert lock.acquire(timeout=1)
    queue.put("mine")
    job = queue.take(timeout=1)

    def child() -> bool:
        queue.put("child's")
        taken = queue.take(timeout=5)
        taken.done()
        return taken.value == "child's" and not bob.lock("update").acquire(timeout=0.05)

    assert in_child(child)
    job.done()
    lock.release()
    assert bob.lock("update").acquire(timeout=1)


def test_a_forked_child_calls_over_a_box_of_its_own(path: Path, bob: Any) -> None:
    with tincans.serve(f"sqlite:{path}") as alice:
        alice.expose(lambda a, b: a + b, name="add")
        assert bob.call.add(1, 2) == 3
        assert in_child(lambda: bob.call.add(2, 5) == 7)
        assert bob.call.add(3, 4) == 7


def test_where_the_kernel_tells_of_no_changes_everything_still_works(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_bell, "watch", lambda path: None)
    with tincans.serve(f"sqlite:{path}") as alice, tincans.connect(f"sqlite:{path}") as bob:
        alice.expose(lambda a, b: a + b, name="add")
        assert bob.call.add(2, 5) == 7
        putter = threading.Timer(0.1, bob.queue("jobs").put, ["late"])
        putter.start()
        assert bob.queue("jobs").take(timeout=5).value == "late"
        putter.join(5)
        lock = bob.lock("update")
        assert lock.acquire(timeout=1)
        releaser = threading.Timer(0.1, lock.release)
        releaser.start()
        assert bob.lock("update").acquire(timeout=5)
        releaser.join(5)


def test_an_address_with_strange_characters_can_be_copied(tmp_path: Path) -> None:
    strange = tmp_path / "a b?c#d%41.db"
    with tincans.serve(f"sqlite:{tmp_path}/a%20b%3Fc%23d%2541.db") as alice:
        assert strange.exists()
        alice.expose(lambda: "here", name="where")
        with tincans.connect(alice.url) as bob:
            assert bob.call.where() == "here"


# -- what is kept, and how long -------------------------------------------------------------------------------------


def test_a_call_that_cannot_be_read_holds_up_nobody(path: Path, bob: Any) -> None:
    bob.with_options(wait=False).call.echo(1)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE left_calls SET request = x'00'")
    with tincans.serve(f"sqlite:{path}") as alice:
        alice.expose(lambda n: n, name="echo")
        assert bob.with_options(wait=False).call.echo(2).result(timeout=5) == 2
        began, used = time.monotonic(), time.process_time()
        eventually(lambda: time.monotonic() > began + 0.3)
        assert time.process_time() - used < 0.2


def test_garbage_in_a_box_ends_that_connection_and_no_other(path: Path, bob: Any) -> None:
    with tincans.serve(f"sqlite:{path}") as alice, tincans.connect(f"sqlite:{path}") as other:
        alice.expose(lambda n: n, name="echo")
        assert (bob.call.echo(1), other.call.echo(2)) == (1, 2)
        box = min(box for (box,) in rows(path, "SELECT id FROM boxes"))
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("INSERT INTO letters (box, down, body, at) VALUES (?, 0, x'0102', 0)", (box,))
        assert other.call.echo(3) == 3
        eventually(lambda: rows(path, f"SELECT run FROM boxes WHERE id = {box}") in ([(-1,)], []))
        assert bob.with_options(idempotent=True).call.echo(4) == 4


def test_the_command_line_puts_takes_and_calls(path: Path) -> None:
    def tincans_says(*words: str) -> str:
        command = [sys.executable, "-m", "tincans", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    tincans_says("put", f"sqlite:{path}", "jobs", '{"x": 1}')
    assert tincans_says("take", f"sqlite:{path}", "jobs") == '{"x": 1}'
    with tincans.serve(f"sqlite:{path}") as alice:
        alice.expose(lambda a, b: a + b, name="add")
        assert tincans_says("call", f"sqlite:{path}", "add", "2", "5") == "7"


def test_letters_of_the_json_wire_are_lines_that_people_can_read(path: Path) -> None:
    with tincans.connect(f"json+sqlite:{path}") as bob:
        bob.notify.add(2, 5)
        (line,) = rows(path, "SELECT body FROM letters")[0]
        assert b'"add"' in line
        assert line.endswith(b"\n")


def test_a_topic_keeps_so_many_notes_and_counts_what_was_lost(bob: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "MOST_NOTES", 100)
    with bob.subscribe("news", on_full="wait") as notes:
        for number in range(640):
            bob.publish("news", number)
        got = [notes.receive(timeout=1)]
        while got[-1].value != 639:
            got.append(notes.receive(timeout=1))
    assert got[0].missed == got[0].value > 0
    assert sum(note.missed for note in got) + len(got) == 640
    assert notes.dropped == got[0].missed


def test_old_notes_are_dropped(path: Path, bob: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "OLDEST_NOTE", 0.0)
    for number in range(70):
        bob.publish("news", number)
    assert rows(path, "SELECT count(*) FROM notes")[0][0] < 10


def test_wildcards_match_and_count_losses_by_topic(bob: Any) -> None:
    with bob.subscribe("news.*", limit=4) as some, bob.subscribe(">", limit=1000) as everything:
        for number in range(5):
            bob.publish("news.a", number)
            bob.publish("news.b", number)
            bob.publish("weather.a", number)
        assert [some.receive(timeout=1).topic for _ in range(4)] == ["news.a", "news.b"] * 2
        assert some.dropped == 6
        assert len([everything.receive(timeout=1) for _ in range(15)]) == 15
    with pytest.raises(ArgumentError):
        bob.publish("news.*", 1)


def test_a_slow_subscriber_is_refused_when_it_asked_for_that(bob: Any) -> None:
    with bob.subscribe("news", limit=2, on_full="refuse") as notes:
        for number in range(3):
            bob.publish("news", number)
        with pytest.raises(FullError):
            notes.receive(timeout=1)
        bob.publish("news", "later")
        note = notes.receive(timeout=1)
        assert (note.value, note.missed) == ("later", None)


def test_old_answers_are_cleaned_up(path: Path, bob: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_ANSWERS", 3)
    with tincans.serve(f"sqlite:{path}") as alice:
        alice.expose(lambda n: n, name="echo")
        left = []
        for number in range(6):
            left.append(bob.with_options(wait=False).call.echo(number))
            assert left[-1].result(timeout=5) == number
    kept = [ticket for ticket in left if str(ticket) in {t for (t,) in rows(path, "SELECT ticket FROM left_calls")}]
    assert 3 <= len(kept) <= 4
    assert kept == left[-len(kept) :]
    with pytest.raises(LookupError, match="cleaned up"):
        left[0].result(timeout=0)


def test_calls_that_nobody_answers_are_refused_beyond_a_bound(bob: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_OPEN", 2)
    for _ in range(2):
        bob.with_options(wait=False).call.add(1, 2)
    with pytest.raises(FullError, match="Start the program"):
        bob.with_options(wait=False).call.add(1, 2)


def test_a_box_that_nobody_empties_takes_so_many_letters(bob: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box, "MOST_WAITING", 5)
    for _ in range(5):
        bob.notify.add(1, 2)
    with pytest.raises(WaitTimeoutError, match="nothing was sent"):
        bob.with_options(timeout=0.1).notify.add(1, 2)


def test_boxes_of_programs_that_are_gone_are_removed(path: Path) -> None:
    with tincans.serve(f"sqlite:{path}") as alice:
        alice.expose(lambda: "here", name="where")
        for _ in range(5):
            with tincans.connect(f"sqlite:{path}") as bob:
                assert bob.call.where() == "here"
        eventually(lambda: rows(path, "SELECT count(*) FROM boxes") == [(0,)])


def test_a_message_over_the_limit_is_refused_before_anything_is_written(path: Path) -> None:
    with tincans.connect(f"sqlite:{path}?max_message=1k") as bob:
        with pytest.raises(TooLargeError):
            bob.notify.add(bytes(2000))
        assert rows(path, "SELECT count(*) FROM letters") == [(0,)]


def test_versions_grow_across_deletes_and_keys(bob: Any) -> None:
    versions = []
    with bob.state.watch("k") as changes:
        for round in range(3):
            bob.state["k"] = round
            versions.append(changes.receive(timeout=1).version)
            bob.state["other"] = round
            del bob.state["k"]
            versions.append(changes.receive(timeout=1).version)
    assert versions == sorted(set(versions))


def test_a_delayed_job_is_taken_when_its_time_has_come(bob: Any) -> None:
    queue = bob.queue("jobs")
    queue.put("later", delay=0.3)
    queue.put("now")
    assert queue.take(timeout=0).value == "now"
    began = time.monotonic()
    assert queue.take(timeout=5).value == "later"
    assert 0.1 < time.monotonic() - began < 2


def test_a_job_given_back_stands_in_front_and_after_its_delay(bob: Any) -> None:
    queue = bob.queue("jobs")
    for value in "abc":
        queue.put(value)
    queue.take(timeout=0).give_back()
    first = queue.take(timeout=0)
    assert (first.value, first.deliveries) == ("a", 2)
    first.give_back(delay=0.2)
    assert [queue.take(timeout=1).value for _ in range(3)] == ["b", "c", "a"]


def test_a_dead_letter_says_what_it_was(bob: Any) -> None:
    queue = bob.queue("jobs", max_deliveries=1)
    queue.put({"x": 1})
    queue.take(timeout=0).give_back()
    letter = queue.dead.take(timeout=0).value
    assert (letter["queue"], letter["value"], letter["deliveries"]) == ("jobs", {"x": 1}, 1)
    assert "given back" in letter["reason"]


def test_the_jobs_of_a_peer_that_was_closed_are_free(path: Path, bob: Any) -> None:
    with tincans.connect(f"sqlite:{path}") as other:
        other.queue("jobs").put("x")
        job = other.queue("jobs").take(timeout=0)
    assert bob.queue("jobs").take(timeout=1).value == "x"
    with pytest.raises(TincansError):
        job.done()


def test_a_job_done_twice_is_an_error(bob: Any) -> None:
    bob.queue("jobs").put("x")
    job = bob.queue("jobs").take(timeout=0)
    job.done()
    with pytest.raises(LeaseLostError):
        job.done()


def test_closing_ends_every_wait(path: Path) -> None:
    bob = tincans.connect(f"sqlite:{path}")
    ended: list[str] = []

    def wait(action: Callable[[], object]) -> None:
        try:
            action()
        except TincansError as error:
            ended.append(error.code)

    waits = [bob.queue("jobs").take, bob.subscribe("news").receive, bob.state.watch("k").receive, bob.flag("f").wait]
    threads = [threading.Thread(target=wait, args=[action]) for action in waits]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    bob.close()
    eventually(lambda: ended == ["closed"] * 4)
    for thread in threads:
        thread.join()
