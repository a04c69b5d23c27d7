"""Kill a writer of an sqlite file at each of its system calls, and look at what it left.

    python tests/faults/system_calls.py [STEP]          (`make faults` takes every call; a test every twentieth)

Rules of this file
- The writer is a forked child that has everything imported: `strace` attaches to it, and kills it as it enters the
  N-th call of one kind, for N = 1, 2, ... until it comes through alive. Each time it begins with a file that is not
  there yet.
- It says what was promised to it before it goes on. Afterwards the file must be whole (integrity_check), and hold all
  that was promised: jobs until they are done, the last value, calls that were left.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.kills import Ledger, remaining

import tincans

CALLS = ("pwrite64", "fdatasync", "fsync", "ftruncate", "fallocate", "openat", "unlink", "fcntl", "mmap", "close")
JOBS = 3
MISSING = "strace is not installed: apt-get install strace"
_PR_SET_PTRACER = 0x59616D61  # linux/prctl.h; any process may trace this one


class Round:
    """One writer, killed or not."""

    def __init__(self, place: Path) -> None:
        self.path = place / "alice.db"
        self.ledger = Ledger()
        self.left: list[str] = []

    def run(self, call: str, number: int) -> bool:
        """Whether the writer came through alive."""
        heard, say = os.pipe()
        go, ready = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(heard)
            os.close(ready)
            be_a_writer(self.path, go, say)
        os.close(say)
        os.close(go)
        tracer = attach(child, call, number)
        try:
            os.write(ready, b"x")
            os.close(ready)
            with os.fdopen(heard) as lines:
                for line in lines:
                    self.hear(json.loads(line))
            _, status = os.waitpid(child, 0)
        finally:
            tracer.terminate()
            tracer.wait()
        alive = not os.WIFSIGNALED(status)
        assert alive or os.WTERMSIG(status) == signal.SIGKILL, f"it ended with {status}"
        assert not alive or os.WEXITSTATUS(status) == 0, "the writer failed"
        return alive

    def hear(self, step: list[str]) -> None:
        """One line of the writer's."""
        if step[0] == "left":
            self.left.append(step[1])
        else:
            self.ledger.hear(step)

    def look(self) -> None:
        """What a fresh program finds."""
        with tincans.connect(f"sqlite:{self.path}") as bob:
            self.ledger.check(list(remaining(bob)), bob.state.get("number"))
            for ticket in self.left:
                assert bob.ticket(ticket).is_answered() is False  # LookupError when it is lost
            assert bob.lock("update", timeout=1).acquire(), "the lock of a dead program is held"
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def attach(child: int, call: str, number: int) -> subprocess.Popen[str]:
    """strace, ready to kill."""
    inject = f"inject={call}:signal=SIGKILL:when={number}"
    command = ["strace", "-f", "-p", str(child), "-e", f"trace={call}", "-e", inject, "-o", "/dev/null"]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    if "attached" not in line:
        tracer.kill()
        raise RuntimeError(f"strace could not attach: {line.strip()}")
    return tracer


def be_a_writer(path: Path, go: int, say: int) -> None:
    """In the child: every kind of write. Does not return."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
        os.read(go, 1)
        write_everything(path, lambda *words: os.write(say, (json.dumps(words) + "\n").encode()))
        code = 0
    except BaseException as error:
        os.write(2, f"{error!r}\n".encode())
    finally:
        os._exit(code)


def write_everything(path: Path, say: object) -> None:
    """Put, set, take, finish, lock, leave; said before and after."""
    tell = say
    assert callable(tell)
    bob = tincans.connect(f"sqlite:{path}")
    jobs = bob.queue("jobs", max_deliveries=0)
    for number in range(1, JOBS + 1):
        tell("?", "put", number)
        jobs.put(number)
        tell("put", number)
        tell("?", "set", number)
        bob.state["number"] = number
        tell("set", number)
    for _ in range(JOBS - 1):
        job = jobs.take(timeout=5)
        tell("?", "done", job.value)
        job.done()
        tell("done", job.value)
    with bob.lock("update", timeout=5):
        tell("left", str(bob.with_options(wait=False).call.add(2, 5)))
    bob.close()


def sweep(step: int = 1) -> int:
    """How many kills; AssertionError when a promise was broken."""
    if shutil.which("strace") is None:
        raise FileNotFoundError(MISSING)
    kills = 0
    for call in CALLS:
        number, alive = 1, False
        while not alive:
            with tempfile.TemporaryDirectory(prefix="tincans-faults-") as place:
                one = Round(Path(place))
                try:
                    alive = one.run(call, number)
                    one.look()
                except AssertionError as error:
                    raise AssertionError(f"killed at {call} number {number}: {error}") from error
            kills += not alive
            number += step
    return kills


def main() -> None:
    """Every call, or every STEP-th."""
    began = time.monotonic()
    try:
        kills = sweep(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    except FileNotFoundError as missing:
        sys.exit(str(missing))
    seconds = time.monotonic() - began
    print(
        f"sqlite: killed at each of {kills} system calls ({seconds:.0f} s): no file unreadable, nothing promised lost"
    )


if __name__ == "__main__":
    main()
