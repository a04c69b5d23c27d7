"""Start order, Ctrl-C, SIGTERM, fork, and exits without `close`: two programs come and go as programs do.

Rules of this file
- Every program that ends is waited for with a deadline: one that hangs fails its test.
- What a program says on standard error is looked at: an orderly end has no traceback.
"""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
from two_programs.programs import ALL_METHODS, FACES, HERE, METHODS, STDIO, Program, Stage, method_id, state_of

from tincans.conformance.patience import eventually
from tincans.toolkit.files.runtime_directory import runtime_directory

everywhere = pytest.mark.parametrize("method", ALL_METHODS, ids=method_id)
served = pytest.mark.parametrize("method", METHODS, ids=method_id)
both_faces = pytest.mark.parametrize("face", FACES)
sync = pytest.mark.parametrize("face", ["sync"])
on_unix = pytest.mark.parametrize("method", ["unix:{name}"], ids=method_id)


def files() -> set[Path]:
    """Everything in the runtime directory."""
    return set(runtime_directory().rglob("*"))


@served
@both_faces
def test_a_program_that_connects_first_waits_until_the_other_comes(stage: Stage) -> None:
    bob = stage.bob()
    order = bob.do("connect", stage.url, 10.0)
    eventually(lambda: bob.ask("threads") > 1)
    stage.alice()
    order.result()
    assert bob.ask("call", "add", 2, 5) == 7


@served
@both_faces
def test_connecting_to_nobody_ends_at_its_timeout(stage: Stage) -> None:
    bob = stage.bob()
    report = bob.do("connect", stage.url, 0.3).wait()
    assert report["error"] == "UnreachableError"
    assert report["at"] - report["began"] < 2.0
    assert stage.url in report["text"] or stage.url.partition("?")[0] in report["text"]


@on_unix
@both_faces
def test_a_function_that_is_exposed_a_moment_after_serve_can_be_called_at_once(stage: Stage) -> None:
    bob = stage.bob()
    order = bob.do("connect", stage.url, 10.0)
    code = (
        "import sys, threading, tincans\n"
        f"server = tincans.serve({stage.url!r})\n"
        "server._host.executor.set_up_at += 30  # how long it may take is not what is tested, on a slow machine\n"
        "while not server._host.links: threading.Event().wait(0.001)\n"
        "threading.Event().wait(0.2)\n"
        "server.expose(lambda a, b: a + b, name='add')\n"
        "server.run()\n"
    )
    stage.start("-c", code)
    order.result()
    assert bob.ask("call", "add", 2, 5) == 7


@served
@both_faces
def test_sigterm_lets_a_running_call_finish_and_ends_with_code_0_and_no_files(stage: Stage) -> None:
    before = files()
    bob = stage.bob()
    alice = stage.alice(stderr=subprocess.PIPE)
    bob.ask("connect", stage.url)
    order = bob.do("call", "note_and_sleep", "x", 0.5)
    eventually(lambda: bob.ask("call", "noted") == ["x"])
    alice.signal(signal.SIGTERM)
    assert order.result() is None
    assert alice.ended() == 0
    assert alice.process.stderr is not None
    assert alice.process.stderr.read() == ""
    assert files() == before


@served
@both_faces
def test_ctrl_c_ends_a_server_without_a_traceback(stage: Stage) -> None:
    before = files()
    bob = stage.bob()
    alice = stage.alice(stderr=subprocess.PIPE)
    bob.ask("connect", stage.url)
    waiting = bob.do("take", "jobs")
    eventually(lambda: bob.ask("call", "open") == [1, 0])
    alice.signal(signal.SIGINT)
    assert alice.ended() == 0
    assert alice.process.stderr is not None
    assert alice.process.stderr.read() == ""
    assert waiting.wait()["error"] == "DisconnectedError"
    assert files() == before


def end(stage: Stage, word: str) -> Program:
    """Start one of the endings, with Alice where she is not its child."""
    if not stage.is_stdio:
        stage.alice()
    return stage.start(str(HERE / "endings.py"), word, stage.url, stderr=subprocess.PIPE)


@everywhere
@sync
@pytest.mark.parametrize("word", ["waiting_for_ctrl_c", "iterating"])
def test_ctrl_c_ends_a_wait_and_the_peer_can_be_used_afterwards(stage: Stage, word: str) -> None:
    program = end(stage, word)
    program.said("ready")
    program.signal(signal.SIGINT)
    assert program.said("interrupted")["again"] == 7
    assert program.ended() == 0
    assert program.process.stderr is not None
    assert "Exception in thread" not in program.process.stderr.read()


@everywhere
@sync
@pytest.mark.parametrize("word", ["pending_futures", "subscriptions", "job_and_lock", "exposed"])
def test_a_program_that_ends_without_closing_does_not_hang(stage: Stage, word: str) -> None:
    program = end(stage, word)
    program.said("ready")
    ready = time.monotonic()
    assert program.ended() == 0
    assert time.monotonic() - ready < 5
    assert program.process.stderr is not None
    assert program.process.stderr.read() == ""


@on_unix
@sync
def test_a_server_whose_main_thread_ends_in_the_middle_of_a_call_does_not_hang(stage: Stage) -> None:
    program = end(stage, "in_a_handler")
    program.said("ready")
    assert program.ended() == 0


@served
@sync
def test_a_forked_child_has_a_connection_of_its_own_and_leaves_its_parents_alone(stage: Stage) -> None:
    program = end(stage, "fork")
    child, parent = program.said("child"), program.said("parent")
    if stage.url.startswith(("unix:", "json+unix:", "conformance")):
        assert (child["who"], parent["who"]) == (child["own"], parent["own"])
    assert child["sum"] == 7
    assert (parent["status"], parent["slept"], parent["sum"], parent["note"]) == (0, "awake", 7, "after")


@served
@sync
def test_forking_in_the_middle_of_calls_disturbs_neither_side(stage: Stage) -> None:
    program = end(stage, "fork_under_load")
    forked = program.said("forked")
    assert forked["children"] == [0] * 10
    assert forked["wrong"] == []


@pytest.mark.parametrize("method", [STDIO], ids=method_id)
@both_faces
@pytest.mark.parametrize("running", ["nothing", "a call"])
def test_a_child_ends_when_its_parent_is_killed(stage: Stage, running: str) -> None:
    _none, bob, pid = stage.pair()
    if running == "a call":
        bob.do("start", "nap", 600)
        eventually(lambda: bob.ask("call", "open") == [1, 0])
    bob.kill()
    eventually(lambda: state_of(pid) in ("Z", ""))
