"""Who has what in the hub: every wait, stream, lease and lock, by ticket and by owner.

Rules of this file
- A claim is whatever an owner leaves in the hub when a request returns. A wait that is answered by a lease or a
  lock hands its ticket on to it, so that a caller who gave up just then takes back what it never saw.
- Claims are bounded, in all and for each owner, so that no client can use up the memory or the room of others.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from tincans.errors import FullError


class Claim(Protocol):
    """A wait, a stream, a lease or a held lock."""

    home: Home
    owner: Hashable
    ticket: Hashable


class Home(Protocol):
    """The part of the hub that a claim lives in."""

    def withdraw(self, claim: Claim, *, seen: bool) -> None:
        """Forget the claim and give back what it held, serving nobody yet.

        `seen` is False when the owner never learned that the claim was granted.
        """
        ...


class Claims:
    """All claims of one hub; `most` in all and `most_of_one` for each owner."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._by_ticket: dict[Hashable, Claim] = {}
        self._by_owner: dict[Hashable, dict[Hashable, Claim]] = {}

    def __contains__(self, ticket: Hashable) -> bool:
        return ticket in self._by_ticket

    def __len__(self) -> int:
        return len(self._by_ticket)

    def check_room(self, owner: Hashable) -> None:
        """FullError when `owner` may have no further claim."""
        if len(self._by_ticket) >= self._most:
            raise FullError(
                f"The hub already holds {self._most} waits, streams, leases and locks. "
                "Try again when some are done, or serve with a larger limit."
            )
        of_one = self._by_owner.get(owner)
        if of_one is not None and len(of_one) >= self._most_of_one:
            raise FullError(
                f"This connection already has {self._most_of_one} waits, streams, leases and locks in the hub. "
                "Acknowledge, release or close some first."
            )

    def add(self, claim: Claim) -> None:
        """Take up `claim`, in place of one with the same ticket."""
        ticket = claim.ticket
        self._by_ticket[ticket] = claim
        of_one = self._by_owner.get(claim.owner)
        if of_one is None:
            of_one = self._by_owner[claim.owner] = {}
        of_one[ticket] = claim

    def remove(self, claim: Claim) -> None:
        """Forget `claim`."""
        of_one = self._by_owner.get(claim.owner)  # None while the owner's departure is under way
        if of_one is not None:
            of_one.pop(claim.ticket, None)
        self._by_ticket.pop(claim.ticket, None)

    def find(self, ticket: Hashable) -> Claim | None:
        """The claim under `ticket`, or None."""
        return self._by_ticket.get(ticket)

    def leave(self, owner: Hashable) -> list[Claim]:
        """`owner` goes: its claims, all to be withdrawn before anybody is served."""
        return list(self._by_owner.pop(owner, {}).values())
