"""Deadlines of calls that no thread waits for: started ones, whose futures may be asked later or never.

Rules of this file
- One timer for a link, however many calls; answered calls are forgotten as new ones are added.
- Any thread adds and a worker expires: the lock covers the entries and the timer, never what a failure wakes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from tincans.core.messages import Cancel
from tincans.errors import CallTimeoutError

if TYPE_CHECKING:
    from tincans.pump.link import Link

NEVER = float("inf")
SWEEP_AFTER = 1000


class Deadlines:
    """The deadlines of one link's started calls."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._entries: deque[tuple[float, int]] = deque()
        self._timer = NEVER
        self._lock = threading.Lock()

    def add(self, when: float, id: int) -> None:
        """Fail our call `id` at `when` (time.monotonic) if it has no answer by then."""
        calls = self._link.session.calls
        with self._lock:
            entries = self._entries
            while entries and entries[0][1] not in calls:
                entries.popleft()
            if len(entries) > SWEEP_AFTER + 2 * len(calls):
                # One long wait at the head must not keep the entries of all calls that came and went after it.
                self._entries = entries = deque(entry for entry in entries if entry[1] in calls)
            entries.append((when, id))
            if when >= self._timer:
                return
            self._timer = when
        self._link.reactor.call_at(when, self.expire)

    def expire(self) -> None:
        """Fail what is late, and set the timer for the rest."""
        link, now = self._link, time.monotonic()
        with self._lock:
            still_open = [entry for entry in self._entries if entry[1] in link.session.calls]
            self._entries = deque(entry for entry in still_open if entry[0] > now)
            self._timer = timer = min((when for when, _ in self._entries), default=NEVER)
        for when, id in still_open:
            waiter = link.session.calls.pop(id, None) if when <= now else None
            if waiter is not None:
                self._fail(id, waiter)
        if timer < NEVER:
            link.reactor.call_at(timer, self.expire)

    def _fail(self, id: int, waiter: Any) -> None:
        self._link.post(Cancel(id))
        waiter.fail(
            CallTimeoutError(
                f"{waiter.operation} was not answered by its deadline; it was asked to stop, but may have happened.",
                operation=waiter.operation,
            )
        )
