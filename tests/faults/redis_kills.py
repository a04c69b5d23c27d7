"""Kill Redis under load, again and again, start it again, and prove that nothing acknowledged is lost.

    python tests/faults/redis_kills.py ROUNDS [SEED]          (`make faults` does 30)

Rules of this file
- Redis keeps everything on disk before it answers (appendonly, appendfsync always): what a put was promised.
- Promised: each job whose put returned is delivered; one that was acknowledged as done never comes again; one that is
  delivered again says so by its count; calls go on within RESUMES seconds of the restart.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from servers.redis import RedisServer, redis_server

WORKER = str(Path(__file__).with_name("redis_worker.py"))
RESUMES = 2.0
PATIENCE = 60.0


class Worker:
    """A program that says what was promised to it."""

    def __init__(self, *words: str) -> None:
        self.lines: list[list[object]] = []
        self.process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("[") and line.endswith("\n"):  # what a kill cut short was not said
                self.lines.append(json.loads(line))

    def end(self) -> list[list[object]]:
        """Kill it; all that it said."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._listener.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.lines


class Books:
    """What was promised, checked against what was delivered."""

    def __init__(self, puts: list[list[object]], takes: list[list[object]]) -> None:
        self.put = {line[1] for line in puts}
        self.done: set[object] = set()
        self.again = 0
        counts: dict[object, int] = {}
        for what, number, *more in takes:
            if what == "done":
                self.done.add(number)
            elif what == "took":
                assert number not in self.done, f"job {number} came again after it was done"
                deliveries = int(str(more[0]))
                assert deliveries > counts.get(number, 0), f"job {number} came again and says {deliveries}"
                self.again += number in counts
                counts[number] = deliveries
        self.delivered = set(counts)

    @property
    def lost(self) -> set[object]:
        """Acknowledged to the putter, and never delivered."""
        return self.put - self.delivered


def wait_for(worker: Worker, count: int) -> float:
    """Until a worker has said so much; when that was."""
    deadline = time.monotonic() + PATIENCE
    while len(worker.lines) < count:
        assert time.monotonic() < deadline, f"a worker stands still after {len(worker.lines)} steps"
        time.sleep(0.002)
    return time.monotonic()


def kill_and_start(server: RedisServer, caller: Worker, chance: random.Random) -> float:
    """One round; the seconds from the restart to the next answered call."""
    wait_for(caller, len(caller.lines) + 3)
    time.sleep(chance.uniform(0, 0.3))
    server.kill()
    time.sleep(chance.choice([0.0, 0.05, 0.5]))
    server.start()
    started = time.monotonic()
    called = next(iter_after(caller, started))
    return called - started


def iter_after(caller: Worker, moment: float) -> Iterator[float]:
    """When calls were answered, after a moment."""
    seen = 0
    while True:
        wait_for(caller, seen + 1)
        when = float(str(caller.lines[seen][1]))
        seen += 1
        if when > moment:
            yield when


def fight(rounds: int, seed: int) -> tuple[Books, float]:
    """All of it; the books, and the longest time until calls went on."""
    chance = random.Random(seed)
    with redis_server() as server:
        url = f"redis://{server.place}/0/alice"
        alice = Worker("-m", "tincans.conformance.program", url)
        workers = {what: Worker(WORKER, what, url) for what in ("put", "take", "call")}
        try:
            slowest = max(kill_and_start(server, workers["call"], chance) for _ in range(rounds))
            wait_for(workers["take"], len(workers["take"].lines) + 3)
            puts = workers["put"].end()
            books = _wait_until_empty(puts, workers["take"])
        finally:
            for worker in (*workers.values(), alice):
                worker.end()
    return books, slowest


def _wait_until_empty(puts: list[list[object]], taker: Worker) -> Books:
    deadline = time.monotonic() + PATIENCE
    while (books := Books(puts, list(taker.lines))).lost and time.monotonic() < deadline:
        time.sleep(0.05)
    return books


def main() -> None:
    """From the command line."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"redis, {rounds} kills, seed {seed}", flush=True)
    books, slowest = fight(rounds, seed)
    assert not books.lost, f"acknowledged jobs are lost: {sorted(map(str, books.lost))}"
    assert slowest < RESUMES, f"calls went on after {slowest:.2f} s"
    print(f"{len(books.put)} jobs put, none lost, {books.again} delivered again and flagged; calls {slowest:.2f} s")


if __name__ == "__main__":
    main()
