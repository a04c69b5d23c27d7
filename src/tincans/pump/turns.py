"""A connection whose wire has no ids: one call after the other, answers in the order of the calls.

Rules of this file
- Only wires that say so (`Wire.in_order`) pay for it: their links have a `Turns`, all others None.
- Serving, the next request is begun when the last answer has been sent. Calling, each answer belongs to the oldest
  call that has none.
- Nothing can be cancelled: a caller that gives up ends the connection, for the answers would be mixed up.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from tincans.core.messages import Cancel, Credit, End, Failure, Item, Message, Reply, Request
from tincans.errors import DisconnectedError

if TYPE_CHECKING:
    from tincans.pump.link import Link

UNBOUNDED = 1 << 62
"""The credit of a stream whose receiver cannot grant any; the connection's own buffers hold the sender back."""


class Turns:
    """Whose turn it is on one link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self.order = threading.Lock()
        """Held from `asked` until the message has left."""
        self._open: deque[int] = deque()  # our calls without an answer
        self._waiting: deque[Request[Any]] = deque()  # the other side's calls that are not begun
        self._busy = False

    def may_send(self, message: Message) -> bool:
        """False: this message cannot be said here. A Cancel ends the connection instead."""
        if isinstance(message, Cancel) and message.id in self._open:
            self._link.lost(DisconnectedError("A call was given up; without ids the connection must end with it."))
        return not isinstance(message, Cancel | Credit)

    def asked(self, message: Message) -> None:
        """A message is about to leave; called in the order of leaving, under `order`."""
        if isinstance(message, Request):
            self._open.append(message.id)

    def not_asked(self, message: Message) -> None:
        """It has not left, and never will; called under `order`: no answer will belong to it."""
        if isinstance(message, Request):
            with contextlib.suppress(ValueError):
                self._open.remove(message.id)

    def after_sending(self, message: Message) -> None:
        """An answer has left: the next request may begin."""
        if not (isinstance(message, Failure | End) or (isinstance(message, Reply) and not message.stream)):
            return
        with self._lock:
            if not self._waiting:
                self._busy = False
                return
            request = self._waiting.popleft()
        self._begin(request)

    def admit(self, request: Request[Any]) -> None:
        """A request came: begin it when those before it are answered."""
        request.id = self._link.session.other_id()
        with self._lock:
            if self._busy:
                self._waiting.append(request)
                return
            self._busy = True
        self._begin(request)

    def _begin(self, request: Request[Any]) -> None:
        link = self._link
        if not link.owner.execute_at_once(link, request):
            link.run_later(request)

    def belongs(self, message: Reply[Any] | Failure | Item[Any] | End) -> None:
        """Give an answer the id of the call that it belongs to."""
        if not self._open:
            return
        final = not isinstance(message, Item) and not (isinstance(message, Reply) and message.stream)
        message.id = self._open.popleft() if final else self._open[0]
