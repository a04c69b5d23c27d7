"""Threads for jobs that may block, so many at once and no more, and none that the end of the program waits for.

Rules of this file
- A thread is made when all others are busy, and ends when it had nothing to do for a while.
- A job must not raise; what it wants to say it says itself.
"""

from __future__ import annotations

import queue
import threading
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
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def submit(self, job: Job) -> bool:
        """Run it soon. False when too many wait already: it is not run then."""
        with self._lock:
            queued = self._jobs.qsize()
            if self._idle <= queued:
                if self._threads < self._most:
                    self._threads += 1
                    threading.Thread(target=self._work, args=(job,), name=self._name, daemon=True).start()
                    return True
                if queued - self._idle >= self._waiting:
                    return False
            self._jobs.put(job)
        return True

    def _work(self, job: Job | None) -> None:
        while job is not None:
            job()
            job = self._next()

    def _next(self) -> Job | None:
        with self._lock:
            self._idle += 1
        job = self._got(IDLE)
        with self._lock:
            self._idle -= 1
            job = job or self._got(0)  # it may have come just now, for us
            if job is None:
                self._threads -= 1
        return job

    def _got(self, timeout: float) -> Job | None:
        try:
            return self._jobs.get(timeout > 0, timeout or None)
        except queue.Empty:
            return None


def spawn(job: Job, name: str) -> None:
    """Run a job on a thread of its own."""
    threading.Thread(target=job, name=name, daemon=True).start()
