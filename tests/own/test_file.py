"""What the JSON file says, and other programs on either side of it. Its troubles: test_file_trouble.py."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import filelock
import pytest
from file_stage import alice, content_of, path

import tincans
import tincans.aio
from tincans.conformance.patience import eventually
from tincans.conformance.plugin import start_alice, stop
from tincans.errors import NameInUseError, TincansError, WaitTimeoutError

__all__ = ["alice", "path"]


def test_what_it_does_not_know_stays_as_it_is(path: Path) -> None:
    path.write_text('{"mine": [1, {"a": 1e400}], "state": {"x": 1}}'.replace("1e400", "1.5"))
    with tincans.connect(f"file:{path}") as peer:
        peer.state["k"] = 1
    assert content_of(path)["mine"] == [1, {"a": 1.5}]
    assert content_of(path)["state"] == {"x": 1, "k": 1}


def test_a_call_stands_in_the_file_as_promised(alice: Any, path: Path) -> None:
    with tincans.connect(f"file:{path}") as peer:
        assert peer.call.add(2, 5) == 7
        assert peer.call.add(2, b=5) == 7
        with pytest.raises(ValueError, match="too bad"):
            peer.call.fail("too bad")
    assert list(content_of(path)["commands"].values()) == [
        {"command": "add", "args": [2, 5], "result": 7},
        {"command": "add", "args": [2], "kwargs": {"b": 5}, "result": 7},
        {"command": "fail", "args": ["too bad"], "error": "ValueError: too bad"},
    ]


def test_a_slow_command_does_not_hold_up_a_fast_one(alice: Any, path: Path) -> None:
    with tincans.connect(f"file:{path}") as peer:
        slow = peer.start.sleep(1.0)
        began = time.monotonic()
        assert peer.call.add(1, 2) == 3
        assert time.monotonic() - began < 0.8
        assert slow.result(5) == "awake"


def test_a_stream_is_refused_and_serving_goes_on(alice: Any, path: Path) -> None:
    with tincans.connect(f"file:{path}") as peer:
        with pytest.raises(TincansError, match="stream"):
            peer.call.count(3)
        assert peer.call.add(1, 2) == 3


def test_a_stream_of_an_async_server_is_refused_too(path: Path) -> None:
    async def main() -> None:
        async with await tincans.aio.serve(f"file:{path}") as server, tincans.aio.connect(f"file:{path}") as peer:

            @server.expose
            async def count(n: int) -> AsyncIterator[int]:
                for i in range(n):
                    yield i

            @server.expose
            async def add(a: int, b: int) -> int:
                return a + b

            with pytest.raises(TincansError, match="stream"):
                await peer.with_options(timeout=5).call.count(3)
            assert await peer.call.add(1, 2) == 3

    asyncio.run(main())


def test_a_server_that_still_works_keeps_others_from_serving(path: Path) -> None:
    with tincans.serve(f"file:{path}") as server:
        begun, go_on = threading.Event(), threading.Event()

        @server.expose
        def work() -> None:
            begun.set()
            go_on.wait(10)

        with tincans.connect(f"file:{path}") as peer:
            future = peer.start.work()
            assert begun.wait(5)
            closing = threading.Thread(target=server.close)
            closing.start()
            time.sleep(0.1)
            with pytest.raises(NameInUseError):
                tincans.serve(f"file:{path}")
            go_on.set()
            closing.join(10)
            assert future.result(5) is None
    tincans.serve(f"file:{path}").close()


def test_a_call_that_was_left_is_done_when_the_server_starts(path: Path) -> None:
    with tincans.connect(f"file:{path}") as bob:
        ticket = bob.with_options(wait=False).call.add(2, 5)
        assert not ticket.is_answered()
        with pytest.raises(WaitTimeoutError):
            ticket.result(timeout=0.05)
    alice, _ = start_alice(f"file:{path}")
    try:
        with tincans.connect(f"file:{path}") as another:
            assert another.ticket(str(ticket)).result(timeout=10) == 7
            with pytest.raises(LookupError, match="cleaned up"):
                another.ticket("no-such-ticket").result(timeout=1)
    finally:
        stop(alice)


def test_a_command_that_a_killed_server_was_doing_is_done_again(path: Path) -> None:
    alice, _ = start_alice(f"file:{path}")
    with tincans.connect(f"file:{path}") as bob:
        ticket = bob.with_options(wait=False).call.note_and_sleep("x", 1.5)
        eventually(lambda: bob.call.noted() == ["x"])
        alice.kill()
        stop(alice)
        alice, _ = start_alice(f"file:{path}")
        try:
            assert ticket.result(timeout=10) is None
            assert bob.call.noted() == ["x"]
        finally:
            stop(alice)


def test_a_call_that_was_given_up_before_anybody_did_it_is_gone(path: Path) -> None:
    with tincans.connect(f"file:{path}") as bob:
        with pytest.raises(tincans.CallTimeoutError):
            bob.with_options(timeout=0.1).call.add(2, 5)
        eventually(lambda: content_of(path)["commands"] == {})


def test_a_command_that_is_taken_out_of_the_file_ends_its_call(path: Path) -> None:
    with tincans.connect(f"file:{path}") as bob:
        future = bob.start.add(2, 5)
        path.write_text("{}")
        with pytest.raises(TincansError, match="removed from the file"):
            future.result(5)


def test_finished_commands_go_when_they_are_too_many_or_too_old(path: Path) -> None:
    with tincans.serve(f"file:{path}?keep=3&keep_seconds=60") as server:
        server.expose(lambda n: n, name="echo")
        old = {"command": "echo", "args": [0], "result": 0}
        path.write_text(json.dumps({"commands": {"old": old}, "finished": {"old": time.time() - 61}}))
        with tincans.connect(f"file:{path}?keep=3") as bob:
            for n in range(10):
                assert bob.call.echo(n) == n
        assert "old" not in content_of(path)["commands"]
        assert len(content_of(path)["commands"]) <= 5
        assert set(content_of(path)["finished"]) == set(content_of(path)["commands"])


def test_a_second_server_is_refused_with_the_pid_of_the_first(alice: Any, path: Path) -> None:
    with pytest.raises(NameInUseError, match=str(os.getpid())):
        tincans.serve(f"file:{path}")


@pytest.mark.parametrize(
    "entry",
    [5, {"args": []}, {"command": 7}, {"command": "add", "args": {"a": 1}}, {"command": "$publish", "args": ["a", 1]}],
)
def test_a_command_that_is_none_is_answered_with_its_fault(entry: Any, alice: Any, path: Path) -> None:
    path.write_text(json.dumps({"commands": {"x": entry}}))
    eventually(lambda: "error" in str(content_of(path)["commands"]["x"]))
    with tincans.connect(f"file:{path}") as peer:
        assert peer.call.add(1, 2) == 3


SHELL = """
set -eu
cd "$1"
add() {  # a call, written into the file under the lock
  flock board.json.lock sh -c '
    if [ -s board.json ]; then
      sed -i "s/\\"commands\\": {/&\\n    \\"$1\\": {\\"command\\": \\"add\\", \\"args\\": [$2, $3]},/" board.json
    else
      printf "{\\"commands\\": {\\"%s\\": {\\"command\\": \\"add\\", \\"args\\": [%s, %s]}}}" "$@" > board.json
    fi' sh "$@"
}
answer() {  # waits for it
  until tr -d " \\n" < board.json | grep -o "\\"$1\\":{[^}]*\\"result\\":[0-9]*"; do sleep 0.02; done | sed "s/.*://"
}
add first 2 5
answer first
add second 30 12
answer second
"""


def test_a_shell_script_calls_by_writing_into_the_file_under_flock(alice: Any, path: Path) -> None:
    said = subprocess.run(["sh", "-c", SHELL, "sh", path.parent], capture_output=True, text=True, timeout=30)
    assert (said.stdout, said.stderr) == ("7\n42\n", "")


FOREIGN_SERVER = """
import fcntl, json, os, sys, time
path = sys.argv[1]
print("ready", flush=True)
while True:
    with open(path + ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = json.load(open(path)) if os.path.exists(path) else {}
        for entry in content.get("commands", {}).values():
            if "result" not in entry and "error" not in entry:
                if entry["command"] == "add":
                    entry["result"] = sum(entry["args"])
                else:
                    entry["error"] = "LookupError: there is only add"
                json.dump(content, open(path + ".mine", "w"))
                os.rename(path + ".mine", path)
    time.sleep(0.02)
"""


def test_a_program_that_only_knows_the_layout_can_serve(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", FOREIGN_SERVER, str(path)], stdout=subprocess.PIPE) as server:
        try:
            with tincans.connect(f"file:{path}") as bob:
                assert bob.call.add(2, 5) == 7
                with pytest.raises(LookupError, match="only add"):
                    bob.call.subtract(1, 2)
        finally:
            server.kill()


def test_a_script_that_changes_a_value_is_noticed_by_who_watches(path: Path) -> None:
    with tincans.connect(f"file:{path}") as peer, peer.state.watch("mood") as changes:
        peer.state["mood"] = "good"
        assert changes.receive(timeout=5).value == "good"
        subprocess.run(
            ["flock", f"{path}.lock", "sed", "-i", 's/"mood": "good"/"mood": "better"/', path], check=True, timeout=10
        )
        change = changes.receive(timeout=5)
        assert (change.value, change.version) == ("better", 2)
        peer.state["mood"] = "best"
        assert changes.receive(timeout=5).version == 3


def test_a_script_may_add_a_job(path: Path) -> None:
    path.write_text('{"queues": {"jobs": [{"value": 5}, "not a job", {"value": 6}]}}')
    with tincans.connect(f"file:{path}") as peer:
        queue = peer.queue("jobs")
        for value in (5, 6):
            with queue.take(timeout=1) as job:
                assert job.value == value
        assert content_of(path)["queues"]["jobs"] == ["not a job"]


def test_the_lock_is_that_of_filelock(path: Path) -> None:
    with tincans.connect(f"file:{path}") as peer:
        peer.state["k"] = 1
        with filelock.FileLock(f"{path}.lock"), pytest.raises(WaitTimeoutError, match="Another program"):
            peer._words._board.values.set("k", 2, timeout=0.2)  # type: ignore[union-attr]
        peer.state["k"] = 3
        assert peer.state["k"] == 3


COUNTER = """
import sys, tincans
peer = tincans.connect(sys.argv[1])
for _ in range(25):
    with peer.lock("counter", timeout=30):
        peer.state["n"] = peer.state.get("n", 0) + 1
"""


def test_no_increment_under_the_lock_is_lost(path: Path) -> None:
    command = [sys.executable, "-c", COUNTER, f"file:{path}?fsync=no"]
    programs = [subprocess.Popen(command) for _ in range(4)]
    assert [program.wait(60) for program in programs] == [0] * 4
    assert content_of(path)["state"]["n"] == 100


def test_the_lock_of_a_killed_program_is_free_at_once_and_a_stopped_ones_is_not(path: Path) -> None:
    script = (
        "import sys, tincans\n"
        "peer = tincans.connect(sys.argv[1])\n"
        "peer.lock('a').acquire()\n"
        "print(1, flush=True)\n"
        "input()\n"
    )
    command = [sys.executable, "-c", script, f"file:{path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with tincans.connect(f"file:{path}") as peer:
            assert peer.lock("b", timeout=1).acquire()
            assert not peer.lock("a").acquire(timeout=0.2)
            holder.kill()
            began = time.monotonic()
            assert peer.lock("a").acquire(timeout=5)
            assert time.monotonic() - began < 1


def test_who_waits_sleeps(alice: Any, path: Path) -> None:
    with tincans.connect(f"file:{path}") as peer:
        assert peer.call.add(1, 1) == 2
        used = time.process_time()
        with pytest.raises(WaitTimeoutError):
            peer.queue("jobs").take(timeout=1.0)
        assert time.process_time() - used < 0.2
