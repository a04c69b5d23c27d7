"""Strangers at the door of a live server, and an honest caller among them.

    python tests/faults/strangers.py METHOD [SILENT] [TRICKLING] [GARBAGE]     (`make faults`: 1000, 1000, 10,000)

Rules of this file
- The strangers are programs of their own (stranger.py); the server is Alice of tests/two_programs.
- Measured: an honest caller's median before and meanwhile, when strangers are cut, the server's memory for each.
- The long version ends with an error when a bar is not met: the caller's median at most doubles, strangers are cut
  after 5 s, at most 64 KiB each and no thread each.
- Where a client need not say anything first (`json`, `text`, `jsonrpc`: PATIENT) silence is no fault: nobody is cut,
  and the other bars hold all the same. Where there is no connection without a word (`pipe`, `mq`), strangers announce
  clients that are not there.
- An honest call is measured before, meanwhile and after: what slows it down on both sides is the machine's other work.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tincans.conformance.patience import eventually

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from certificates import certificates
from two_programs.programs import Program, Stage

import tincans
from tincans.core.address import parse
from tincans.core.handshake import GREETING_TIMEOUT
from tincans.pump.reactor import MAX_WORKERS
from tincans.toolkit.files.runtime_directory import path_of
from tincans.toolkit.mq.rendezvous import queue_name

STRANGER = Path(__file__).parent / "stranger.py"
CALLS = 400
SUFFIXES = {"unix": ".sock", "pipe": ".fifo", "local": ".local", "shm": ".shm", "mp": ".mp"}
MANNERS = {"json": "lines", "jsonrpc": "lines", "text": "words"}
PATIENT = frozenset(MANNERS)
"""Wires whose clients may be silent for as long as they like."""

UNCONNECTED = ("pipe", "mq")
KEEPERS = 256
"""Those that mp lets prove a key at the same time; of more, the first go sooner."""


@dataclass(frozen=True)
class Siege:
    """What was measured."""

    before: float
    meanwhile: float
    first_cut: float
    last_cut: float
    memory: float
    threads: int

    @property
    def ratio(self) -> float:
        """How much slower an honest call became."""
        return self.meanwhile / self.before


def place_of(url: str) -> str:
    """Where strangers knock."""
    address = parse(url)
    if address.port is not None:
        return f"tcp:{address.port}"
    if address.method == "mq":
        return f"mq:{queue_name(address.path)}"
    path = path_of(address.path, SUFFIXES[address.method])
    return f"pipe:{path}" if address.method == "pipe" else f"unix:{path}"


def manner_of(url: str) -> str:
    """What the server there expects to hear (stranger.BEGINNINGS)."""
    address = parse(url)
    if address.options.get("tls") == "yes":
        return "tls"
    if address.method in ("http", "local", "shm"):
        return "http" if address.method == "http" else "offer"
    return MANNERS.get(address.wire, "frames")


def with_certificates(method: str) -> str:
    """The method as the serving side writes it, where it is TLS."""
    return f"{method}&cert={certificates()}/server.pem" if method.endswith("?tls=yes") else method


def from_afar(url: str) -> str:
    """The URL as the connecting side writes it."""
    return url.replace("&cert=", "&ca=").replace("/server.pem", "/authority.pem")


def median(bob: Any) -> float:
    """Of an honest caller's calls, in seconds: the best of a few rounds, for the machine is not ours alone."""
    rounds = []
    for _ in range(3):
        took = []
        for _ in range(CALLS):
            began = time.perf_counter()
            bob.call.add(2, 5)
            took.append(time.perf_counter() - began)
        rounds.append(statistics.median(took))
    return min(rounds)


def strangers(stage: Stage, kind: str, count: int) -> Program:
    """So many of one kind."""
    return stage.start(str(STRANGER), kind, place_of(stage.url), str(count), manner_of(stage.url))


def besiege(stage: Stage, silent: int, trickling: int) -> Siege:
    """Let them come, measure, wait until the last one is cut (or leaves, where nobody is cut)."""
    stage.alice()
    address, many = parse(stage.url), silent + trickling
    announced = address.method in UNCONNECTED
    with tincans.connect(from_afar(stage.url)) as bob:
        before, memory, alone = median(bob), bob.call.memory(), bob.call.descriptors()
        kinds = {"announcements": many} if announced else {"silent": silent, "trickling": trickling}
        crowd = [strangers(stage, kind, count) for kind, count in kinds.items()]
        for one in crowd:
            one.said("there", timeout=30)
        if not announced:
            here = min(many, KEEPERS) if "authkey" in address.options else many
            with contextlib.suppress(AssertionError):  # on a busy machine the first are cut before the last are in
                eventually(lambda: bob.call.descriptors() >= alone + here, timeout=3)
        there = max(1, bob.call.descriptors() - alone)
        grown = bob.call.memory() - memory
        meanwhile, threads = median(bob), bob.call.threads()
        cuts = [{"first": 0.0, "last": 0.0}]
        if address.wire in PATIENT:
            for one in crowd:
                one.close()
        else:
            cuts = [one.said("cut", timeout=GREETING_TIMEOUT + 20) for one in crowd]
            assert sum(cut["count"] for cut in cuts) == many
        eventually(lambda: bob.call.descriptors() <= alone + 2)
        before = max(before, median(bob))
    # Who trickles may be cut sooner: as soon as it is clear that this is no message.
    first, last = cuts[0]["first"], max(cut["last"] for cut in cuts)
    return Siege(before, meanwhile, first, last, grown / (many if announced else there), threads)


def pelt(stage: Stage, count: int) -> tuple[float, float, float]:
    """Garbage while an honest caller calls: its median before and meanwhile, and how many MiB the server grew."""
    stage.alice()
    url = from_afar(stage.url)
    with tincans.connect(url) as bob:
        before, alone = median(bob), bob.call.descriptors()
        strangers(stage, "garbage", count).said("done", timeout=300)  # what is needed once is taken by now
        eventually(lambda: bob.call.descriptors() <= alone + 2, timeout=60)  # thousands may still wait at the door
        memory = bob.call.memory()
        thrower = strangers(stage, "garbage", count)
        meanwhile = median(bob)
        thrower.said("done", timeout=300)
        eventually(lambda: bob.call.descriptors() <= alone + 2, timeout=60)
        with tincans.connect(url) as another:
            assert another.call.add(2, 5) == 7
        eventually(lambda: bob.call.descriptors() <= alone + 2, timeout=60)
        return before, meanwhile, (bob.call.memory() - memory) / 2**20


def check(siege: Siege) -> None:
    """The bars; a machine that has other work to do needs its time to notice that somebody's time is over."""
    assert siege.ratio <= 2, f"an honest call takes {siege.ratio:.2f} times as long"
    assert siege.last_cut < GREETING_TIMEOUT + 3, "not cut in time"
    assert siege.memory <= 64 * 1024, f"{siege.memory / 1024:.0f} KiB each"
    assert siege.threads <= MAX_WORKERS + 2, f"{siege.threads} threads"


def main() -> None:
    """The long version, on one method."""
    method, *rest = sys.argv[1:]
    method = with_certificates(method)
    silent, trickling, garbage = (int(word) for word in (*rest, *("1000", "1000", "10000")[len(rest) :]))
    with tempfile.TemporaryDirectory(prefix="tincans-faults-") as place:
        os.environ["TINCANS_RUNTIME_DIR"] = place
        for face in ("sync", "aio"):
            stage = Stage(method, face)
            siege = besiege(stage, silent, trickling)
            stage.close()
            print(
                f"{method} ({face}): {silent} silent, {trickling} trickling: median {siege.before * 1e6:.0f} -> "
                f"{siege.meanwhile * 1e6:.0f} us (x {siege.ratio:.2f}), cut after {siege.first_cut:.2f} to "
                f"{siege.last_cut:.2f} s, {siege.memory / 1024:.1f} KiB each, {siege.threads} threads",
                flush=True,
            )
            check(siege)
            stage = Stage(method, face)
            before, meanwhile, grown = pelt(stage, garbage)
            stage.close()
            print(
                f"{method} ({face}): {garbage} of garbage: median {before * 1e6:.0f} -> {meanwhile * 1e6:.0f} us, "
                f"{grown:.1f} MiB grown, the honest caller is served",
                flush=True,
            )
            assert grown < 64, "garbage stays in memory"


if __name__ == "__main__":
    main()
