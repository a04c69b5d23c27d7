"""Threads for jobs that may block, so many at once and no more, and none that the end of the program waits for.

Rules of this file
- A thread is made when all others are busy, and ends when it had nothing to do for a while.
- A job must not raise; what it wants to say it says itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Job = Callable[[], object]
IDLE = 5.0
"""Seconds after which a thread without work ends."""


class DaemonThreads:
    """A pool. Any thread may give it jobs.

    >>> threads, done = DaemonThreads(2, "doc"), threading.Event()
    >>> threads.submit(done.set), done.wait(5)
    (True, True)
    """

    def __init__(self, most: int, name: str, *, waiting: int = 1000) -> None:
        self._most = most
        self._name = name
        self._waiting = waiting
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0

    def submit(self, job: Job) -> bool:
        """Run it soon. False when too many wait already: it is not run then."""
        with self._changed:
            free = self._idle - len(self._jobs)
            if free <= 0 and self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._work, args=(job,), name=self._name, daemon=True).start()
                return True
            if -free >= self._waiting:
                return False
            self._jobs.append(job)
            self._changed.notify()
        return True

    def _work(self, job: Job | None) -> None:
        while job is not None:
            job()
            del job  # nor what it holds, while there is nothing to do
            job = self._next()

    def _next(self) -> Job | None:
        with self._changed:
            self._idle += 1
            while not self._jobs:
                if not self._changed.wait(IDLE) and not self._jobs:
                    self._threads -= 1
                    self._idle -= 1
                    return None
            self._idle -= 1
            return self._jobs.popleft()


def spawn(job: Job, name: str) -> None:
    """Run a job on a thread of its own."""
    threading.Thread(target=job, name=name, daemon=True).start()
