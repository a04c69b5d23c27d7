"""Quick: the shortest way to send and receive on one link, and the C core's functions for plain messages.

Rules of this file
- Found once for each link whose wire has plain messages; without it (no C core, another wire) calls go the common way.
- A ring's own functions are C; for every other connection they are made of its `send` and `receive`.
- `exchange` and `send` never wait for room, and never for another thread that is sending: they say False instead.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from tincans import _speed
from tincans.contracts import Buffer, Wire
from tincans.errors import WaitTimeoutError

if TYPE_CHECKING:
    from tincans.pump.link import Link


AT_ONCE: Final = 64 * 1024
"""Bytes that a ring takes whole or not at all."""


class Quick:
    """What plain_calls.py and plain_serving.py need of one link.

    `ready` holds what has come along with the last message, if the connection shows it: who has the reading role may
    take it there. `exchange(data, timeout)` sends one part and receives the next message: its part, if it has one
    alone, else the list of its parts; None when nothing came in time, False when nothing was sent. `receive(timeout)`
    is the second half, `send(data)` the first. They are for a `string` that owes no message
    (toolkit/ring_connection.py), and what they give as a list, or as an empty part, is made `whole` by the string.

    `line` is the C core's own way over a ring: a whole call, or a whole answer, in one step. `flow` is the same for a
    string that shows what has come along: the core does what lies between receiving and sending several messages. `how`
    is what they need for an answer, made when they first serve (plain_serving.py).

    `send_beside(parts)` is `send` for what `request_beside` or `reply_beside` gave: large arrays, over a ring only.
    `take_news` and `tap` are for news through a ring (_speed/news.c); None and nothing where there is no ring.
    """

    __slots__ = (
        "_tap", "exchange", "fits", "flow", "how", "line", "live", "publication", "publication_beside", "read", "ready",
        "receive", "reply", "reply_beside", "request", "request_beside", "send", "send_beside", "string", "take_news",
    )  # fmt: skip

    def __init__(self, link: Link, plain: Any) -> None:
        from tincans.core.arrays import plain_array  # whoever has no link needs neither, and `import tincans` is short
        from tincans.toolkit.live_memory import LIVE

        self.live = LIVE
        self.request, self.reply, self.publication = plain.request, plain.reply, plain.publication
        self.request_beside, self.reply_beside = plain.request_beside, plain.reply_beside
        self.publication_beside = plain.publication_beside
        self.read, self.fits = partial(plain.read_with, plain_array), plain.fits
        self.ready: deque[bytes] | None = None
        self.line: Any = None
        self.flow: Any = None
        self.how: tuple[Any, ...] | None = None
        self.string: Any = getattr(link.connection, "decided", None) or link.connection
        ring = getattr(self.string, "ring", None)
        self.send: Callable[[bytes], bool]
        self.send_beside: Callable[[list[Any]], bool]
        self.receive: Callable[[float], Any]
        self.exchange: Callable[[bytes, float], Any]
        if ring is None:
            self.ready = getattr(self.string, "ready", None)
            self.flow = None if self.ready is None else _line(link, plain, None, plain_array, self.ready)
            self.send, self.receive, self.exchange = _ways(link, deque() if self.ready is None else self.ready)
            self.string = AloneString()
            self.send_beside = _never
            self.take_news: Callable[[dict[int, Any], list[Any]], tuple[int, Any]] | None = None
            self._tap: Any = None
        else:
            self.send_beside = _beside(link, self.string)
            self.send, self.receive, self.exchange = ring.send_at_once, ring.receive_one, ring.exchange
            self.line = _line(link, plain, ring, plain_array, None)
            self.take_news = partial(plain.take_news, ring.receive_here)
            self._tap = plain.Tap

    def tap(self, link: Link, id: int, slow: Callable[[str, Any], Any], full: Any) -> Any:
        """What sends the small news of a subscription in one step, or None."""
        if self._tap is None:
            return None
        return self._tap(id, self.send, (link.posted, link.corked), self.string.ring, slow, full)

    def parts_of(self, data: Any) -> list[Buffer] | None:
        """What `exchange` or `receive` gave, as a message's parts; None when nothing came."""
        if data is None:
            return None
        parts: list[Buffer] = self.string.whole(data if type(data) is list else [data])
        return parts


def _line(link: Link, core: Any, ring: Any, rebuild: Any, ready: deque[bytes] | None) -> Any:
    """The link as the C core sees it."""
    from tincans.pump.sending import CORK_MESSAGES, CORK_SECONDS

    session, attended = link.session, link.reactor.attended
    tables = session.calls, session.running, session.inlets, link.dropped, link.posted, link.corked, link.parked
    numbers = session.new_id(), link.short, CORK_MESSAGES, CORK_SECONDS
    line = core.Line(ring, link.reading, link, *tables, attended, rebuild, link.deadlines, ready, numbers)
    session.new_id = line.new_id  # from now on both languages count there
    return line


class AloneString:
    """Nothing travels beside it."""

    owes_word = False

    def whole(self, parts: list[Any]) -> list[Any]:
        """It is."""
        return parts


def _ways(link: Link, ready: deque[bytes]) -> tuple[Any, Any, Any]:
    """`send`, `receive` and `exchange` over any connection."""
    connection, sending = link.connection, link.sending
    send_parts, receive_parts, flush = connection.send, connection.receive, connection.flush

    def send(data: bytes) -> bool:
        if not sending.acquire(False):
            return False
        try:
            send_parts((data,), timeout=0)
            if not flush(timeout=0):
                link.drain_soon()
        except WaitTimeoutError:
            return False
        finally:
            sending.release()
        return True

    def receive(timeout: float) -> Any:
        if ready and link.dead is None:
            return ready.popleft()
        parts = receive_parts(timeout=timeout)
        return parts[0] if parts is not None and len(parts) == 1 else parts

    def exchange(data: bytes, timeout: float) -> Any:
        return receive(timeout) if send(data) else False

    return send, receive, exchange


def _never(parts: list[Any]) -> bool:
    """Nothing was sent."""
    return False


def _beside(link: Link, string: Any) -> Callable[[list[Any]], bool]:
    """A large array's memory goes beside the ring, or at least at once through it, or the common way."""
    from tincans.toolkit.descriptor_passing import PASS_FROM  # what has a ring has this, and nobody else needs it
    from tincans.toolkit.live_memory import LIVE

    sending, send_parts, flush = link.sending, string.send, string.flush

    def send(parts: list[Any]) -> bool:
        if LIVE.any_writable() or not sending.acquire(False):
            return False
        try:
            passed = PASS_FROM if string.shares_memory else AT_ONCE + 1
            if sum(len(part) for part in parts if len(part) < passed) > AT_ONCE:
                return False
            send_parts(parts, timeout=0)
            if string.owes_word and not flush(timeout=0):
                link.drain_soon()
        except WaitTimeoutError:
            return False
        finally:
            sending.release()
        return True

    return send


@cache
def _core() -> Any:
    """The C module, or None without it. A free-threaded program does without: two threads could meet in `exchange`."""
    if _speed.why_not() or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    from tincans._speed import _core

    return _core


def core_of(wire: Wire) -> Any:
    """The C core, for a wire that it can write; else None."""
    return _core() if getattr(wire, "plain", False) else None


def quick_of(link: Link) -> Quick | None:
    """The shortest way for a link, if there is one."""
    plain = core_of(link.wire)
    return None if plain is None else Quick(link, plain)


class Role(Protocol):
    """The role of the one who reads a link: a lock that nobody waits for."""

    def acquire(self, blocking: Literal[False], /) -> bool: ...
    def release(self) -> None: ...
    def locked(self) -> bool: ...


def role() -> Role:
    """A role that is free."""
    core = _core()
    return threading.Lock() if core is None else core.Role()


def started() -> type | None:
    """The C core's part of a future (_speed/started.c), or None without it."""
    core = _core()
    return None if core is None else core.Started


def tray_of(kind: type) -> Any:
    """A tray (_speed/news.c) for elements of one class, or None without the C core."""
    core = _core()
    return None if core is None else core.Tray(kind)
