"""The serving end's connections: a box of letters that somebody opened, and a call that was left.

Rules of this file
- Both use the listener's handles and are rung by it; each has a descriptor of its own.
- A box: letters to us are taken out when received; when its owner is gone they are handed out first.
- A left call: its request comes once, the first message that is sent is its answer, and then it is over. It stays
  marked with our run from when it was handed out, so that a later run knows that it may have happened
  (`redelivered`).
"""

from __future__ import annotations

import contextlib
import select
import time
from collections import deque
from collections.abc import Callable, Sequence

from tincans.contracts import Buffer, Framing, Identity, Parts
from tincans.errors import DisconnectedError, TincansError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.sqlite.answers import answer_left, take_left
from tincans.toolkit.sqlite.box import GIVEN_UP, MOST_WAITING, Letter, box_slot, post, take_letters, wait_for_room
from tincans.toolkit.sqlite.letter import LARGEST, letter_of, parts_in
from tincans.toolkit.sqlite.store import Store
from tincans.toolkit.sqlite.use import Use


class RungConnection:
    """What both kinds have in common: a descriptor that the listener rings, and an end."""

    redelivered = False

    def __init__(self, store: Store, framing: Framing, address: str, forget: Callable[[], None]) -> None:
        self.max_message = LARGEST
        self.identity = Identity(uid=store.path.stat().st_uid, address=address)
        self._store = store
        self._framing = framing
        self._forget = forget
        self._bell = Doorbell()
        self._use = Use(address, self._bell)
        self._rung = True
        self._bell.ring()
        abandon_in_child(self)

    def ring(self) -> None:
        """There is something to look at."""
        with self._use.guard:
            if not self._use.closed:
                self._rung = True
                self._bell.ring()

    def _wait(self, timeout: float | None) -> None:
        poll = select.poll()
        poll.register(self._bell.fileno(), select.POLLIN)
        poll.poll(None if timeout is None else timeout * 1000)

    def _was_rung(self) -> bool:
        with self._use.guard:
            rung, self._rung = self._rung, False
            self._bell.silence()
        return rung

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        self._use.check_open()
        return True

    def fileno(self) -> int | None:
        """See contracts.Connection."""
        return self._bell.fileno()

    def close(self) -> None:
        """See contracts.Connection."""
        if self._use.close():
            with contextlib.suppress(TincansError, OSError):
                self._say_closed()
            self._forget()

    def _say_closed(self) -> None:
        """Let the other end know, if it cannot see it."""

    def abandon(self) -> None:
        """See contracts.Connection."""
        self._use.abandon()


class ServedBox(RungConnection):
    """A box of letters, seen from the server."""

    def __init__(
        self, store: Store, box: int, framing: Framing, address: str, max_message: int, forget: Callable[[], None]
    ) -> None:
        super().__init__(store, framing, address, forget)
        self.max_message = max_message
        self._box = box
        self._slot = box_slot(box)
        self._here: deque[Letter] = deque()
        self._at = 0.0
        self._gone = False
        self._waiting = 0

    def owner_gone(self) -> None:
        """The program that opened the box has died, or closed it."""
        self._gone = True
        self.ring()

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection."""
        self.send_many([parts], timeout=timeout)

    def send_many(self, messages: Sequence[Parts], *, timeout: float | None) -> None:
        """See contracts.Connection."""
        letters = [letter_of(parts, self._framing, self.max_message) for parts in messages]
        with self._use:
            if self._gone:
                raise self._owner_is_gone()
            if self._waiting >= MOST_WAITING:
                self._waiting = wait_for_room(self._store, self._box, "the caller", down=True, timeout=timeout)
            post(self._store, self._box, letters, down=True)
            self._waiting += len(letters)
            self._store.bell.ring(self._slot)

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        deadline = deadline_of(timeout)
        with self._use:
            while True:
                self._use.check_open()
                if not self._here and self._was_rung():
                    gone = self._gone  # before the look: what was there when it went is handed out
                    self._here.extend(take_letters(self._store, self._box, down=False))
                    if gone and not self._here:
                        raise self._owner_is_gone()
                    self._rung = self._rung or gone
                if self._here:
                    letter = self._here.popleft()
                    self._at = letter.at
                    return parts_in(letter.body, self._framing, self.max_message)
                left = left_of(deadline)
                if left == 0:
                    return None
                self._wait(left)

    def age(self) -> float:
        """Seconds that the message received last lay in the file."""
        return max(0.0, time.time() - self._at)

    def pending(self) -> bool:
        """See contracts.Connection."""
        return bool(self._here) or self._rung

    def _owner_is_gone(self) -> DisconnectedError:
        return DisconnectedError(f"The program that called over {self.identity.address} is gone.")

    def _say_closed(self) -> None:
        if self._gone:
            self._store.quick.change("DELETE FROM boxes WHERE id = ?", self._box)
            self._store.quick.change("DELETE FROM letters WHERE box = ?", self._box)
        else:
            self._store.quick.change("UPDATE boxes SET run = ? WHERE id = ?", GIVEN_UP, self._box)
            self._store.bell.ring(self._slot)


class LeftCall(RungConnection):
    """A call that was left, for its one answer."""

    def __init__(
        self,
        store: Store,
        ticket: str,
        run: int,
        taken_by: int,
        framing: Framing,
        address: str,
        forget: Callable[[], None],
    ) -> None:
        super().__init__(store, framing, address, forget)
        self.redelivered = taken_by != 0
        self._ticket = ticket
        self._run = run
        self._taken = self._answered = False

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection. The first message is the answer; more than one cannot be kept."""
        with self._use:
            if self._answered:
                raise DisconnectedError("This call was left, and has its answer: nobody waits for more.")
            answer_left(self._store, self._ticket, letter_of(parts, self._framing, self.max_message))
            self._answered = True
        self.ring()

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        deadline = deadline_of(timeout)
        with self._use:
            while True:
                self._use.check_open()
                self._was_rung()
                if not self._taken:
                    self._taken = True
                    request = take_left(self._store, self._ticket, self._run)
                    if request is not None:
                        return parts_in(request, self._framing, self.max_message)
                    self._answered = True
                if self._answered:
                    raise DisconnectedError("This call was left, and has its answer.")
                left = left_of(deadline)
                if left == 0:
                    return None
                self._wait(left)

    def age(self) -> float:
        """A call that was left waits as long as it takes."""
        return 0.0

    def pending(self) -> bool:
        """See contracts.Connection."""
        return self._rung
