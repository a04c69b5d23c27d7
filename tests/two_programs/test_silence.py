"""A server that is there and says nothing (SIGSTOP), and strings that break at the worst moment.

Rules of this file
- A heartbeat's interval is shortened, so that a test does not take its 20 seconds.
- Where an idempotent call breaks is decided by the server, so that each test always meets the same fault.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from two_programs.programs import FACES, METHODS, STDIO, Program, Stage, method_id, stop

import tincans
from tincans.conformance.patience import eventually

both_faces = pytest.mark.parametrize("face", FACES)
# A wire for foreign programs cannot ask whether they are there.
beating = pytest.mark.parametrize("method", [m for m in [*METHODS, STDIO] if not m.startswith("json")], ids=method_id)
cut = pytest.mark.parametrize("method", METHODS, ids=method_id)
INTERVAL = 0.25
PATIENT_INTERVAL = 0.5
"""Seconds, where a server must answer within them: a machine with other work to do may hold it up for some tenths."""

NOTICED = 2 * INTERVAL + 0.2


@beating
@both_faces
@pytest.mark.parametrize("wait", ["subscribe", "take"])
def test_a_wait_without_end_notices_a_silent_server(stage: Stage, wait: str) -> None:
    _alice, bob, pid = stage.pair()
    bob.ask("beat", INTERVAL)
    bob.ask("lock", "held")
    order = bob.do(wait, "held")
    eventually(lambda: bob.ask("call", "open") in ([1, 0], [0, 1]))
    stop(pid)
    stopped = time.monotonic()
    report = order.wait()
    assert report["error"] == "DisconnectedError"
    assert "silent" in report["text"]
    assert report["at"] - stopped < 5 * NOTICED
    os.kill(pid, signal.SIGCONT)
    if not stage.is_stdio:
        assert bob.ask("call", "pid") == pid


@pytest.mark.parametrize("method", ["{name}", "unix:{name}"], ids=method_id)
@pytest.mark.parametrize("face", FACES)
def test_a_function_that_suddenly_takes_long_keeps_no_earlier_answer_back(stage: Stage) -> None:
    alice = stage.alice()
    with tincans.connect(stage.url + ("?spin=0" if stage.url.isidentifier() else "")) as peer:
        assert peer.start.add(1, 1).result(10) == 2
        stop(alice.pid)
        quick, slow = [peer.start.add(number, 1) for number in range(5)], peer.start.sleep(1.0)
        began: list[float] = []

        def go_on() -> None:  # when somebody sleeps for the answers
            eventually(lambda: peer._way.latest.reading.locked())
            began.append(time.monotonic())
            os.kill(alice.pid, signal.SIGCONT)

        waking = threading.Thread(target=go_on)
        waking.start()
        assert [future.result(10) for future in quick] == [1, 2, 3, 4, 5]
        waking.join()
        assert time.monotonic() - began[0] < 0.5
        assert not slow.done()
        assert slow.result(10) == "awake"


@beating
@both_faces
def test_a_server_that_answers_is_never_called_silent(stage: Stage) -> None:
    _alice, bob, _pid = stage.pair()
    bob.ask("beat", PATIENT_INTERVAL)
    order = bob.do("subscribe", "news")
    eventually(lambda: bob.ask("call", "open") == [0, 1])
    quiet_until = time.monotonic() + 4 * PATIENT_INTERVAL
    eventually(lambda: time.monotonic() > quiet_until or order.is_done)
    assert not order.is_done
    bob.ask("publish", "news", 1)
    assert order.result() == ["news", 1, 0]


@beating
@both_faces
def test_a_client_that_was_stopped_itself_blames_nobody(stage: Stage) -> None:
    _alice, bob, _pid = stage.pair()
    bob.ask("beat", PATIENT_INTERVAL)
    order = bob.do("subscribe", "news")
    eventually(lambda: bob.ask("call", "open") == [0, 1])
    stop(bob.pid)
    over = time.monotonic() + 2 * PATIENT_INTERVAL
    eventually(lambda: time.monotonic() > over)
    os.kill(bob.pid, signal.SIGCONT)
    bob.ask("publish", "news", 1)
    assert order.result() == ["news", 1, 0]


def ask_again(bob: Program, name: str) -> int:
    """Call a function of Alice's that breaks the string the first time."""
    runs: int = bob.ask("call_again", 5.0, name, "x")
    return runs


@cut
@both_faces
def test_an_idempotent_call_whose_answer_was_lost_is_answered_from_the_journal(stage: Stage) -> None:
    _alice, bob, _pid = stage.pair()
    assert ask_again(bob, "cut_before_answering") == 1
    assert bob.ask("call", "runs", "x") == 1


@cut
@both_faces
def test_an_idempotent_call_that_still_runs_is_not_run_again(stage: Stage) -> None:
    _alice, bob, _pid = stage.pair()
    assert ask_again(bob, "cut_while_running") == 1
    assert bob.ask("call", "runs", "x") == 1


@pytest.mark.parametrize("method", [m for m in METHODS if not m.startswith("json")], ids=method_id)
@both_faces
def test_a_function_exposed_as_idempotent_is_repeated_without_being_asked(stage: Stage) -> None:
    stage.alice()
    bob = stage.bob()
    bob.ask("connect", stage.url)
    bob.ask("close")
    bob.ask("connect", stage.url)  # the greeting tells what may be repeated, once everything is exposed
    assert bob.ask("call", "safe_cut_before_answering", "y") == 1
    assert bob.ask("call", "runs", "y") == 1


@cut
@both_faces
def test_any_other_call_is_not_repeated_and_says_that_its_outcome_is_unknown(stage: Stage) -> None:
    _alice, bob, _pid = stage.pair()
    report = bob.do("call", "cut_before_answering", "z").wait()
    assert (report["error"], report["outcome"]) == ("DisconnectedError", "unknown")
    assert bob.ask("call", "runs", "z") == 1
