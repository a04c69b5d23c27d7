"""One who works while Redis is killed: `redis_worker.py put|take|call URL`. Says each thing that was promised to it.

Rules of this file
- One JSON list a line: ["put", n] once a put returned; ["took", n, deliveries] and ["done", n] around a job; ["?", n]
  when it is not known whether it is done; ["called", when] once a call was answered.
- It goes on whatever happens, as a careful program would.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

import tincans
from tincans.errors import LeaseLostError, TincansError

LEASE = 1.0


def say(*what: Any) -> None:
    """One line."""
    print(json.dumps(what), flush=True)


def put(peer: Any) -> None:
    """Numbers, each once."""
    number = 0
    while True:
        number += 1
        try:
            peer.queue("jobs").put(number)
        except TincansError:
            time.sleep(0.01)
        else:
            say("put", number)


def take(peer: Any) -> None:
    """Whatever comes, and acknowledge it."""
    queue = peer.queue("jobs", lease=LEASE, max_deliveries=0)
    while True:
        try:
            job = queue.take(timeout=5)
        except TincansError:
            time.sleep(0.01)
            continue
        say("took", job.value, job.deliveries)
        try:
            job.done()
        except LeaseLostError:
            pass
        except TincansError:
            say("?", job.value)
        else:
            say("done", job.value)


def call(peer: Any) -> None:
    """Small calls, one after the other."""
    while True:
        with contextlib.suppress(TincansError):
            if peer.with_options(timeout=5).call.add(2, 5) == 7:
                say("called", time.monotonic())
        time.sleep(0.005)


def main() -> None:
    """For ever."""
    what, url = sys.argv[1:]
    with tincans.connect(url, timeout=30) as peer:
        {"put": put, "take": take, "call": call}[what](peer)


if __name__ == "__main__":
    main()
