"""The connecting end: a box of letters in the shared file (contracts.Connection).

Rules of this file
- A letter is in the file when `send` returns, whether anybody serves or not. Letters to us are taken out when
  received.
- We live as long as we hold our box's byte; the server lives as long as it holds its run's byte. A box that one
  server has taken up belongs to it: when that one dies we are cut, after what it still said.
- The descriptor is the bell's watch; what the bell tells about others is looked at (8 bytes) and passed over.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from tincans.contracts import Buffer, Framing, Identity, Parts
from tincans.errors import DisconnectedError, WaitTimeoutError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.files.shared_bell import slot_of
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.sqlite.layout import BOXES, RUNS, TO_SERVER
from tincans.toolkit.sqlite.letter import letter_of, parts_in
from tincans.toolkit.sqlite.store import Store
from tincans.toolkit.sqlite.use import Use, doze

MOST_WAITING = 10_000
"""Letters of one box that nobody has taken; then `send` waits for the server."""

OLDEST_LETTER = 7 * 86_400.0
"""Seconds after which the letters of a program that is gone are thrown away."""

GIVEN_UP = -1
"""The run of a box that its server has closed."""

_ROOM_SOON = 0.02
"""Seconds between two looks for room."""

_POST = "INSERT INTO letters (box, down, body, at) VALUES (?, ?, ?, ?)"
_TAKE = "DELETE FROM letters WHERE box = ? AND down = ? RETURNING id, body, at"
_COUNT = "SELECT count(*) FROM letters WHERE box = ? AND down = ?"
_RUN = "SELECT run FROM boxes WHERE id = ?"
_FORSAKEN = (
    "DELETE FROM boxes WHERE id = ? AND NOT EXISTS (SELECT 1 FROM letters WHERE box = boxes.id AND down = 0 AND at > ?)"
    " RETURNING id"
)


def post(store: Store, box: int, letters: Sequence[bytes], *, down: bool) -> None:
    """Put letters into a box."""
    now = time.time()
    if len(letters) == 1:
        store.quick.change(_POST, box, down, letters[0], now)
        return
    with store.quick.transaction() as execute:
        for letter in letters:
            execute(_POST, box, down, letter, now)


class Letter(NamedTuple):
    """One letter, as taken out of a box; `at` is when it was put in."""

    id: int
    body: bytes
    at: float


def take_letters(store: Store, box: int, *, down: bool) -> list[Letter]:
    """Take all letters out of one side of a box, in order."""
    return sorted(Letter(*row) for row in store.quick.change(_TAKE, box, down))


def wait_for_room(store: Store, box: int, who: str, *, down: bool, timeout: float | None) -> int:
    """Until one side of a box has room for more letters; how many are in it. WaitTimeoutError: nothing was sent."""
    deadline = deadline_of(timeout)
    while True:
        waiting: int = store.quick.change(_COUNT, box, down)[0][0]
        if waiting < MOST_WAITING:
            return waiting
        left = left_of(deadline)
        if left == 0:
            raise WaitTimeoutError(f"{waiting} letters wait for {who}; nothing was sent. It may be busy, or not run.")
        time.sleep(_ROOM_SOON if left is None else min(left, _ROOM_SOON))


def clear_boxes(store: Store) -> None:
    """Remove the boxes of programs that are gone, once nothing in them is meant for the server."""
    for (box,) in store.quick.change("SELECT id FROM boxes"):
        is_used = store.bell.is_held(BOXES + box)
        if not is_used and store.quick.change(_FORSAKEN, box, time.time() - OLDEST_LETTER):
            store.quick.change("DELETE FROM letters WHERE box = ?", box)


def box_slot(box: int) -> int:
    """The slot that is rung for the owner of a box."""
    return slot_of("box", str(box))


class BoxConnection:
    """See contracts.Connection."""

    def __init__(self, store: Store, framing: Framing, address: str, max_message: int) -> None:
        self.max_message = max_message
        self.identity = Identity(uid=store.path.stat().st_uid, address=address)
        self._store = store
        self._bell = store.bell
        self._framing = framing
        self._wake = Doorbell()
        self._use = Use(address, self._wake, store)
        self._watch = self._bell.watching()
        self._box = self._slot = 0
        """Made with the first letter: who only uses the board needs none."""
        self._number = b""
        self._run = 0
        self._look_now = False
        self._here: deque[Letter] = deque()
        self._waiting = 0
        abandon_in_child(self)

    def _open_box(self) -> None:
        clear_boxes(self._store)
        with self._store.quick.transaction() as execute:  # nobody sees a box without its owner
            while True:
                (box,) = execute("INSERT INTO boxes DEFAULT VALUES RETURNING id")[0]
                life = self._bell.hold(BOXES + box)
                if life is not None:
                    break
        self._use.holds.insert(0, life)  # its end tells the server; whoever comes next removes the box
        self._slot = box_slot(box)
        self._box = box

    # -- sending ---------------------------------------------------------------------------------------------------

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection."""
        self.send_many([parts], timeout=timeout)

    def send_many(self, messages: Sequence[Parts], *, timeout: float | None) -> None:
        """See contracts.Connection."""
        letters = [letter_of(parts, self._framing, self.max_message) for parts in messages]
        with self._use:
            if not self._box:
                self._open_box()
            self._check_room(timeout)
            if self._run > 0 and not self._bell.is_held(RUNS + self._run):
                raise self._gone()
            post(self._store, self._box, letters, down=False)
            self._waiting += len(letters)
            self._bell.ring(TO_SERVER)

    def _check_room(self, timeout: float | None) -> None:
        """Wait while too many letters wait for a server."""
        if self._waiting >= MOST_WAITING:
            self._waiting = wait_for_room(self._store, self._box, self.identity.address, down=False, timeout=timeout)

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        self._use.check_open()
        return True

    # -- receiving -------------------------------------------------------------------------------------------------

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        deadline = deadline_of(timeout)
        with self._use:
            while True:
                if not self._here:
                    self._look()
                if self._here:
                    return parts_in(self._here.popleft().body, self._framing, self.max_message)
                left = left_of(deadline)
                if left == 0:
                    return None
                self._look_now = doze(self._wake, self._watch, left) or self._look_now

    def _look(self) -> None:
        """Take in what is there. DisconnectedError when there is nothing and the server is gone."""
        self._use.check_open()
        told = self._look_now
        self._look_now = False
        if self._watch is not None:
            told = self._watch.drain()[1] or told
        number = self._bell.number(self._slot)
        if not self._box or (number == self._number and not told):
            return
        self._number = number
        self._here.extend(take_letters(self._store, self._box, down=True))
        if self._here:
            self._look_now = told or not self._run  # for its end, or to learn who has taken us up
        elif self._is_cut():
            self._here.extend(take_letters(self._store, self._box, down=True))  # what it said last
            if not self._here:
                raise self._gone()
            self._look_now = True

    def _is_cut(self) -> bool:
        """Whether the server that took up this box has died, or has given it up."""
        rows = self._store.quick.change(_RUN, self._box)
        self._run = rows[0][0] if rows else GIVEN_UP
        return self._run == GIVEN_UP or (self._run > 0 and not self._bell.is_held(RUNS + self._run))

    def pending(self) -> bool:
        """See contracts.Connection."""
        return bool(self._here)

    def fileno(self) -> int | None:
        """See contracts.Connection."""
        return None if self._watch is None else self._watch.fileno()

    def _gone(self) -> DisconnectedError:
        return DisconnectedError(f"The program that served {self.identity.address} is gone.")

    # -- the end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """See contracts.Connection."""
        self._use.close()

    def abandon(self) -> None:
        """See contracts.Connection."""
        self._use.abandon()

    def __del__(self) -> None:
        if hasattr(self, "_here"):
            self.close()
