"""News as it comes: iterate over it, or have a function run for each.

Rules of this file
- A subscription outlives its connection: it is made again, and the gap is reported.
- A follower has a thread of its own, so that a slow function holds up nobody else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tincans.contracts import Note, Subscription
from tincans.core.log import log
from tincans.core.patience import patience
from tincans.errors import TincansError, WaitTimeoutError

if TYPE_CHECKING:
    from tincans.verbs.words import Words


def _nothing() -> None:
    """Most subscriptions have no shorter way."""


class Messages:
    """A running subscription: iterate for `Note`s (topic, value, missed). Close it or leave its `with` block to end.

    When the other end dies a waiting iteration raises DisconnectedError at once; iterating again subscribes again
    when it is back, and the first note after the gap has `missed=None`.
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._take: Callable[[], Any] = getattr(subscription, "take", _nothing)
        """The next one, if it is here and nothing else is to be done for it; else None."""

    @property
    def dropped(self) -> int:
        """How many were lost so far because this program was slow."""
        return self._subscription.dropped

    def receive(self, *, timeout: float | None = None) -> Any:
        """The next one; WaitTimeoutError when none came within `timeout` seconds."""
        element = self._take()
        if element is not None:
            return element
        element = self._subscription.receive(timeout=patience(timeout))
        if element is None:
            raise WaitTimeoutError(f"Nothing came within {timeout:g} s.")
        return element

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        element = self._take()
        if element is not None:
            return element
        element = self._subscription.receive(timeout=None)
        return self.receive() if element is None else element

    def close(self) -> None:
        """End it."""
        self._subscription.close()

    def __enter__(self) -> Messages:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Follower:
    """Runs a function for each note of a topic, on a thread of its own, also after the other end came back."""

    def __init__(self, words: Words, pattern: str, function: Callable[[Note], object]) -> None:
        self._words = words
        self._pattern = pattern
        self._function = function
        self._messages = words.subscribe(pattern)
        self._closed = threading.Event()
        threading.Thread(target=self._run, name=f"tincans-on-{pattern}", daemon=True).start()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                note = self._messages.receive()
            except TincansError as error:
                if not error.temporary:
                    return
                log().warning("The subscription to %s was cut and is made again: %s", self._pattern, error)
                self._closed.wait(0.05)
                continue
            try:
                self._function(note)
            except Exception:
                log().exception("The function for the topic %s raised.", self._pattern)

    def close(self) -> None:
        """No more of it."""
        self._closed.set()
        self._messages.close()
