"""Bob at work, until he is killed: puts jobs, takes jobs, sets a value, and says what was promised to him and when.

Rules of this file
- `worker.py URL FIRST`: numbers count up from FIRST, so that no two workers use the same.
- Before each step he says `["?", step, number]`, after it `[step, number]`; a step that failed is `["!", step, error]`.
- No step may wait for ever: each has a timeout, and what he says shows that he goes on.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from typing import Any

import tincans
from tincans.errors import TincansError, WaitTimeoutError

TIMEOUT = 2.0


def say(*words: Any) -> None:
    """One line, written at once: what was said before a kill is not lost."""
    os.write(1, (json.dumps({"said": "step", "step": words}) + "\n").encode())


class Worker:
    """One round of steps after the other."""

    def __init__(self, alice: Any) -> None:
        self.alice = alice
        self.jobs = alice.queue("jobs", max_deliveries=0)
        self._job: Any = None

    def put(self, number: int) -> int:
        self.jobs.put(number, timeout=TIMEOUT)
        return number

    def take(self, number: int) -> None:
        self._job = None
        self._job = self.jobs.take(timeout=TIMEOUT)

    def set(self, number: int) -> int:
        self.alice.with_options(timeout=TIMEOUT).state["number"] = number
        return number

    def go_round(self, number: int) -> None:
        """Put, set, take, finish."""
        self.step("put", self.put, number)
        self.step("set", self.set, number)
        self._job = None
        self.step("take", self.take, number)
        if self._job is not None:
            job = self._job
            self.step("done", lambda value: job.done(), job.value)

    def step(self, name: str, action: Any, number: int) -> None:
        """One step, said before and after."""
        say("?", name, number)
        try:
            action(number)
        except WaitTimeoutError:
            say("-", name, number)
        except TincansError as error:
            say("!", name, type(error).__name__)
        else:
            say(name, number)


def connected(url: str) -> Any:
    """Alice, as soon as she is there."""
    while True:
        try:
            return tincans.connect(url, call_timeout=TIMEOUT)
        except TincansError as error:
            say("!", "connect", type(error).__name__)
            time.sleep(0.01)


def main() -> None:
    """Until killed."""
    url, first = sys.argv[1], int(sys.argv[2])
    worker = Worker(connected(url))
    for number in itertools.count(first):
        worker.go_round(number)


if __name__ == "__main__":
    main()
