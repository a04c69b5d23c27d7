"""Flow control of streams: who may send how much, and what waits for whom.

Rules of this file
- No I/O and no threads: the owner calls in under its own lock and does the sending and waking.
- The receiver of a stream grants credit; a sender without credit keeps what it has, bounded by a named policy.
- `WINDOW` items may be under way before the first credit arrives: half of it is granted again at a time.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from tincans.contracts import Policy

WINDOW = 64
ENDED: Any = object()
"""What a stream gives instead of an element when it has ended."""


class Outlet:
    """The sending end of a pushed stream (a subscription, a watch): a bounded buffer and a credit.

    >>> outlet = Outlet(limit=2, policy="drop_oldest", credit=1)
    >>> outlet.push("a"), outlet.push("b"), outlet.push("c"), outlet.push("d")
    (['a'], [], [], [])
    >>> outlet.dropped, outlet.grant(5)
    (1, ['c', 'd'])
    """

    __slots__ = ("credit", "dropped", "limit", "overflowed", "policy", "waiting")

    def __init__(self, *, limit: int, policy: Policy, credit: int = WINDOW) -> None:
        self.limit = limit
        self.policy = policy
        self.credit = credit
        self.waiting: deque[Any] = deque()
        self.dropped = 0
        self.overflowed = False

    def push(self, value: Any) -> list[Any]:
        """Take in one value; what may be sent now. `overflowed` is set when the policy is `refuse` and it is full."""
        if self.credit > 0 and not self.waiting:
            self.credit -= 1
            return [value]
        if len(self.waiting) >= self.limit:
            self.dropped += 1
            if self.policy == "refuse":
                self.overflowed = True
                return []
            self.waiting.popleft()
        self.waiting.append(value)
        return []

    def grant(self, count: int) -> list[Any]:
        """The receiver allows `count` more; what may be sent now."""
        self.credit += count
        ready = []
        while self.credit > 0 and self.waiting:
            self.credit -= 1
            ready.append(self.waiting.popleft())
        return ready


class Inlet:
    """The receiving end of a stream: what came and was not consumed yet, and the credit owed to the sender.

    >>> inlet = Inlet(window=4)
    >>> inlet.add("a"); inlet.add("b")
    >>> inlet.next(), inlet.owed(), inlet.next(), inlet.owed()
    ('a', 0, 'b', 2)
    """

    __slots__ = ("_consumed", "ended", "error", "items", "window")

    def __init__(self, window: int = WINDOW) -> None:
        self.items: deque[Any] = deque()
        self.window = window
        self.ended = False
        self.error: BaseException | None = None
        self._consumed = 0

    def add(self, item: Any) -> None:
        """One element arrived."""
        self.items.append(item)

    def next(self) -> Any:
        """The oldest element; IndexError when there is none."""
        item = self.items.popleft()
        self._consumed += 1
        return item

    def owed(self) -> int:
        """How much credit to grant now: nothing until half the window was consumed."""
        if self._consumed * 2 < self.window or self.ended:
            return 0
        count, self._consumed = self._consumed, 0
        return count
