"""Whether a silent server is still there: asked by who waits for it without a deadline of its own.

Rules of this file
- Only while something is awaited (an answer, a stream, news, calls of our functions) and in the background at that; an
  idle connection costs nothing, a busy one nothing but a timer.
- Only the connecting side asks: a stopped client keeps its locks, and a client's death is seen without being asked for.
- Who was held up itself (stopped, starved) judges nobody: a beat that comes late only asks again.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tincans.core.messages import Ping
from tincans.errors import DisconnectedError

if TYPE_CHECKING:
    from tincans.pump.link import Link

INTERVAL = 10.0
"""Seconds from one question to the next; who has said nothing by then is gone. RabbitMQ allows 60, websockets 40."""

LATE = 0.25
"""Part of the interval by which a beat may be late and still judge."""


class Heartbeat:
    """The beat of one link, from `begin` until nothing is awaited any more."""

    __slots__ = ("_asked", "_beating", "_beginning", "_due", "_heard", "_link", "_steady")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._beating = False
        self._beginning = threading.Lock()
        self._asked = False
        self._steady = False
        self._heard = 0
        self._due = 0.0

    def begin(self, *, steady: bool = False) -> None:
        """Something is awaited; with `steady`, always. May be called often, by anyone."""
        self._steady = self._steady or steady
        if self._beating:
            return
        with self._beginning:
            if self._beating:
                return
            self._beating = True
        self._asked = False
        self._next()

    def _next(self) -> None:
        self._due = time.monotonic() + INTERVAL
        self._link.reactor.call_at(self._due, self._beat)

    def _beat(self) -> None:
        """A timer's job."""
        link = self._link
        in_time = time.monotonic() < self._due + INTERVAL * LATE
        if self._asked and link.heard_in_all() == self._heard and in_time:
            link.probe()  # what has come, and nobody has looked at yet
            if link.heard_in_all() == self._heard:
                link.lost(DisconnectedError(f"It was silent for {INTERVAL:g} s: stopped, overloaded, or cut off."))
        if link.dead is not None:
            return
        if not (self._steady or link.is_awaited()):
            self._beating = False
            return
        self._asked, self._heard = True, link.heard_in_all()
        link.post(Ping())
        self._next()
