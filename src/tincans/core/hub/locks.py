"""Locks: one holder at a time, the others wait in line, and nobody's lock is ever broken by age.

Rules of this file
- A holder is told apart by its owner (a connection) and the name it gives itself (a thread, a task).
- Locks are not reentrant: who asks again for what it holds waits, as with `threading.Lock`.
- A lock ends by release, or with its owner's connection. The next in line gets it at once.
- Each grant has a token higher than every one before it, also in earlier runs of a kept hub, so that a store can
  refuse a holder who has been overtaken.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from tincans.core.hub import arguments
from tincans.core.hub.claims import Claim, Claims, Home
from tincans.core.hub.outcomes import Done, Outcome
from tincans.errors import LeaseLostError

Holder = int | str


@dataclass(slots=True, eq=False)
class Waiting:
    """A place in a lock's line."""

    home: Home
    owner: Hashable
    ticket: Hashable
    lock: str
    holder: Holder


@dataclass(slots=True, eq=False)
class Holding:
    """A lock that is held."""

    home: Home
    owner: Hashable
    ticket: Hashable
    lock: str
    holder: Holder


class Locks:
    """The locks of one hub. A lock that nobody holds takes no memory."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._token = 0
        self._held: dict[str, Holding] = {}
        self._lines: dict[str, OrderedDict[Hashable, Waiting]] = {}
        self._freed: list[str] = []

    def acquire(
        self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], lock: str, holder: Holder
    ) -> None:
        """$acquire(lock, holder) -> a token, as soon as the lock is free and it is this one's turn."""
        self._check(lock, holder)
        self._claims.check_room(owner)
        if lock in self._held:
            waiting = Waiting(self, owner, ticket, lock, holder)
            self._claims.add(waiting)
            self._lines.setdefault(lock, OrderedDict())[ticket] = waiting
        else:
            self._grant(owner, ticket, lock, holder, out)

    def release(
        self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], lock: str, holder: Holder
    ) -> None:
        """$release(lock, holder)"""
        self._check(lock, holder)
        held = self._held.get(lock)
        if held is None or held.owner != owner or held.holder != holder:
            raise LeaseLostError(
                f"The lock {lock!r} is not held by {holder!r} of this connection: it was released before, or lost with "
                "an earlier connection. What it protected may have been changed by somebody else."
            )
        self.withdraw(held, seen=True)
        out.append(Done(ticket))
        self.settle(out)

    def withdraw(self, claim: Claim, *, seen: bool) -> None:
        """Leave the line, or free the lock; `settle` gives it to the next."""
        self._claims.remove(claim)
        if isinstance(claim, Holding):
            del self._held[claim.lock]
            self._freed.append(claim.lock)
            return
        assert isinstance(claim, Waiting)
        line = self._lines[claim.lock]
        del line[claim.ticket]
        if not line:
            del self._lines[claim.lock]

    def settle(self, out: list[Outcome]) -> None:
        """Give every freed lock to the first in its line."""
        while self._freed:
            lock = self._freed.pop()
            line = self._lines.get(lock)
            if line is None or lock in self._held:
                continue
            _, first = line.popitem(last=False)
            if not line:
                del self._lines[lock]
            self._grant(first.owner, first.ticket, lock, first.holder, out)

    def restore(self, token: int) -> None:
        """Grant tokens above `token` from now on."""
        self._token = max(self._token, token)

    def _grant(self, owner: Hashable, ticket: Hashable, lock: str, holder: Holder, out: list[Outcome]) -> None:
        self._token += 1
        held = self._held[lock] = Holding(self, owner, ticket, lock, holder)
        self._claims.add(held)
        out.append(Done(ticket, self._token))

    @staticmethod
    def _check(lock: str, holder: Holder) -> None:
        arguments.name("lock", lock)
        if isinstance(holder, int):
            arguments.count("The number of a lock's holder", holder, least=-arguments.LARGEST_NUMBER)
        else:
            arguments.name("lock's holder", holder)
