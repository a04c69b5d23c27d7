"""Kill a program that writes a JSON document, at random moments and at each of its system calls: nothing is lost.

    python tests/faults/document.py KILLS                  (`make faults`)

Rules of this file
- The writer (`document.py write URL START`) says what was acknowledged to it before it goes on. After each kill the
  file is read by json, which knows nothing of us: it must be whole, and hold all that was acknowledged.
- The sweep runs the writer under strace, which kills it at the 1st, 2nd, ... call of each kind that touches a file.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tincans

CALLS = ("openat", "write", "fsync", "rename", "flock", "unlink", "fchmod", "close", "fstat", "newfstatat", "pread64")
STEPS = 3
"""Changes that a writer makes in the sweep."""


def write(url: str, start: int, steps: int) -> None:
    """Put jobs and a value, and say each when it is acknowledged."""
    peer = tincans.connect(url)
    jobs = peer.queue("jobs")
    print("begin", flush=True)
    for number in range(start, start + steps):
        print("?", number, flush=True)
        jobs.put(number)
        print("!", number, flush=True)
        peer.state["last"] = number


def start(url: str, first: int, steps: int, *before: str) -> subprocess.Popen[str]:
    """The writer as a program, under `before` (strace and its words)."""
    command = [*before, sys.executable, __file__, "write", url, str(first), str(steps)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


class Ledger:
    """What was begun and what was acknowledged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begun: set[int] = set()
        self.promised: set[int] = set()

    def hear(self, output: str) -> None:
        for line in output.split("\n")[:-1]:  # what a kill cut short stands last and was not said
            what, _, number = line.partition(" ")
            if what == "?":
                self.begun.add(int(number))
            elif what == "!":
                self.promised.add(int(number))

    def check(self) -> None:
        """The file is whole, and holds what it must."""
        content: dict[str, Any] = json.loads(self.path.read_bytes()) if self.path.exists() else {}
        found = [job["value"] for job in content.get("queues", {}).get("jobs", [])]
        assert len(found) == len(set(found)), f"doubled: {found}"
        assert self.promised <= set(found), f"acknowledged, and lost: {sorted(self.promised - set(found))}"
        assert set(found) <= self.begun, f"nobody put {sorted(set(found) - self.begun)}"


def kill_at_random(kills: int, options: str = "") -> int:
    """Two writers; one of them is killed, again and again. How many jobs were acknowledged."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "board.json")
        url, ledger, number = f"file:{path}{options}", Ledger(path), 0
        steady = start(url, 1_000_000, 1_000_000)
        for _ in range(kills):
            number += 1000
            writer = start(url, number, 1000)
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(random.uniform(0, 0.05))
            writer.kill()
            ledger.hear(writer.communicate()[0])
            content = json.loads(path.read_bytes()) if path.exists() else {}  # whole at any moment
            assert isinstance(content, dict)
        steady.kill()
        ledger.hear(steady.communicate()[0])
        ledger.check()
        with tincans.connect(url) as peer:  # nothing that is left blocks who comes next
            peer.queue("jobs").put(0)
        return len(ledger.promised)


def kill_at_each_call(calls: tuple[str, ...] = CALLS, most: int = 400) -> int:
    """How many kills there were."""
    if shutil.which("strace") is None:
        raise FileNotFoundError("strace is not installed: apt-get install strace")
    kills = 0
    for call in calls:
        for when in range(1, most):
            if not _killed_at(call, when):
                break
            kills += 1
    return kills


def _killed_at(call: str, when: int) -> bool:
    """Whether it was killed at the `when`-th call of this kind after it had begun to write."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "board.json")
        path.write_text('{"queues": {"jobs": [{"value": -1}]}}')
        ledger = Ledger(path)
        ledger.begun.add(-1)
        ledger.promised.add(-1)
        inject = f"inject={call}:signal=SIGKILL:when={when}"
        watched = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-P", str(path)]
        for name in (f"{path}.new", f"{path}.lock", place):
            watched += ["-P", name]
        writer = start(f"file:{path}", 0, STEPS, *watched, "-e", inject)
        ledger.hear(writer.communicate(timeout=60)[0])
        ledger.check()
        with tincans.connect(f"file:{path}") as peer:
            peer.queue("jobs").put(-2)
            ledger.begun.add(-2)
            ledger.promised.add(-2)
        ledger.check()
        return writer.returncode != 0


def main(what: str, *words: str) -> None:
    """A writer, or the whole."""
    if what == "write":
        write(words[0], int(words[1]), int(words[2]))
        return
    kills = int(what)
    print(f"file: {kills} kills at random moments, {kill_at_random(kills):,} jobs acknowledged, none lost")
    print(f"file: {kill_at_each_call()} kills, one at each system call, no file unreadable, nothing lost")


if __name__ == "__main__":
    main(*sys.argv[1:])
