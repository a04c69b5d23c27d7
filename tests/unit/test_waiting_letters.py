"""What a server takes out of a store: nothing that was cancelled or is too late, everything else in order."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from tincans.contracts import Buffer, Identity
from tincans.core.messages import Cancel, Message, Request
from tincans.errors import DisconnectedError
from tincans.finder import find_wire
from tincans.pump.waiting_letters import WaitingLetters

WIRE = find_wire("")


class Store:
    """A connection whose messages lay in a store for so many seconds each; then the other end is gone."""

    identity = Identity()
    max_message = 1000
    redelivered = True

    def __init__(self, *messages: tuple[Message, float]) -> None:
        self._messages = deque((WIRE.encode(message), age) for message, age in messages)
        self._age = 0.0
        self.send = self.flush = self.close = self.abandon = self.fileno = lambda *_, **__: None

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        if not self._messages:
            raise DisconnectedError("gone")
        parts, self._age = self._messages.popleft()
        return parts

    def pending(self) -> bool:
        return True

    def age(self) -> float:
        return self._age


def received(*messages: tuple[Message, float]) -> list[Any]:
    """Names of the requests and kinds of the other messages that are handed out, until the end."""
    connection: Any = WaitingLetters(Store(*messages), WIRE)  # type: ignore[arg-type]
    found = []
    with pytest.raises(DisconnectedError):
        while True:
            parts = connection.receive(timeout=0)
            if parts is not None:
                message: Any = WIRE.decode(parts)
                found.append(message.name if isinstance(message, Request) else type(message).__name__)
    return found


def ask(id: int, name: str, timeout: float | None = 30.0) -> Request[Any]:
    return Request(id, name, (), None, timeout)


def test_everything_is_handed_out_in_order_before_the_end_is_told() -> None:
    assert received((ask(1, "a"), 0.0), (ask(3, "b"), 0.0), (ask(5, "c"), 9.0)) == ["a", "b", "c"]


def test_a_request_that_was_cancelled_is_not_handed_out() -> None:
    assert received((ask(1, "a"), 9.0), (ask(3, "b"), 9.0), (Cancel(1), 5.0)) == ["b"]


def test_a_cancel_of_something_earlier_is_handed_out() -> None:
    assert received((Cancel(1), 1.0), (ask(3, "b"), 1.0)) == ["Cancel", "b"]


def test_a_request_whose_deadline_has_passed_is_not_handed_out() -> None:
    assert received((ask(1, "late", 1.0), 2.0), (ask(3, "patient", None), 99.0), (ask(5, "in time"), 2.0)) == [
        "patient",
        "in time",
    ]


def test_a_notification_is_never_too_late() -> None:
    assert received((ask(0, "note", 1.0), 1000.0)) == ["note"]


def test_it_is_still_known_that_a_request_came_again_and_how_large_a_message_may_be() -> None:
    store = Store()
    letters = WaitingLetters(store, WIRE)  # type: ignore[arg-type]
    letters.max_message = 5
    assert (letters.redelivered, letters.max_message, store.max_message) == (True, 5, 5)
