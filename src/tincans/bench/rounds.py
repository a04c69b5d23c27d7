"""Interleaved rounds: each contestant's program runs all the time, each round asks all of them in turn.

Rules of this file
- A time is one call, by `perf_counter_ns`; a round's figure is the median (and p99) of its calls, a contestant's the
  median of its rounds.
- Every program started here is ended here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter_ns

from tincans.bench.contestants import Call, Contestant

WARM_UP = 300


@dataclass
class Figures:
    """One contestant's figures, in microseconds."""

    name: str
    medians: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median of the rounds' medians."""
        return statistics.median(self.medians)

    @property
    def p99(self) -> float:
        """The median of the rounds' 99th percentiles."""
        return statistics.median(self.p99s)


def is_here(contestant: Contestant) -> bool:
    """Whether its library is installed."""
    return not contestant.needs or importlib.util.find_spec(contestant.needs) is not None


@contextlib.contextmanager
def child(arguments: Sequence[str]) -> Iterator[Path]:
    """`python -m ARGUMENTS PLACE`, started and ready; its PLACE, a fresh directory."""
    with tempfile.TemporaryDirectory(prefix="tincans-bench-") as directory:
        command = [sys.executable, "-m", *arguments, directory]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            try:
                if program.stdout.readline().strip() != "ready":
                    raise RuntimeError(f"The program {' '.join(arguments)} did not start.")
                yield Path(directory)
            finally:
                program.stdin.close()
                try:
                    program.wait(5)
                except subprocess.TimeoutExpired:
                    program.kill()


def served(contestant: Contestant) -> contextlib.AbstractContextManager[Path]:
    """A contestant's serving program."""
    return child(["tincans.bench.contestants", contestant.name])


@contextlib.contextmanager
def running(contestant: Contestant) -> Iterator[Call]:
    """Its serving program, started, and the call to it."""
    with served(contestant) as place, contestant.connect(place) as call:
        yield call


def times_of(call: Call, count: int) -> list[int]:
    """Nanoseconds of `count` calls of two ints, sorted."""
    times = []
    for _ in range(count):
        began = perf_counter_ns()
        call(2, 5)
        times.append(perf_counter_ns() - began)
    return sorted(times)


def call_latency(contestants: Sequence[Contestant], *, rounds: int = 10, calls: int = 2000) -> dict[str, Figures]:
    """A call of two ints, one after the other."""
    figures = {each.name: Figures(each.name) for each in contestants if is_here(each)}
    with contextlib.ExitStack() as stack:
        ready = {each.name: stack.enter_context(running(each)) for each in contestants if is_here(each)}
        for _ in range(rounds):
            for name, call in ready.items():
                assert call(2, 5) is not None
                for _ in range(WARM_UP):
                    call(2, 5)
                times = times_of(call, calls)
                figures[name].medians.append(times[calls // 2] / 1000)
                figures[name].p99s.append(times[calls * 99 // 100] / 1000)
    return figures


def ratio(figures: dict[str, Figures], name: str, other: str) -> float:
    """How many times slower `name` is than `other`, by medians."""
    return figures[name].median / figures[other].median
