"""The answering machine of the shared file: calls left for a program that may not run now (contracts.Answers).

Rules of this file
- A call that was left is durable when `leave` returns, and its answer when the serving program goes on.
- An answer may be collected again until it is cleaned up: after OLDEST_ANSWER seconds, or behind MOST_ANSWERS newer
  ones.
- A call that nobody has answered yet is never dropped; there may be MOST_OPEN of them, then `leave` refuses.
"""

from __future__ import annotations

import secrets
import time

from tincans.contracts import Buffer, Framing, Parts
from tincans.errors import FullError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.files.shared_bell import slot_of
from tincans.toolkit.sqlite.layout import TO_SERVER
from tincans.toolkit.sqlite.letter import letter_of, parts_in
from tincans.toolkit.sqlite.store import Store

OLDEST_ANSWER = 30 * 86_400.0
MOST_ANSWERS = 10_000
MOST_OPEN = 100_000
_LEAVE = "INSERT INTO left_calls (ticket, request, at) VALUES (?, ?, ?)"
_OPEN = "SELECT count(*) FROM left_calls WHERE answer IS NULL"
_LOOK = "SELECT answer FROM left_calls WHERE ticket = ?"
_CLEAN = (
    "DELETE FROM left_calls WHERE answer IS NOT NULL AND (at < ? OR at < (SELECT at FROM left_calls"
    " WHERE answer IS NOT NULL ORDER BY at DESC LIMIT 1 OFFSET ?))"
)
_ANSWER = "UPDATE left_calls SET answer = ?, request = x'', at = ? WHERE ticket = ? AND answer IS NULL"
_TAKE = "UPDATE left_calls SET run = ? WHERE ticket = ? AND answer IS NULL RETURNING request"
_UNANSWERED = "SELECT ticket, run FROM left_calls WHERE answer IS NULL AND run <> ? ORDER BY at LIMIT ?"


class StoredAnswers:
    """See contracts.Answers."""

    def __init__(self, store: Store, framing: Framing) -> None:
        self._store = store
        self._framing = framing

    def leave(self, parts: Parts, *, timeout: float | None) -> str:
        """See contracts.Answers."""
        letter, ticket = letter_of(parts, self._framing), secrets.token_urlsafe(12)
        with self._store.durable.transaction() as execute:
            open = execute(_OPEN)[0][0]
            if open >= MOST_OPEN:
                raise FullError(f"{open} calls wait for an answer already. Start the program that serves them.")
            execute(_LEAVE, ticket, letter, time.time())
        self._store.bell.ring(TO_SERVER)
        return ticket

    def collect(self, ticket: str, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Answers."""
        deadline, slot, bell = deadline_of(timeout), slot_of("ticket", ticket), self._store.bell
        while True:
            seen = bell.seen(slot)
            rows = self._store.quick.change(_LOOK, ticket)
            if not rows:
                raise LookupError(
                    f"Nobody was given the ticket {ticket!r} in {self._store.path.name}, or its answer was cleaned up."
                )
            if rows[0][0] is not None:
                return parts_in(rows[0][0], self._framing)
            left = left_of(deadline)
            if left == 0:
                return None
            bell.wait(slot, seen, timeout=left)


def unanswered(store: Store, run: int, most: int) -> list[tuple[str, int]]:
    """Tickets of calls that wait for an answer and that `run` has not taken, the oldest first; each with the run that
    took it before (0: none)."""
    return [(ticket, before) for ticket, before in store.quick.change(_UNANSWERED, run, most)]


def take_left(store: Store, ticket: str, run: int) -> bytes | None:
    """The request of a call that was left, from now on in the hands of `run`."""
    rows = store.durable.change(_TAKE, run, ticket)
    return rows[0][0] if rows else None


def answer_left(store: Store, ticket: str, letter: bytes) -> None:
    """Keep the answer, and clean up old ones."""
    now = time.time()
    with store.durable.transaction() as execute:
        execute(_ANSWER, letter, now, ticket)
        execute(_CLEAN, now - OLDEST_ANSWER, MOST_ANSWERS - 1)
    store.bell.ring(slot_of("ticket", ticket))
