"""Kill a program that keeps queues and state, again and again, and look what its file says each time.

Rules of this file
- The child says what it is about to do and what was acknowledged; the file must hold all that was acknowledged, and
  beyond that at most the one thing it was about to do.
- `python tests/unit/keep_kills.py ROUNDS [SEED]` runs as many rounds as one likes; the unit tests run a few.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.core.hub import Done, Hub, JobPut, Kept, ValueSet
from tincans.toolkit.files.keep import Keep


def open_keep(path: Path) -> Keep:
    """The file, with JSON for a wire."""
    return Keep(path, encode=lambda value: json.dumps(value).encode(), decode=json.loads)


class Ledger:
    """What the children said over all rounds, and whether a file agrees with it."""

    def __init__(self) -> None:
        self.jobs: dict[int, str] = {}  # acknowledged puts that were not acknowledged as done
        self.numbers: set[int] = set()
        self.deliveries: dict[int, int] = {}
        self.version = 0
        self.about_to: list[Any] = []

    def hear(self, said: list[Any]) -> None:
        """Take in one line of a child."""
        sure, what, *rest = said
        if sure == "?":
            self.about_to = [what, *rest]
            return
        self.about_to = []
        if what == "put":
            number, value = rest
            assert number not in self.numbers, f"job number {number} was given twice"
            self.numbers.add(number)
            self.jobs[number] = value
        elif what == "take":
            self.deliveries[rest[0]] = rest[1]
        elif what == "ack":
            del self.jobs[rest[0]]
        else:
            self.version = rest[0]

    def check(self, kept: Kept) -> None:
        """The file has what was acknowledged, and nothing else but what was under way; that counts from now on."""
        found = {change.id: change for change in kept.changes if isinstance(change, JobPut)}
        versions = [change.version for change in kept.changes if isinstance(change, ValueSet)]
        what, *rest = self.about_to or ["nothing"]
        lost = self.jobs.keys() - found.keys()
        assert lost <= ({rest[0]} if what == "ack" else set()), f"acknowledged jobs are lost: {lost}, {self.about_to}"
        extra = {number: found[number].value for number in found.keys() - self.jobs.keys()}
        assert list(extra.values()) in ([], rest if what == "put" else []), f"jobs came back: {extra}"
        assert not extra.keys() & self.numbers, f"job numbers were given twice: {extra}"
        for number, value in self.jobs.items():
            assert number in lost or found[number].value == value
            assert number in lost or found[number].deliveries >= self.deliveries.get(number, 0)
        version = max(versions, default=0)
        assert version in (self.version, self.version + (what == "set"))
        self.jobs = {number: change.value for number, change in found.items()}
        self.numbers |= found.keys()
        self.version = version
        self.about_to = []


def run_rounds(path: Path, rounds: int, seed: int) -> int:
    """Start and kill a child so many times; the number of acknowledged things. AssertionError for a lost one."""
    chance, ledger, acknowledged = random.Random(seed), Ledger(), 0
    for turn in range(rounds):
        command = [sys.executable, str(Path(__file__)), "child", str(path), str(chance.random())]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            lines = _lines_until_killed(child, chance, early=turn % 5 == 4)
            assert child.stderr is not None
            assert not (trouble := child.stderr.read()), trouble.decode()
        for line in lines:
            ledger.hear(json.loads(line))
            acknowledged += line[:4] == b'["!"'
        keep = open_keep(path)
        ledger.check(keep.load())
        keep.close()
    return acknowledged


def _lines_until_killed(child: subprocess.Popen[bytes], chance: random.Random, *, early: bool) -> list[bytes]:
    """What the child said before it was killed, somewhere in its start or after so many lines."""
    assert child.stdout is not None
    lines: list[bytes] = []
    if early:
        try:
            child.wait(timeout=chance.uniform(0.05, 0.4))
        except subprocess.TimeoutExpired:
            pass
    else:
        lines += itertools.islice(child.stdout, chance.randrange(1, 400))
    child.send_signal(signal.SIGKILL)
    lines += child.stdout
    return [line for line in lines if line.endswith(b"\n")]


def _child(path: Path, chance: random.Random) -> None:
    """Put, take, acknowledge and set for ever, saying so."""
    keep = open_keep(path)
    hub = Hub.restore(keep.load(), 0.0)
    tickets = itertools.count()

    def ask(name: str, *args: Any) -> Any:
        (outcome,) = keep.settle(hub, hub.request("child", next(tickets), name, args, 0.0))
        assert isinstance(outcome, Done), outcome
        return outcome.value

    for value in _values(chance):
        _say("?", "put", value)
        _say("!", "put", ask("$put", "q", value), value)
        if chance.random() < 0.4:
            number, _, deliveries, _ = ask("$take", "q", 1e6, 0)
            _say("!", "take", number, deliveries)
            _say("?", "ack", number)
            ask("$ack", "q", number)
            _say("!", "ack", number)
        if chance.random() < 0.2:
            _say("?", "set")
            _say("!", "set", ask("$set", "state", value))


def _values(chance: random.Random) -> Iterator[str]:
    """Values of their own, small and large: large ones take several pages of the file."""
    while True:
        yield f"{chance.random()}" + "x" * chance.choice([0, 100, 10_000])


def _say(*words: Any) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


if __name__ == "__main__":
    if sys.argv[1] == "child":
        _child(Path(sys.argv[2]), random.Random(sys.argv[3]))
    with tempfile.TemporaryDirectory() as place:
        seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
        count = run_rounds(Path(place, "kept.db"), int(sys.argv[1]), seed)
        print(f"{sys.argv[1]} kills, {count} acknowledged, none lost (seed {seed})")
