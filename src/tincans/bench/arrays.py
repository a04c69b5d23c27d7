"""A large array as an argument: over unix as it is, in shared memory, and over multiprocessing.connection.

Rules of this file
- The other program answers with one element of what it got, so the array really arrived there.
- Each contestant's program runs all the time; rounds are interleaved.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Client, Listener
from pathlib import Path
from time import perf_counter

import tincans
from tincans.bench.rounds import child

WARM_UP = 2
"""Rounds not counted: the sealed memory that is used again is first touched in them (about five times the copy)."""


def array_times(mebibytes: int, rounds: int) -> dict[str, list[float]]:
    """Seconds for each contestant, by name."""
    import numpy

    array = numpy.arange(mebibytes * 131072, dtype=numpy.int64)
    times: dict[str, list[float]] = {"unix": [], "unix, shared": [], "multiprocessing.connection": []}
    with child([__name__]) as place, tincans.connect(f"unix:{place}/tincans") as peer:
        shared = peer.share(array)
        with Client(str(place / "standard"), "AF_UNIX") as standard:
            for _ in range(rounds + WARM_UP):
                for name, passed in (("unix", array), ("unix, shared", shared)):
                    began = perf_counter()
                    assert peer.call.last(passed) == array[-1]
                    times[name].append(perf_counter() - began)
                began = perf_counter()
                standard.send(array)
                assert standard.recv() == array[-1]
                times["multiprocessing.connection"].append(perf_counter() - began)
    return {name: each[WARM_UP:] for name, each in times.items()}


def main() -> None:
    """The serving program: `python -m tincans.bench.arrays PLACE`."""
    import numpy

    def last(array: numpy.ndarray) -> int:
        return int(array[-1])

    place = Path(sys.argv[1])
    with tincans.serve(f"unix:{place}/tincans") as server, Listener(str(place / "standard"), "AF_UNIX") as listener:
        server.expose(last)
        print("ready", flush=True)
        with listener.accept() as connection:
            try:
                while True:
                    connection.send(last(connection.recv()))
            except EOFError:
                pass


if __name__ == "__main__":
    main()
