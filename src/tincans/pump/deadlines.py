"""Deadlines of calls that no thread waits for: started ones, whose futures may be asked later or never.

Rules of this file
- What waits in the table of calls has its `deadline` (time.monotonic) with it; there is one timer for a link, set
  for the nearest, and nothing to do for an answered call.
- `due` is raised before the table is gone through, so that who starts a call meanwhile sets a timer himself.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from tincans.core.messages import Cancel
from tincans.errors import CallTimeoutError

if TYPE_CHECKING:
    from tincans.pump.link import Link

NEVER = float("inf")


class Deadlines:
    """The deadlines of one link's started calls."""

    def __init__(self, link: Link) -> None:
        self.due = NEVER
        """When the timer goes off."""
        self._link = link
        self._lock = threading.Lock()

    def expect(self, when: float) -> None:
        """A call that is in the table by now must be answered by `when`."""
        with self._lock:
            if when >= self.due:
                return
            self.due = when
        self._link.reactor.call_at(when, self.expire)

    def expire(self) -> None:
        """Fail what is late, and set the timer for the rest."""
        calls, now, next_one = self._link.session.calls, time.monotonic(), NEVER
        with self._lock:
            self.due = NEVER
        for id, waiter in list(calls.items()):
            deadline = getattr(waiter, "deadline", NEVER)
            if deadline > now:
                next_one = min(next_one, deadline)
            elif calls.pop(id, None) is not None:
                self._fail(id, waiter)
        if next_one < NEVER:
            self.expect(next_one)

    def _fail(self, id: int, waiter: Any) -> None:
        self._link.post(Cancel(id))
        waiter.fail(
            CallTimeoutError(
                f"{waiter.operation} was not answered by its deadline; it was asked to stop, but may have happened.",
                operation=waiter.operation,
            )
        )
