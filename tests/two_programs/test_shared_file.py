"""Programs that share a file and need not run at the same time: what waits, what is felt at once, what happens once.

Rules of this file
- Alice and Bob are really separate and really killed; a bound of time is taken from the quickest of a few rounds.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from two_programs.programs import FACES, PROMPTLY, Program, Stage
from two_programs.test_death import quickest

import tincans
from tincans.conformance.patience import eventually
from tincans.errors import NameInUseError

METHOD = "sqlite:{dir}/alice.db"
pytestmark = [pytest.mark.parametrize("method", [METHOD]), pytest.mark.parametrize("face", FACES)]


def bob_of(stage: Stage) -> Program:
    """Bob, connected; Alice may be there or not."""
    bob = stage.bob()
    bob.ask("connect", stage.url)
    return bob


def kill(program: Program) -> None:
    program.kill()
    program.ended()


def test_a_call_waits_in_the_file_until_alice_comes(stage: Stage) -> None:
    bob = bob_of(stage)
    order = bob.do("call", "add", 2, 5)
    stage.alice()
    assert order.result() == 7


def test_a_call_left_by_a_program_that_ended_is_answered_for_another_one(stage: Stage) -> None:
    bob = bob_of(stage)
    ticket = bob.ask("leave", "add", 2, 5)
    kill(bob)
    alice = stage.alice()
    with tincans.connect(stage.url) as watcher:
        eventually(watcher.ticket(ticket).is_answered)
    kill(alice)
    other = bob_of(stage)
    assert [other.ask("collect", ticket, 0) for _ in range(2)] == [7, 7]


def test_what_a_left_call_raised_is_raised_by_its_ticket(stage: Stage) -> None:
    stage.alice()
    bob = bob_of(stage)
    ticket = bob.ask("leave", "fail", "ValueError", "too bad")
    assert "ValueError" in bob.do("collect", ticket, 5).wait()["kinds"]


def test_a_ticket_that_nobody_was_given_is_a_lookup_error(stage: Stage) -> None:
    assert bob_of(stage).do("collect", "nonsense", 0).wait()["error"] == "LookupError"


def test_many_calls_left_are_all_answered_once(stage: Stage) -> None:
    bob = bob_of(stage)
    tickets = [bob.ask("leave", "count_up") for _ in range(100)]
    stage.alice()
    assert sorted(bob.ask("collect", ticket, 10) for ticket in tickets) == list(range(1, 101))


def test_a_notification_of_a_program_that_ended_is_found_at_the_next_start(stage: Stage) -> None:
    bob = bob_of(stage)
    bob.ask("notify", "note", "remember")
    kill(bob)
    stage.alice()
    other = bob_of(stage)
    eventually(lambda: other.ask("call", "noted") == ["remember"])


def test_a_call_that_timed_out_while_alice_was_away_is_not_run_when_she_comes(stage: Stage) -> None:
    bob = bob_of(stage)
    began = time.monotonic()
    assert bob.do("call_within", 0.2, "note", "too late").wait()["error"] == "CallTimeoutError"
    assert 0.19 < time.monotonic() - began < 1
    stage.alice()
    assert bob.ask("call", "noted") == []


def test_a_call_whose_caller_was_killed_is_not_run_after_its_deadline(stage: Stage) -> None:
    bob = bob_of(stage)
    bob.do("call_within", 0.3, "note", "too late")
    place = stage.url.partition(":")[2]
    eventually(lambda: letters(place) == 1)
    kill(bob)
    over = time.monotonic() + 0.4
    eventually(lambda: time.monotonic() > over)
    stage.alice()
    assert bob_of(stage).ask("call", "noted") == []


def letters(place: str) -> int:
    """How many lie in the file."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(place)) as database:
        count: int = database.execute("SELECT count(*) FROM letters").fetchone()[0]
    return count


def test_killing_alice_ends_every_call_that_she_took_within_100_ms(method: str, face: str) -> None:
    def round() -> float:
        stage = Stage(method, face)
        try:
            alice, bob, _ = stage.pair()
            assert alice is not None
            orders = [bob.do("call", "sleep", 600), bob.do("start", "sleep", 600), bob.do("stream")]
            bob.said("streaming")
            eventually(lambda: bob.ask("call", "open") == [2, 1])
            killed = alice.kill()
            reports = [order.wait() for order in orders]
            assert [report["error"] for report in reports] == ["DisconnectedError"] * 3
            assert [report["outcome"] for report in reports[:2]] == ["unknown"] * 2
            return float(max(report["at"] for report in reports)) - killed
        finally:
            stage.close()

    quickest(round, PROMPTLY)


def test_what_needs_no_alice_goes_on_without_her(stage: Stage) -> None:
    alice, bob, _ = stage.pair()
    assert alice is not None
    waits = [
        bob.do("take", "jobs"),
        bob.do("watch", "key"),
        bob.do("wait_for_flag", "flag"),
        bob.do("subscribe", "news"),
    ]
    kill(alice)
    other = bob_of(stage)
    with tincans.connect(stage.url) as third:
        third.flag("flag").set()
        eventually(lambda: other.ask("publish", "news", 1) is None and waits[3].is_done)
    other.ask("put", "jobs", "x")
    other.ask("set", "key", "value")
    assert [order.result() for order in waits] == [["x", 1], "value", True, ["news", 1, 0]]


def test_a_restarted_alice_is_used_again_without_a_new_connect(stage: Stage) -> None:
    alice, bob, pid = stage.pair()
    assert alice is not None
    kill(alice)
    stage.alice()
    assert bob.ask("call", "add", 2, 5) == 7
    assert bob.ask("call", "pid") != pid


def test_a_call_made_while_alice_is_down_waits_for_her(stage: Stage) -> None:
    alice, bob, _ = stage.pair()
    assert alice is not None
    kill(alice)
    order = bob.do("call_again", 10, "add", 2, 5)
    stage.alice()
    assert order.result() == 7


def test_a_left_call_that_a_killed_alice_had_taken_is_not_run_again(stage: Stage) -> None:
    alice, bob, _ = stage.pair()
    assert alice is not None
    ticket = bob.ask("leave", "note_and_sleep", "once", 600)
    eventually(lambda: bob.ask("call", "noted") == ["once"])
    kill(alice)
    stage.alice()
    report = bob.do("collect", ticket, 5).wait()
    assert (report["error"], report["outcome"]) == ("DisconnectedError", "unknown")
    assert bob_of(stage).ask("call", "noted") == []


def test_a_left_call_of_an_idempotent_function_is_run_again(stage: Stage) -> None:
    alice, bob, _ = stage.pair()
    assert alice is not None
    assert bob.ask("call", "count_up") == 1
    alice.process.send_signal(19)  # SIGSTOP: what is left now is taken, if at all, by the next one
    ticket = bob.ask("leave", "count_up")
    mark_as_taken(stage.url.partition(":")[2], ticket)
    kill(alice)
    stage.alice()
    assert bob.ask("collect", ticket, 5) == 1


def mark_as_taken(place: str, ticket: str) -> None:
    """As a run marks it that takes the call."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(place)) as database, database:
        database.execute("UPDATE left_calls SET run = 1 WHERE ticket = ?", (ticket,))


def test_the_lock_of_a_killed_program_is_free_within_100_ms(method: str, face: str) -> None:
    def round() -> float:
        stage = Stage(method, face)
        try:
            holder, waiter = bob_of(stage), bob_of(stage)
            assert holder.ask("lock", "update")
            order = waiter.do("lock", "update", 5)
            assert waiter.ask("lock", "update", 0.05) is False
            killed = holder.kill()
            assert order.result() is True
            return float(order.told["at"]) - killed
        finally:
            stage.close()

    quickest(round, PROMPTLY)


def test_the_job_of_a_killed_program_goes_to_another_at_once(method: str, face: str) -> None:
    def round() -> float:
        stage = Stage(method, face)
        try:
            first, second = bob_of(stage), bob_of(stage)
            first.ask("put", "jobs", "x")
            assert first.ask("take", "jobs") == ["x", 1]
            order = second.do("take", "jobs")
            assert second.ask("get", "nothing") is None
            killed = first.kill()
            assert order.result() == ["x", 2]
            return float(order.told["at"]) - killed
        finally:
            stage.close()

    quickest(round, PROMPTLY)


def test_a_killed_bob_is_forgotten(stage: Stage) -> None:
    stage.alice()
    bob, other = bob_of(stage), bob_of(stage)
    bob.ask("call", "add", 1, 1)
    assert other.ask("call", "links") == 2
    kill(bob)
    eventually(lambda: other.ask("call", "links") == 1)


def test_a_second_alice_is_refused_while_the_first_lives(stage: Stage) -> None:
    alice = stage.alice()
    with pytest.raises(NameInUseError, match="Another live program serves"):
        tincans.serve(stage.url)
    kill(alice)
    tincans.serve(stage.url).close()


def test_an_idle_pair_uses_no_processor(stage: Stage) -> None:
    alice, bob, _ = stage.pair()
    assert alice is not None
    bob.do("take", "jobs")
    bob.do("subscribe", "news")
    bob.do("call", "sleep", 600)
    eventually(lambda: bob.ask("call", "open") == [1, 0])

    def used() -> int:
        """Hundredths of a second."""
        fields = [Path(f"/proc/{p.pid}/stat").read_text().rpartition(")")[2].split() for p in (alice, bob)]
        return sum(int(field[11]) + int(field[12]) for field in fields)

    before, over = used(), time.monotonic() + 2.0
    eventually(lambda: time.monotonic() > over)
    assert used() - before <= 4


def test_nothing_is_left_but_the_file_and_its_lock(stage: Stage) -> None:
    alice, bob, _ = stage.pair()
    assert alice is not None
    bob.ask("lock", "held")
    kill(bob)
    kill(alice)
    place = Path(stage.url.partition(":")[2])
    tincans.serve(stage.url).close()
    assert sorted(path.name for path in place.parent.iterdir()) == ["alice.db", "alice.db.lock"]
    assert letters(str(place)) == 0
