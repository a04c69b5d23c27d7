"""Ticket: a call that was left for a program which may not run now, and its answer, whenever it comes.

Rules of this file
- A face, like verbs/; the method's board keeps the calls and their answers (contracts.Answers).
- A ticket is a short text: keep it anywhere and ask with `peer.ticket(text)`, also from another program, another day.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tincans.contracts import Buffer
from tincans.core.patience import patience
from tincans.errors import WaitTimeoutError


class Ticket:
    """The claim to an answer: `ticket.result(timeout=5)`, `ticket.is_answered()`, `str(ticket)`."""

    def __init__(
        self, id: str, collect: Callable[[str, float | None], list[Buffer] | None], read: Callable[[Any], Any]
    ) -> None:
        self.id = id
        self._collect = collect
        self._read = read

    def result(self, *, timeout: float | None = None) -> Any:
        """The function's result, or what it raised; waits at most `timeout` seconds (None: as long as it takes).

        WaitTimeoutError when there is no answer yet; LookupError for a ticket that nobody was given.
        """
        parts = self._collect(self.id, patience(timeout))
        if parts is None:
            raise WaitTimeoutError(f"The ticket {self.id} was not answered within {timeout or 0:g} s.")
        return self._read(parts)

    def is_answered(self) -> bool:
        """Whether `result` would return, or raise what the function raised, at once."""
        return self._collect(self.id, 0.0) is not None

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<Ticket {self.id}>"
