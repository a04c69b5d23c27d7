"""`python -m tincans.bench.big_data`: one large array as an argument, and published to one and to four subscribers.

Rules of this file
- Each figure has its yardstick in the same round: one copy of the same size into warm memory (numpy.copyto).
- Whoever gets the array looks at one element of it, so it really arrived. Rounds are interleaved.
- `python -m tincans.bench.big_data PLACE` is the other program: it serves, and listens as often as it is told to.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import tincans
from tincans.bench.rounds import child

WARM_UP = 3
"""Rounds not counted: memory is taken from the kernel in them (several times what a copy costs)."""

BURST = 20
"""What copies nothing is measured so often a round: a single one between copies of gigabytes finds every cache cold."""

SUBSCRIBERS = (1, 4)
SHARED_AT_MOST_US = 100.0
PLAIN_AT_MOST = 1.3
COPY = "one copy"
THIS = "tincans.bench.big_data"

Steps = dict[str, Callable[[], object]]


def array_steps(peer: tincans.Peer[Any], server: tincans.Server, mebibytes: int) -> Steps:
    """What is timed, by name."""
    import numpy

    plain = numpy.arange(mebibytes * 131072)
    shared = tincans.empty(plain.shape, plain.dtype)
    warm = numpy.empty_like(plain)
    for target in (shared, warm):
        numpy.copyto(target, plain)
    steps: Steps = {
        COPY: lambda: numpy.copyto(warm, plain),
        "call, plain": lambda: peer.call.last(plain),
        "call, shared": lambda: peer.call.last(shared),
    }
    for count in SUBSCRIBERS:
        steps[f"publish to {count}, plain"] = lambda count=count: server.publish(f"big.{count}", plain)  # type: ignore[misc]
        steps[f"publish to {count}, shared"] = lambda count=count: server.publish(f"big.{count}", shared)  # type: ignore[misc]
    return steps


def measured(mebibytes: int, rounds: int) -> dict[str, float]:
    """The median of each step in seconds, by name."""
    times: dict[str, list[float]] = {}
    with ExitStack() as stack:
        places = [stack.enter_context(child([THIS])) for _ in range(max(SUBSCRIBERS))]
        peers = [stack.enter_context(tincans.connect(f"local:{place.name}")) for place in places]
        server = stack.enter_context(tincans.serve(f"local:{places[0].name}-bench"))
        for number, peer in enumerate(peers, 1):
            peer.call.listen(server.url, [f"big.{count}" for count in SUBSCRIBERS if number <= count])
        steps = array_steps(peers[0], server, mebibytes)
        for _ in range(rounds + WARM_UP):
            for name, step in steps.items():
                for _ in range(BURST if name.endswith("shared") else 1):
                    began = perf_counter()
                    step()
                    times.setdefault(name, []).append(perf_counter() - began)
                sleep(0.02)  # whoever got it lets it go meanwhile
    return {name: statistics.median(each[len(each) * WARM_UP // (rounds + WARM_UP) :]) for name, each in times.items()}


def report(figures: dict[str, float], mebibytes: int) -> list[str]:
    """Lines for people."""
    lines = [f"an array of {mebibytes} MiB between programs, over a bare name"]
    for name, seconds in figures.items():
        verdict = f"{seconds / figures[COPY]:8.2f} x {COPY}"
        met = seconds <= PLAIN_AT_MOST * figures[COPY]
        if name.endswith("shared"):
            met = seconds * 1e6 <= SHARED_AT_MOST_US
        lines.append(f"  {name:24} median {seconds * 1e6:12.1f} us {verdict}{'' if met else '   NOT MET'}")
    lines.append(f"  (promised: shared at most {SHARED_AT_MOST_US:g} us, plain at most {PLAIN_AT_MOST:g} x {COPY})")
    return lines


def serve(place: Path) -> None:
    """The other program."""
    import numpy

    def last(array: numpy.ndarray) -> int:
        return int(array[-1])

    with tincans.serve(f"local:{place.name}") as server:
        publishers: list[tincans.Peer[Any]] = []

        def listen(url: str, topics: list[str]) -> None:
            publishers.append(tincans.connect(url))
            for topic in topics:
                publishers[-1].on(topic)(lambda note: last(note.value))

        server.expose(last)
        server.expose(listen)
        print("ready", flush=True)
        sys.stdin.read()  # until whoever measures is done


def main() -> None:
    """Measure and print, or be the other program."""
    if len(sys.argv) == 2 and Path(sys.argv[1]).is_dir():
        serve(Path(sys.argv[1]))
        return
    parser = argparse.ArgumentParser(prog="tincans.bench.big_data", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (default 15)")
    parser.add_argument("--mebibytes", type=int, default=256, help="size of the array (default 256)")
    options = parser.parse_args()
    print("\n".join(report(measured(options.mebibytes, options.rounds), options.mebibytes)))


if __name__ == "__main__":
    main()
