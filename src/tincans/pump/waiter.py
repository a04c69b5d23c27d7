"""One thing that a thread waits for: an answer, an element, the end.

Rules of this file
- The thread that waits usually reads the connection itself (receiving.py); only when another thread is reading does it
  sleep on `lock`, which costs nothing until then.
- `deliver` and `fail` may be called by any thread; the first one counts.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol


class PlainReply:
    """A Reply whose value has been read already (pump/plain_calls.py)."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Waiter:
    """The wait for one message. `settled` turns True when it is there, or when `error` says why it never will."""

    __slots__ = ("error", "lock", "message", "operation", "settled")

    def __init__(self, operation: str = "") -> None:
        self.settled = False
        self.message: Any = None
        self.error: BaseException | None = None
        self.lock: threading.Lock | None = None
        self.operation = operation

    def deliver(self, message: Any) -> None:
        """The message is here."""
        self.message = message
        self.wake()

    def deliver_plain(self, value: Any) -> None:
        """The message is here, and is a plain value."""
        self.deliver(PlainReply(value))

    def fail(self, error: BaseException) -> None:
        """It will never come."""
        self.error = error
        self.wake()

    def wake(self) -> None:
        """Let the sleeping thread look."""
        self.settled = True
        self.nudge()

    def nudge(self) -> None:
        """Wake the thread without anything being done: it may read the connection now."""
        lock = self.lock
        if lock is not None:
            try:
                lock.release()
            except RuntimeError:
                pass  # it was awake already

    def prepare_to_sleep(self) -> None:
        if self.lock is None:
            lock = threading.Lock()
            lock.acquire()
            self.lock = lock

    def sleep(self, timeout: float | None) -> None:
        """Until woken, at most `timeout` seconds."""
        assert self.lock is not None
        self.lock.acquire(True, -1 if timeout is None else max(0.0, min(timeout, threading.TIMEOUT_MAX)))


class Waiting(Protocol):
    """What `Link.wait` needs of a Waiter, and of the future that stands in its place."""

    settled: bool
    error: BaseException | None

    def fail(self, error: BaseException) -> None: ...
    def nudge(self) -> None: ...
    def prepare_to_sleep(self) -> None: ...
    def sleep(self, timeout: float | None) -> None: ...
