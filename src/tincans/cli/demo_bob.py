"""Bob of `tincans demo`: a program of his own that uses all seven verbs with Alice and times a call.

Rules of this file
- It reads as a user's program would: only the public face is used.
- He prints one JSON object per line: {"verb", "said", "heard"} for each thing he did, {"verb", "no"} for a verb
  that the method refuses, and last {"calls", "median", "pid"}, the time of one call in seconds (of one look at a flag,
  where nothing can be called).
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import tincans
from tincans.errors import UnsendableError, UnsupportedError

TIMED_FOR = 0.3  # seconds: long enough for a steady median, short enough for a demo of many methods
MOST_CALLS = 5_000

Said = tuple[str, str, Callable[[Any], Any]]


def _publish(alice: Any) -> Any:
    with alice.subscribe("news") as news:
        alice.publish("news", "it rains")
        return next(iter(news)).value


def _queue(alice: Any) -> Any:
    jobs = alice.queue("jobs")
    jobs.put("wash up")
    with jobs.take(timeout=5) as job:
        return job.value


def _state(alice: Any) -> Any:
    alice.state["mood"] = "good"
    return alice.state["mood"]


def _flag(alice: Any) -> Any:
    alice.flag("paused").set()
    return alice.flag("paused").is_set()


def _lock(alice: Any) -> Any:
    with alice.lock("door", timeout=5):
        return "held"


def _share(alice: Any) -> Any:
    alice.share(bytearray(1))  # refused where large buffers cannot travel beside a message
    return alice.call.size(bytes(1_000_000))


SCRIPT: tuple[Said, ...] = (
    ("call", "alice.call.add(2, 5)", lambda alice: alice.call.add(2, 5)),
    ("call", "list(alice.call.count_to(3))", lambda alice: list(alice.call.count_to(3))),
    ("publish", 'alice.publish("news", "it rains")', _publish),
    ("queue", 'alice.queue("jobs").put("wash up")', _queue),
    ("state", 'alice.state["mood"] = "good"', _state),
    ("flag", 'alice.flag("paused").set()', _flag),
    ("lock", 'with alice.lock("door"):', _lock),
    ("share", "alice.call.size(bytes(1_000_000))", _share),
)


def talk(url: str) -> Iterator[dict[str, Any]]:
    """Do everything in SCRIPT with the Alice at `url`, then time a call."""
    alice = tincans.connect(url, timeout=10)
    refused: set[str] = set()
    try:
        for verb, said, do in SCRIPT:
            try:
                yield {"verb": verb, "said": said, "heard": do(alice)}
            except (UnsupportedError, UnsendableError) as error:  # the latter: a stream where answers go one way
                if verb not in refused:
                    yield {"verb": verb, "no": str(error)}
                refused.add(verb)
        taken = time_calls(alice)
        yield {"calls": len(taken), "median": statistics.median(taken), "pid": os.getpid()}
    finally:
        alice.close()


def time_calls(alice: Any) -> list[float]:
    """Seconds of each call of `add`, one after another; of each look at a flag where nothing can be called."""
    taken: list[float] = []
    end = time.perf_counter() + TIMED_FOR
    do = _add
    while (start := time.perf_counter()) < end and len(taken) < MOST_CALLS:
        try:
            do(alice)
        except UnsupportedError:
            do = _look
            continue
        taken.append(time.perf_counter() - start)
    return taken


def _add(alice: Any) -> Any:
    return alice.call.add(2, 5)


def _look(alice: Any) -> Any:
    return alice.flag("paused").is_set()


if __name__ == "__main__":
    for told in talk(sys.argv[1]):
        print(json.dumps(told), flush=True)
