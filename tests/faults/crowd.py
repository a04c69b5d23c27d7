"""A crowd: every verb at once, from many threads of several peers, on one Alice; nobody's answer may be lost.

    python tests/faults/crowd.py [METHOD [SECONDS]]          (`make faults`: a minute on each method)

Rules of this file
- Some peers are called as well, some listen to news, one has a single thread: each is read in its own way.
- Each step has a deadline of a few seconds. The first one that is missed ends the crowd, and what both programs know of
  their links is printed: who reads, who waits, what is armed, what lies in the buffers.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import faulthandler
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import tincans
from tincans.conformance.plugin import fresh, stop
from tincans.conformance.service import Alice, expose_all
from tincans.errors import TincansError
from tincans.pump import reactor as reactors
from tincans.pump.link import Link

METHODS = [
    "memory:{name}",
    "memory:{name}?descriptor=no",
    "unix:{name}",
    "shm:{name}",
    "{name}",
    "pipe:{name}",
    "tcp://127.0.0.1:{port}",
    "json+unix:{name}",
    "sqlite:{dir}/alice.db",
    "mq:{name}",
    "mp:{name}",
    "jsonrpc+unix:{name}",
]
ALICE = "--alice"
PEERS = 4
THREADS = 5
DEADLINE = 5.0
"""Seconds for one step. Nothing of it takes a hundredth of that on an idle machine."""


class Steps:
    """What one thread of a peer does, over and over. Each method is a step, and checks its own answer."""

    def __init__(self, peer: Any, place: str, heard: threading.Semaphore | None, called: bool) -> None:
        self._peer = peer.with_options(timeout=DEADLINE)
        self._place = place
        self._chance = random.Random()
        self._heard = heard
        self._called = called

    def all(self) -> list[Callable[[], object]]:
        """Those that this peer can do; plain calls more often than the others."""
        names = [name for name in dir(self) if not name.startswith("_") and name not in ("all", "asked_back", "news")]
        names += ["add"] * 4 + ["asked_back"] * self._called + ["news"] * (self._heard is not None)
        return [getattr(self, name) for name in names]

    def add(self) -> None:
        assert self._peer.call.add(2, 5) == 7

    def large(self) -> None:
        block = os.urandom(1000) * self._chance.choice([1, 20, 300])
        assert self._peer.call.echo(block) == block

    def stream(self) -> None:
        count = self._chance.randrange(1, 200)
        assert list(self._peer.call.count(count)) == list(range(count))

    def stream_cut_short(self) -> None:
        with self._peer.call.count_async(10_000) as stream:
            next(stream)

    def stream_there(self) -> None:
        count = self._chance.randrange(200)
        assert self._peer.call.total(iter(range(count))) == sum(range(count))

    def called_back(self) -> None:
        assert self._peer.call.apply(lambda n: n * 2, 3) == [0, 2, 4]

    def asked_back(self) -> None:
        assert self._peer.call.ask_back("twice", 21) == 42

    def burst(self) -> None:
        futures = [self._peer.start.add(n, 1) for n in range(self._chance.randrange(1, 40))]
        assert [future.result(DEADLINE) for future in futures] == [n + 1 for n in range(len(futures))]

    def burst_that_nobody_reads_for(self) -> None:
        futures = [self._peer.start.add(n, 1) for n in range(self._chance.randrange(1, 12))]
        assert not concurrent.futures.wait(futures, DEADLINE).not_done

    def notice(self) -> None:
        self._peer.notify.echo(1)

    def slow(self) -> None:
        assert self._peer.call.sleep(0.02) == "awake"

    def nap(self) -> None:
        assert self._peer.call.nap(0.01) == "awake"

    def given_up(self) -> None:
        with contextlib.suppress(TimeoutError):
            self._peer.with_options(timeout=0.001).call.sleep(0.002)

    def error(self) -> None:
        with contextlib.suppress(ValueError):
            self._peer.call.fail("ValueError", "on purpose")
            raise AssertionError("nothing was raised")

    def state(self) -> None:
        self._peer.state[self._place] = 7
        assert self._peer.state[self._place] == 7

    def job(self) -> None:
        queue = self._peer.queue(self._place)
        queue.put(1)
        with queue.take(timeout=DEADLINE) as job:
            assert job.value == 1

    def flag(self) -> None:
        flag = self._peer.flag(self._place)
        flag.set()
        assert flag.wait(DEADLINE)
        flag.clear()

    def lock(self) -> None:
        with self._peer.lock(f"lock {self._chance.randrange(3)}", timeout=2 * DEADLINE):
            pass

    def subscription(self) -> None:
        with self._peer.subscribe(self._place) as notes:
            self._peer.publish(self._place, 5)
            assert notes.receive(timeout=DEADLINE).value == 5

    def news(self) -> None:
        assert self._heard is not None
        self._peer.publish("news", 1)
        assert self._heard.acquire(timeout=DEADLINE), "no news"


class Crowd:
    """The peers and their threads, until the time is up or a step fails."""

    def __init__(self, url: str, seconds: float) -> None:
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []
        self.on_failure: Callable[[], None] = lambda: None
        self._url = url
        self._over = time.monotonic() + seconds
        self._lock = threading.Lock()

    def run(self) -> None:
        """Returns when everybody has ended."""
        peers = [tincans.connect(self._url) for _ in range(PEERS)]
        threads = [
            threading.Thread(target=self._repeat, args=(steps,), daemon=True)
            for number, peer in enumerate(peers)
            for steps in self._steps(number, peer)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, self._over - time.monotonic()) + 4 * DEADLINE)
        hanging = sum(thread.is_alive() for thread in threads)
        if hanging:
            self._fail(f"{hanging} threads hang")
        for peer in peers:
            peer.close()

    def _steps(self, number: int, peer: Any) -> Iterator[Steps]:
        heard = None
        if number % 3 >= 1:
            peer.expose(lambda n: 2 * n, name="twice")
        if number % 3 == 2:
            heard = threading.Semaphore(0)
            peer.on("news")(lambda note, heard=heard: heard.release())
        for thread in range(1 if number == 3 else THREADS):
            yield Steps(peer, f"{number}-{thread}", heard, called=number % 3 >= 1)

    def _repeat(self, steps: Steps) -> None:
        choices = steps.all()
        while time.monotonic() < self._over and not self.failures:
            step = random.choice(choices)
            began = time.monotonic()
            try:
                step()
            except (TincansError, AssertionError, concurrent.futures.TimeoutError) as error:
                self._fail(f"{step.__name__} after {time.monotonic() - began:.2f} s: {error!r}")
                return
            self.done[step.__name__] += 1  # a count that is only looked at
            if random.random() < 0.02:
                time.sleep(random.random() * 0.02)

    def _fail(self, what: str) -> None:
        with self._lock:
            self.failures.append(what)
            if len(self.failures) == 1:
                self.on_failure()


def tell() -> None:
    """What this program knows of its links, on stderr."""
    reactor = reactors.reactor()
    lines = [f"-- pid {os.getpid()}: {len(reactor._jobs)} jobs, leading {reactor._leading}, idle {reactor._idle}"]
    for link in (thing for thing in gc.get_objects() if isinstance(thing, Link)):
        waiting = [(waiter.operation, waiter.done) for waiter in list(link.parked)]
        lines.append(
            f"link {'accepting' if link._accepting else 'connecting'} fd {link._fd} dead {link.dead}"
            f" background {link.background} attended {link in reactor.attended} read {link.reading.locked()}"
            f" parked {waiting} calls {list(link.session.calls)} running {list(link.session.running)}"
            f" inlets {list(link.session.inlets)} corked {len(link.corked)} outbox {len(link.posted)}"
            f" more_here {link.more_here} ahead {getattr(link.connection, '_ahead', None)!r:.60}"
        )
    print(*lines, sep="\n", file=sys.stderr, flush=True)
    faulthandler.dump_traceback(file=sys.stderr)


def crowd(method: str, seconds: float) -> Crowd:
    """Let a crowd loose on a method; what it did, and what failed."""
    url = fresh(method)
    if url.startswith("memory:"):
        with tincans.serve(url) as server:
            expose_all(server, Alice())
            return _let_loose(url, seconds, tell)
    process = subprocess.Popen([sys.executable, __file__, ALICE, url], stdout=subprocess.PIPE, text=True)

    def both_tell() -> None:
        tell()
        process.send_signal(signal.SIGUSR1)
        time.sleep(1.0)  # for Alice to say it

    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "Alice did not start"
        return _let_loose(url, seconds, both_tell)
    finally:
        stop(process)


def _let_loose(url: str, seconds: float, on_failure: Callable[[], None]) -> Crowd:
    one = Crowd(url, seconds)
    one.on_failure = on_failure
    one.run()
    return one


def serve(url: str) -> None:
    """Alice, who tells what she knows when she is asked by a signal."""
    signal.signal(signal.SIGUSR1, lambda *_: threading.Thread(target=tell, daemon=True).start())
    server = tincans.serve(url)
    expose_all(server, Alice())
    print(server.url, flush=True)
    server.run()


def main() -> None:
    """On one method, for as long as asked, or on each for a minute."""
    if sys.argv[1:2] == [ALICE]:
        serve(sys.argv[2])
        return
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    for method in sys.argv[1:2] or METHODS:
        one = crowd(method, seconds)
        print(f"{method}: {sum(one.done.values())} steps of a crowd, {len(one.failures)} failures", flush=True)
        if one.failures:
            sys.exit("\n".join(one.failures))


if __name__ == "__main__":
    main()
