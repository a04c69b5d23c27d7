"""Flow control of streams: who may send how much, and what waits for whom.

Rules of this file
- No I/O and no threads: the owner calls in under its own lock and does the sending and waking.
- The receiver of a stream grants credit; a sender without credit keeps what it has, bounded by a named policy.
- `WINDOW` items may be under way before the first credit arrives: half of it is granted again at a time. Of small news
  more (`news_window`); both sides know how many from the subscription's limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from tincans.contracts import Policy

WINDOW = 64
NEWS_WINDOW = 1024
"""Small values, as fast as they are published: a credit for each few would cost more than they do."""


def news_window(limit: int) -> int:
    """How many published values may be under way to a subscriber that keeps up to `limit`.

    >>> news_window(10), news_window(10_000)
    (64, 1024)
    """
    return max(WINDOW, min(NEWS_WINDOW, limit))


ENDED: Any = object()
"""What a stream gives instead of an element when it has ended."""


class Outlet:
    """The sending end of a pushed stream (a subscription, a watch): a bounded buffer and a credit.

    Of a large window all but WINDOW is for small values only (`next(is_small)`): a subscriber that does not consume
    may come to hold all of it.

    >>> outlet = Outlet(limit=2, policy="drop_oldest", credit=1)
    >>> for value in "abcd":
    ...     outlet.keep(value)
    >>> outlet.dropped, outlet.next(), outlet.next()
    (2, 'c', None)
    >>> outlet.grant(5); outlet.next(), outlet.next()
    ('d', None)
    """

    __slots__ = ("_reserve", "credit", "dropped", "limit", "overflowed", "policy", "waiting")

    def __init__(self, *, limit: int, policy: Policy, credit: int = WINDOW) -> None:
        self.limit = limit
        self.policy = policy
        self.credit = credit
        self.waiting: deque[Any] = deque()
        self.dropped = 0
        self.overflowed = False
        self._reserve = max(0, credit - WINDOW)

    def keep(self, value: Any) -> None:
        """Take in one value. The oldest is dropped when it is full, or `overflowed` is set (policy `refuse`)."""
        if len(self.waiting) >= self.limit:
            self.dropped += 1
            if self.policy == "refuse":
                self.overflowed = True
                return
            self.waiting.popleft()
        self.waiting.append(value)

    def next(self, is_small: Callable[[Any], bool] = lambda value: False) -> Any | None:
        """The oldest, which may be sent now, or None."""
        if not self.waiting or self.credit <= 0:
            return None
        if self.credit <= self._reserve and not is_small(self.waiting[0]):
            return None
        self.credit -= 1
        return self.waiting.popleft()

    def grant(self, count: int) -> None:
        """The receiver allows `count` more."""
        self.credit += count


class Inlet:
    """The receiving end of a stream: what came and was not consumed yet, and the credit owed to the sender.

    Of a large window (`news_window`) the sender uses all but WINDOW for small elements only. So `hurry` grants as in a
    small one, which is for what is not small, and whoever is about to wait for long owes from half a WINDOW on.

    >>> inlet = Inlet(window=4)
    >>> inlet.add("a"); inlet.add("b")
    >>> inlet.next(), inlet.owed(), inlet.next(), inlet.owed()
    ('a', 0, 'b', 2)
    """

    __slots__ = ("_window", "consumed", "ended", "error", "items", "make", "step")

    def __init__(self, window: int = WINDOW) -> None:
        self.items: deque[Any] = deque()
        self.ended = False
        self.error: BaseException | None = None
        self.make: Callable[[str, Any], Any] | None = None
        """What the consumer wants to get for a plain element, made of its topic and value as it arrives."""
        self.consumed = 0
        """Since credit was granted last."""
        self.widen(window)

    def widen(self, window: int) -> None:
        """The sender's window is this large."""
        self._window = window
        self.step = window / 2
        """What must be consumed before credit is granted."""

    def hurry(self) -> None:
        """Something large arrived."""
        self.step = min(WINDOW, self._window) / 2

    def add(self, item: Any) -> None:
        """One element arrived."""
        self.items.append(item)

    def next(self) -> Any:
        """The oldest element; IndexError when there is none."""
        item = self.items.popleft()
        self.consumed += 1
        return item

    def owed(self) -> int:
        """How much credit to grant now: nothing until half the window was consumed."""
        return self.taken() if self.consumed >= self.step else 0

    def is_behind(self) -> bool:
        """Whether the sender, who has nothing under way, may lack credit for something large."""
        return not self.items and self.consumed * 2 >= WINDOW

    def taken(self) -> int:
        """All the credit that is owed, which is granted now."""
        if self.ended:
            return 0
        count, self.consumed = self.consumed, 0
        self.step = min(self.step * 2, self._window / 2)
        return count
