"""Kill Alice or Bob at random moments, again and again, and prove that nothing that was promised is lost.

    python tests/faults/kills.py METHOD ROUNDS [SEED]          (`make faults` does 200 on each method)

Rules of this file
- Alice keeps queues and state in a file (`keep=`). Bob (worker.py) says what was promised to him before he goes on.
- Promised: an acknowledged job is there until it is acknowledged as done, and never again after that; a value that was
  set is there until the next one; nobody hangs; a start is never blocked; after a clean stop no file is left.
- Some kills hit a program while it starts. The seed is printed; it repeats the choice of moments.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tincans.conformance.patience import eventually

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from two_programs.programs import HERE as PROGRAMS
from two_programs.programs import STDIO, Program, Stage, state_of

import tincans
from tincans.errors import TincansError, WaitTimeoutError

WORKER = Path(__file__).parent / "worker.py"
LONGEST_LIFE = 0.3
"""Seconds after which a program is killed at the latest; its start takes about half of that."""


class Ledger:
    """What was promised, over all rounds."""

    def __init__(self) -> None:
        self.promised: set[int] = set()
        self.perhaps: set[int] = set()
        self.done: set[int] = set()
        self.perhaps_done: set[int] = set()
        self.value = 0
        self.perhaps_value = 0
        self.steps = 0

    def hear(self, step: list[Any]) -> None:
        """One line of a worker's."""
        what, *rest = step
        if what == "?":
            self._begun(*rest)
        elif what == "put":
            self.promised.add(rest[0])
        elif what == "done":
            self.done.add(rest[0])
        elif what == "set":
            self.value = rest[0]
        self.steps += what in ("put", "done", "set")

    def _begun(self, what: str, number: int) -> None:
        if what == "put":
            self.perhaps.add(number)
        elif what == "done":
            self.perhaps_done.add(number)
        elif what == "set":
            self.perhaps_value = number

    def check(self, found: list[int], value: int | None) -> None:
        """What a fresh Alice has: all that was promised, and nothing that nobody put."""
        assert len(set(found)) == len(found), f"jobs were doubled: {sorted(found)}"
        lost = self.promised - self.perhaps_done - set(found)
        assert not lost, f"acknowledged jobs are lost: {sorted(lost)}"
        back = self.done & set(found)
        assert not back, f"finished jobs came back: {sorted(back)}"
        assert set(found) <= self.perhaps, f"nobody put {sorted(set(found) - self.perhaps)}"
        assert (value or 0) in range(self.value, self.perhaps_value + 1), f"state is {value}, promised {self.value}"


class Fight:
    """Alice, Bob and the one who kills them."""

    def __init__(self, method: str, place: Path, chance: random.Random) -> None:
        self.keep = place / "alice.db"
        self.stage = Stage(self._with_keep(method), "sync")
        self.ledger = Ledger()
        self.chance = chance
        self.alice: Program | None = None
        self.bob: Program | None = None
        self._heard = 0
        self._number = 0

    def _with_keep(self, method: str) -> str:
        return f"{STDIO} --keep {self.keep}" if method == STDIO else method

    def start_alice(self) -> None:
        """Unless she is Bob's child."""
        if not self.stage.is_stdio and self.alice is None:
            words = [str(PROGRAMS / "alice.py"), "sync", self.stage.url, "--keep", str(self.keep)]
            self.alice = self.stage.start(*words)

    def start_bob(self) -> None:
        """A worker with numbers of his own."""
        if self.bob is None:
            self._number += 1_000_000
            self._heard = 0
            self.bob = self.stage.start(str(WORKER), self.stage.url, str(self._number))

    def listen(self) -> None:
        """Take in what Bob has said so far."""
        lines = [] if self.bob is None else self.bob.lines
        while self._heard < len(lines):
            if "step" in lines[self._heard]:
                self.ledger.hear(lines[self._heard]["step"])
            self._heard += 1

    def round(self) -> None:
        """Both live for a while; then one is killed."""
        self.start_alice()
        self.start_bob()
        if self.chance.random() < 0.7:
            self.wait_for_progress()
        over = time.monotonic() + self.chance.random() * LONGEST_LIFE
        eventually(lambda: time.monotonic() > over)
        if self.chance.random() < 0.5:
            self.kill_alice()
        else:
            self.kill_bob()

    def wait_for_progress(self) -> None:
        """Nobody hangs: steps succeed again, however the last round ended."""
        before = self.ledger.steps

        def goes_on() -> bool:
            self.listen()
            return self.ledger.steps > before

        eventually(goes_on, timeout=15.0)

    def kill_alice(self) -> None:
        self.listen()
        if self.alice is not None:
            self.alice.kill()
            self.alice.close()
            self.stage.programs.remove(self.alice)
            self.alice = None
        for child in self._children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def kill_bob(self) -> None:
        """With him ends his child, by itself."""
        assert self.bob is not None
        children = self._children()
        self.bob.kill()
        self.bob.ended()
        self.listen()
        eventually(lambda: all(state_of(child) in ("Z", "") for child in children))
        self.bob.close()
        self.stage.programs.remove(self.bob)
        self.bob = None

    def _children(self) -> list[int]:
        """Alice as Bob's child: those that he has now, and no others."""
        if not self.stage.is_stdio or self.bob is None:
            return []
        listed = Path(f"/proc/{self.bob.pid}/task/{self.bob.pid}/children")
        with contextlib.suppress(FileNotFoundError):
            return [int(word) for word in listed.read_text().split()]
        return []

    def finish(self) -> None:
        """Kill both, start cleanly, and look."""
        if self.bob is not None:
            self.kill_bob()
        self.kill_alice()
        began = time.monotonic()
        url = f"unix:fight-{os.getpid()}" if self.stage.is_stdio else self.stage.url
        with tincans.serve(url, keep=self.keep) as alice, tincans.connect(alice.url) as bob:
            assert time.monotonic() - began < 5, "a start was blocked"
            self.ledger.check(list(remaining(bob)), bob.state.get("number"))
        left = sorted(path.name for path in self.keep.parent.iterdir())
        assert left == [self.keep.name], f"left beside the kept file: {left}"
        self.stage.close()


def remaining(bob: Any) -> Iterator[int]:
    """Every job that is still there."""
    queue = bob.queue("jobs", max_deliveries=0)
    while True:
        try:
            job = queue.take(timeout=0)
        except WaitTimeoutError:
            return
        yield job.value


def fight(method: str, rounds: int, seed: int) -> Ledger:
    """So many kills on one method; AssertionError when a promise was broken."""
    with tempfile.TemporaryDirectory() as place:
        one = Fight(method, Path(place), random.Random(seed))
        try:
            for _ in range(rounds):
                one.round()
            one.finish()
        finally:
            for program in one.stage.programs:
                program.close()
    return one.ledger


def main() -> None:
    """As many as asked for, on one method."""
    method, rounds = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    print(f"{method}: {rounds} kills, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="tincans-faults-") as place:
        os.environ["TINCANS_RUNTIME_DIR"] = place
        try:
            ledger = fight(STDIO if method == "stdio" else method, rounds, seed)
        except (AssertionError, TincansError) as error:
            sys.exit(f"{method}: {error} (seed {seed})")
        left = [path for path in Path(place).rglob("*") if not path.is_dir()]
        assert not left, f"left behind: {left}"
    promised = f"{len(ledger.promised)} jobs promised, {len(ledger.done)} done, {ledger.steps} steps"
    print(f"    {promised}: nothing lost, nothing doubled, nobody hung, nothing left")


if __name__ == "__main__":
    main()
