"""The serving end: where boxes of letters are taken up, and calls that were left (contracts.Listener).

Rules of this file
- One program at a time serves a file, and holds the byte SERVING; each run has a number that is never used again, and
  holds its byte as long as it lives.
- A box is taken up when there are letters in it. One that a run has taken up before belongs to that run's end; only
  when its owner is gone too is what still lies in it (notifications) taken up again.
- The listener looks for all of its connections at once and rings the one that has letters.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from functools import partial
from typing import Any

from tincans.contracts import Connection, Framing
from tincans.errors import ClosedError, NameInUseError, TincansError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.files.byte_lock import ByteLock
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.sqlite.answers import unanswered
from tincans.toolkit.sqlite.box import clear_boxes
from tincans.toolkit.sqlite.layout import BOXES, RUNS, SERVING, TO_SERVER, next_number
from tincans.toolkit.sqlite.served import LeftCall, ServedBox
from tincans.toolkit.sqlite.store import Store
from tincans.toolkit.sqlite.use import doze

LEFT_AT_ONCE = 64
"""Calls that were left and are worked on at the same time."""

_WITH_LETTERS = (
    "SELECT box, (SELECT run FROM boxes WHERE id = box) FROM (SELECT DISTINCT box FROM letters WHERE down = 0)"
)
_ADOPT = "UPDATE boxes SET run = ? WHERE id = ?"


class StoreListener:
    """See contracts.Listener."""

    def __init__(self, store: Store, framing: Framing, address: str, max_message: int) -> None:
        self.address = address
        self._store = store
        self._bell = store.bell
        self._framing = framing
        self._max_message = max_message
        serving = self._bell.hold(SERVING)
        if serving is None:
            raise NameInUseError(
                f"Another live program serves {address}. End that program first, or choose another file.", url=address
            )
        self._serving = serving
        try:
            self._run, self._life = self._new_run()
            self._watch = self._bell.watching()
            clear_boxes(store)
            self._bell.ring(TO_SERVER)  # our own descriptor polls readable: there may be something already
        except BaseException:
            serving.close()
            raise
        self._boxes: dict[int, ServedBox] = {}
        self._left: dict[str, LeftCall] = {}
        self._new: deque[Connection] = deque()
        self._number = b""
        self._told = True
        self._closed = False
        self._wake = Doorbell()
        self._accepting = threading.Lock()
        abandon_in_child(self)

    def _new_run(self) -> tuple[int, ByteLock]:
        while True:
            run: int = self._store.durable.change(next_number("run"))[0][0]
            life = self._bell.hold(RUNS + run)
            if life is not None:
                return run, life

    def accept(self, *, timeout: float | None) -> Connection | None:
        """See contracts.Listener."""
        deadline = deadline_of(timeout)
        with self._accepting:
            while True:
                if self._closed:
                    raise ClosedError(f"{self.address} is no longer served here.", url=self.address)
                if not self._new:
                    self._look()
                if self._new:
                    return self._new.popleft()
                left = left_of(deadline)
                if left == 0:
                    return None
                self._told = doze(self._wake, self._watch, left) or self._told

    def _look(self) -> None:
        """See who has letters, who is gone, and which calls were left."""
        told, self._told = self._told, False
        if self._watch is not None:
            told = self._watch.drain()[1] or told
        number = self._bell.number(TO_SERVER)
        if number != self._number or told:
            self._number = number
            self._look_into_boxes()
            self._look_for_left_calls()
        if told:
            for box, connection in list(self._boxes.items()):
                if not self._bell.is_held(BOXES + box):
                    connection.owner_gone()

    def _look_into_boxes(self) -> None:
        for box, run in self._store.quick.change(_WITH_LETTERS):
            known = self._boxes.get(box)
            if known is not None:
                known.ring()
                continue
            if run and self._bell.is_held(BOXES + box):
                continue  # its owner will be told that the run which took it up is over
            self._store.quick.change(_ADOPT, self._run, box)
            self._boxes[box] = made = ServedBox(
                self._store,
                box,
                self._framing,
                self.address,
                self._max_message,
                partial(self._forget, self._boxes, box),
            )
            if not self._bell.is_held(BOXES + box):
                made.owner_gone()
            self._new.append(made)

    def _look_for_left_calls(self) -> None:
        for ticket, run in unanswered(self._store, self._run, 2 * LEFT_AT_ONCE):
            if ticket not in self._left and len(self._left) < LEFT_AT_ONCE:
                self._left[ticket] = made = LeftCall(
                    self._store,
                    ticket,
                    self._run,
                    run,
                    self._framing,
                    self.address,
                    partial(self._forget, self._left, ticket),
                )
                self._new.append(made)

    def _forget(self, table: dict[Any, Any], key: object) -> None:
        """A connection was closed."""
        table.pop(key, None)
        if self._closed:
            self._end_when_idle()
        elif table is self._left:
            self._bell.ring(TO_SERVER)  # there may be more of them

    def close(self) -> None:
        """See contracts.Listener. Connections that were accepted go on until they are closed."""
        if self._closed:
            return
        self._closed = True
        self._wake.ring()
        with self._accepting:
            waiting, self._new = list(self._new), deque()
        for connection in waiting:
            connection.close()
        self._serving.close()
        self._end_when_idle()

    def _end_when_idle(self) -> None:
        """The run is over when its last connection is closed; until then answers can be sent."""
        if self._boxes or self._left:
            return
        with contextlib.suppress(TincansError, OSError):
            self._life.close()
            self._store.close()

    def abandon(self) -> None:
        """In a forked child: count as closed."""
        self._closed = True

    def fileno(self) -> int | None:
        """See contracts.Listener."""
        return None if self._watch is None else self._watch.fileno()
