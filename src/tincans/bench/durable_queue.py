"""`python -m tincans.bench.durable_queue [ROUNDS]`: a put, take and done on a file, against what one could take.

Rules of this file
- Only equals are compared: who forces each put to the disk with `sync=full`, who leaves that to the system with
  `sync=normal`. Each library is used with its own settings, as its documentation shows.
- Rounds are interleaved, medians compared; what is not installed is left out by name.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

Turn = Callable[[], object]
ITEM = "x" * 100
TURNS = 50
WARM_UP = 10


def tincans_turn(place: Path, sync: str) -> Turn:
    """Put, take, done."""
    import tincans

    queue = tincans.connect(f"sqlite:{place}/{sync}.db?sync={sync}").queue("jobs")

    def turn() -> None:
        queue.put(ITEM)
        with queue.take(timeout=1):
            pass

    return turn


def litequeue_turn(place: Path) -> Turn:
    """`put`, `pop`, `done`; its own setting is synchronous = NORMAL."""
    from litequeue import LiteQueue

    queue: Any = LiteQueue(str(place / "litequeue.db"))

    def turn() -> None:
        queue.put(ITEM)
        queue.done(queue.pop().message_id)

    return turn


def persist_queue_turn(place: Path) -> Turn:
    """`put`, `get`, `ack`; SQLite's own setting is synchronous = FULL."""
    from persistqueue import SQLiteAckQueue

    queue: Any = SQLiteAckQueue(str(place / "persist-queue"), auto_commit=True)

    def turn() -> None:
        queue.put(ITEM)
        queue.ack(queue.get())

    return turn


def measured(place: Path, rounds: int) -> dict[str, float]:
    """Microseconds a turn, by name."""
    turns = {"sqlite, sync=full": tincans_turn(place, "full"), "sqlite, sync=normal": tincans_turn(place, "normal")}
    others = {"persistqueue": ("persist-queue", persist_queue_turn), "litequeue": ("litequeue", litequeue_turn)}
    for module, (name, make) in others.items():
        if importlib.util.find_spec(module) is None:
            print(f"  {name} is not installed: pip install {name}")
        else:
            turns[name] = make(place)
    times: dict[str, list[float]] = {name: [] for name in turns}
    for turn in turns.values():
        for _ in range(WARM_UP):
            turn()
    for _ in range(rounds):
        for name, turn in turns.items():
            began = perf_counter_ns()
            for _ in range(TURNS):
                turn()
            times[name].append((perf_counter_ns() - began) / TURNS / 1000)
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"a durable put, take and done ({rounds} interleaved rounds of {TURNS})")
    with tempfile.TemporaryDirectory(prefix="tincans-bench-") as place:
        medians = measured(Path(place), rounds)
    for name, median in medians.items():
        print(f"  {name:24} median {median:10.1f} us")
    for ours, other in (("sqlite, sync=full", "persist-queue"), ("sqlite, sync=normal", "litequeue")):
        if other in medians:
            ratio = medians[ours] / medians[other]
            print(f"  -> {ours} / {other}: {ratio:.2f} (promised: at most 1){'' if ratio <= 1 else '  NOT MET'}")


if __name__ == "__main__":
    main()
