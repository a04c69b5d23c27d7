"""A desk in front of a hub, for its tests: gives out tickets, keeps the clock, finds answers.

Rules of this file
- Time passes only by `desk.now`.
- An answer is looked up by its ticket, so that a test names who is answered.
"""

from __future__ import annotations

from typing import Any

from tincans.core.hub import Done, Failed, Hub, Kept, KeptChange, Limits, News, Outcome


class Desk:
    """Asks a hub, remembers every outcome."""

    def __init__(self, kept: Kept | None = None, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.hub = Hub(limits) if kept is None else Hub.restore(kept, 0.0, limits)
        self.now = 0.0
        self.seen: list[Outcome] = []
        self.ticket = 0

    def ask(self, owner: str, name: str, *args: Any) -> int:
        """Ask, and return the ticket."""
        self.ticket += 1
        self.seen += self.hub.request(owner, self.ticket, name, args, self.now)
        return self.ticket

    def get(self, owner: str, name: str, *args: Any) -> Any:
        """Ask something that is answered at once; a refusal is raised."""
        outcome = self.answer(self.ask(owner, name, *args))
        if isinstance(outcome, Failed):
            raise outcome.error
        assert isinstance(outcome, Done)
        return outcome.value

    def answer(self, ticket: int) -> Done | Failed | None:
        """How a request ended; None while it waits."""
        answers = [o for o in self.seen if isinstance(o, (Done, Failed)) and o.ticket == ticket]
        assert len(answers) < 2, f"answered twice: {answers}"
        return answers[0] if answers else None

    def value(self, ticket: int) -> Any:
        """What a request was answered with."""
        outcome = self.answer(ticket)
        assert isinstance(outcome, Done), outcome
        return outcome.value

    def waits(self, ticket: int) -> bool:
        """Whether a request has no answer yet."""
        return self.answer(ticket) is None

    def news(self, ticket: int) -> list[Any]:
        """The elements of a stream so far."""
        return [o.value for o in self.seen if isinstance(o, News) and o.ticket == ticket]

    def cancel(self, ticket: int) -> None:
        self.seen += self.hub.cancel(ticket, self.now)

    def gone(self, owner: str) -> None:
        self.seen += self.hub.gone(owner, self.now)

    def advance(self, seconds: float) -> None:
        """Let time pass, as an owner does who calls `tick` when the hub asked for it."""
        end = self.now + seconds
        while (due := self.hub.next_deadline()) is not None and due <= end:
            self.now = due
            self.seen += self.hub.tick(self.now)
        self.now = end

    def changes(self) -> list[KeptChange]:
        return self.hub.take_changes()
