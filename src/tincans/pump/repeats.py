"""Idempotent calls that come twice, because the string broke before the answer: each is run once.

Rules of this file
- A repetition has the same key. While the first attempt still runs it waits for that one's answer; afterwards it gets
  the answer that was written down.
- An attempt that was cancelled, or that answered with a stream, leaves nothing to repeat: who waits for it is run anew.
- Bounded in count and age; what still runs is never dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from tincans.core.messages import Failure, Reply, Request

if TYPE_CHECKING:
    from tincans.pump.link import Link

MOST_ANSWERS = 10_000
SECONDS = 300.0
Answer = Callable[[int], Reply[Any] | Failure]
"""The message for the call of a given id."""


class _Entry(Struct):
    begun: float
    answer: Answer | None = None
    waiting: list[tuple[Link, Request[Any]]] = field(default_factory=list)


class Repeats:
    """What became of the calls that have a key. Thread-safe."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = Lock()

    def begin(self, link: Link, request: Request[Any]) -> Answer | bool | None:
        """True: run it. An answer: that is it. None: the attempt that still runs will answer it as well."""
        key = request.key or ""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._entries[key] = _Entry(monotonic())
                self._trim()
                return True
            if entry.answer is None:
                entry.waiting.append((link, request))
            return entry.answer

    def settle(self, key: str, answer: Answer) -> list[tuple[Link, Request[Any]]]:
        """An attempt ended: who else waits for its answer."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return []
            entry.answer = answer
            waiting, entry.waiting = entry.waiting, []
            return waiting

    def forget(self, key: str) -> list[tuple[Link, Request[Any]]]:
        """An attempt ended without an answer that could be repeated: who has to be run anew."""
        with self._lock:
            entry = self._entries.pop(key, None)
            return [] if entry is None else entry.waiting

    def _trim(self) -> None:
        entries, old = self._entries, monotonic() - SECONDS
        while entries:
            key, first = next(iter(entries.items()))
            if len(entries) <= MOST_ANSWERS and first.begun > old:
                return
            if first.answer is None:  # it still runs: look at it again later
                first.begun = monotonic()
                entries.move_to_end(key)
                return
            del entries[key]
