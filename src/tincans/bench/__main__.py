"""`python -m tincans.bench` (`make bench`): the figures and the ratios that are promised, measured now, side by side.

Rules of this file
- Nothing here judges: a bar that is not met is printed as such, with its figure.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import tincans
from tincans.bench.arrays import array_times
from tincans.bench.contestants import ALL, BY_NAME
from tincans.bench.rounds import Figures, call_latency, ratio, served

SOCKET, PIPES, STANDARD = "bare socket + msgpack", "two bare pipes + msgpack", "multiprocessing.connection"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tincans.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="interleaved rounds (default 10)")
    parser.add_argument("--mebibytes", type=int, default=256, help="size of the array that is passed (default 256)")
    options = parser.parse_args()
    calls(options.rounds)
    pipelined(options.rounds)
    arrays(options.mebibytes, max(3, options.rounds // 3))


def calls(rounds: int) -> None:
    """A call of two ints."""
    figures = call_latency(ALL, rounds=rounds)
    print(f"a call of two ints, one after the other ({rounds} interleaved rounds)")
    for each in sorted(figures.values(), key=lambda f: f.median):
        print(f"  {each.name:28} median {each.median:8.2f} us   p99 {each.p99:8.2f} us")
    bar("unix / bare socket + msgpack", ratio(figures, "unix", SOCKET), 1.6)
    bar("pipe / two bare pipes + msgpack", ratio(figures, "pipe", PIPES), 2.0)
    for name in ("unix", "pipe"):
        bar(f"{name} / multiprocessing.connection", ratio(figures, name, STANDARD), 1.0)
    show(f"local is {ratio(figures, STANDARD, 'local'):.1f} x as fast as multiprocessing.connection")


def pipelined(rounds: int, count: int = 100) -> None:
    """Started calls against calls one after the other, over unix."""
    one, many = Figures("one after the other"), Figures("started together")
    with served(BY_NAME["unix"]) as place, tincans.connect((place / "url").read_text()) as peer:
        for _ in range(rounds * 10):
            one.medians.append(timed(lambda: [peer.call.add(2, 5) for _ in range(count)]) / count)
            many.medians.append(
                timed(lambda: [f.result() for f in [peer.start.add(2, 5) for _ in range(count)]]) / count
            )
    print(
        f"{count} calls over unix: {one.median:.2f} us each one after the other, {many.median:.2f} us started together"
    )
    bar("rate of started calls / sequential ones", one.median / many.median, 3.0, at_least=True)


def started_together(peer: tincans.Peer[Any], count: int) -> None:
    """Start them all, then fetch the results."""
    for future in [peer.start.add(2, 5) for _ in range(count)]:
        future.result()


def timed(function: Callable[[], object]) -> float:
    """Microseconds."""
    began = perf_counter_ns()
    function()
    return (perf_counter_ns() - began) / 1000


def arrays(mebibytes: int, rounds: int) -> None:
    """A large array as an argument, over unix."""
    times = array_times(mebibytes, rounds)
    print(f"an array of {mebibytes} MiB as an argument over unix ({rounds} interleaved rounds)")
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, median in medians.items():
        print(f"  {name:28} median {median * 1000:10.3f} ms")
    bar("multiprocessing.connection / unix", medians[STANDARD] / medians["unix"], 20.0, at_least=True)
    bar("multiprocessing.connection / unix, shared", medians[STANDARD] / medians["unix, shared"], 20.0, at_least=True)


def bar(what: str, value: float, limit: float, *, at_least: bool = False) -> None:
    """One promised ratio."""
    met = value >= limit if at_least else value <= limit
    show(
        f"{what}: {value:.2f} (promised: {'at least' if at_least else 'at most'} {limit:g}){'' if met else '  NOT MET'}"
    )


def show(text: str) -> None:
    """A line of the verdict."""
    print(f"  -> {text}")


if __name__ == "__main__":
    main()
