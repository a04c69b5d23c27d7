"""Deadlines of many things, most of which never come: a lease is usually given up long before it ends.

Rules of this file
- No clock: `now` is passed in.
- Putting off and cancelling cost no search: the heap keeps the old entry, which is looked at again when its time comes.
- Memory stays in proportion to what is really waited for: a heap of mostly old entries is built anew.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

_SPARE = 64  # entries that a heap may always have too many


class Timers(Generic[T]):
    """One deadline per item.

    >>> timers = Timers[str]()
    >>> timers.set("a", 5.0); timers.set("b", 3.0); timers.set("b", 9.0)
    >>> timers.next(), timers.due(5.0), timers.next()
    (5.0, ['a'], 9.0)
    """

    def __init__(self) -> None:
        self._when: dict[T, float] = {}
        self._heap: list[tuple[float, int, T]] = []
        self._number = 0  # keeps items of one moment in order, and items from being compared

    def set(self, item: T, when: float) -> None:
        """`item` is due at `when`, in place of an earlier agreement."""
        before = self._when.get(item)
        self._when[item] = when
        if before is None or when < before:
            self._push(item, when)

    def cancel(self, item: T) -> float | None:
        """`item` is not waited for any more; says when it would have been due."""
        when = self._when.pop(item, None)
        if len(self._heap) > 2 * len(self._when) + _SPARE:
            self._heap = [(due, number, item) for number, (item, due) in enumerate(self._when.items())]
            self._number = len(self._heap)
            heapify(self._heap)
        return when

    def next(self) -> float | None:
        """When the first item is due, or None."""
        while self._heap:
            when, _, item = self._heap[0]
            real = self._when.get(item)
            if real == when:
                return when
            heappop(self._heap)
            if real is not None and real > when:
                self._push(item, real)
        return None

    def due(self, now: float) -> list[T]:
        """The items whose time has come, first ones first; they are not waited for any more."""
        items: list[T] = []
        while (when := self.next()) is not None and when <= now:
            item = heappop(self._heap)[2]
            del self._when[item]
            items.append(item)
        return items

    def _push(self, item: T, when: float) -> None:
        self._number += 1
        heappush(self._heap, (when, self._number, item))
