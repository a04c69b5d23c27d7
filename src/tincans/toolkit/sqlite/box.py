"""The connecting end: a box of letters in the shared file (contracts.Connection).

Rules of this file
- A letter is in the file when `send` returns, whether anybody serves or not. Letters to us are taken out when
  received.
- We live as long as we hold our box's byte; the server lives as long as it holds its run's byte. A box that one
  server has taken up belongs to it: when that one dies we are cut, after what it still said.
- The descriptor is the bell's watch; what the bell tells about others is looked at (8 bytes) and passed over.
"""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from tincans.contracts import Buffer, Framing, Identity, Parts
from tincans.errors import ClosedError, DisconnectedError, TincansError, WaitTimeoutError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.files.byte_lock import ByteLock
from tincans.toolkit.files.shared_bell import slot_of
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.sqlite.layout import BOXES, RUNS, TO_SERVER
from tincans.toolkit.sqlite.letter import letter_of, parts_in
from tincans.toolkit.sqlite.store import Store

MOST_WAITING = 10_000
"""Letters of one box that nobody has taken; then `send` waits for the server."""

OLDEST_LETTER = 7 * 86_400.0
"""Seconds after which the letters of a program that is gone are thrown away."""

GIVEN_UP = -1
"""The run of a box that its server has closed."""

_LOOK_AGAIN = 5.0
_UNWATCHED = 0.02
_POST = "INSERT INTO letters (box, down, body, at) VALUES (?, ?, ?, ?)"
_TAKE = "DELETE FROM letters WHERE box = ? AND down = ? RETURNING id, body, at"
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
        self._closed = False
        self._wake = Doorbell()
        self._ending = threading.Lock()
        self._busy = 0
        self._watch = self._bell.watching()
        self._box = self._slot = 0
        """Made with the first letter: who only uses the board needs none."""
        self._life: ByteLock | None = None
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
                self._life = self._bell.hold(BOXES + box)
                if self._life is not None:
                    break
        self._slot = box_slot(box)
        self._box = box

    # -- sending ---------------------------------------------------------------------------------------------------

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection."""
        self.send_many([parts], timeout=timeout)

    def send_many(self, messages: Sequence[Parts], *, timeout: float | None) -> None:
        """See contracts.Connection."""
        letters = [letter_of(parts, self._framing, self.max_message) for parts in messages]
        with _Use(self):
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
        if self._waiting < MOST_WAITING:
            return
        deadline = deadline_of(timeout)
        while True:
            count = "SELECT count(*) FROM letters WHERE box = ? AND down = 0"
            self._waiting = self._store.quick.change(count, self._box)[0][0]
            left = left_of(deadline)
            if self._waiting < MOST_WAITING:
                return
            if left == 0:
                raise WaitTimeoutError(f"{self._waiting} letters wait for {self.identity.address}; nothing was sent.")
            time.sleep(_UNWATCHED if left is None else min(left, _UNWATCHED))

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        self._check_open()
        return True

    # -- receiving -------------------------------------------------------------------------------------------------

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        deadline = deadline_of(timeout)
        with _Use(self):
            while True:
                if not self._here:
                    self._look()
                if self._here:
                    return parts_in(self._here.popleft().body, self._framing, self.max_message)
                left = left_of(deadline)
                if left == 0:
                    return None
                self._sleep(left)

    def _look(self) -> None:
        """Take in what is there. DisconnectedError when there is nothing and the server is gone."""
        self._check_open()
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

    def _sleep(self, left: float | None) -> None:
        poll = select.poll()
        poll.register(self._wake.fileno(), select.POLLIN)
        longest = _LOOK_AGAIN
        if self._watch is not None:
            poll.register(self._watch.fileno(), select.POLLIN)
        else:
            longest, self._look_now = _UNWATCHED, True
        if left is None or left > longest:
            left, self._look_now = longest, True
        poll.poll(left * 1000)

    def pending(self) -> bool:
        """See contracts.Connection."""
        return bool(self._here)

    def fileno(self) -> int | None:
        """See contracts.Connection."""
        return None if self._watch is None else self._watch.fileno()

    def _gone(self) -> DisconnectedError:
        return DisconnectedError(f"The program that served {self.identity.address} is gone.")

    # -- the end ---------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"This connection to {self.identity.address} was closed here.")

    def close(self) -> None:
        """See contracts.Connection."""
        with self._ending:
            if self._closed:
                return
            self._closed = True
            self._wake.ring()
            idle = not self._busy
        if idle:
            self._let_go()

    def enter(self) -> None:
        """Somebody sends or receives; descriptors stay until nobody does."""
        with self._ending:
            self._check_open()
            self._busy += 1

    def leave(self) -> None:
        """Nobody does any more: if we were closed meanwhile, let go."""
        with self._ending:
            self._busy -= 1
            last = self._closed and not self._busy
        if last:
            self._let_go()

    def _let_go(self) -> None:
        if self._life is not None:
            self._life.close()  # the server is told by that; whoever comes next removes the box
        self._store.close()
        self._wake.close()

    def abandon(self) -> None:
        """See contracts.Connection."""
        if not self._closed:
            self._closed = True
            self._wake.close()

    def __del__(self) -> None:
        if hasattr(self, "_here"):
            self.close()


class _Use:
    """While somebody sends or receives. An error that says so becomes that the connection was closed."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.enter()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        closed = self._connection._closed
        self._connection.leave()
        if closed and kind is not None and issubclass(kind, TincansError | OSError) and kind is not ClosedError:
            raise ClosedError("This connection was closed here.") from error
