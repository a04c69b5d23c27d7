"""The verbs other than call, over one board. A Peer and a Server hand their users to this.

Rules of this file
- A verb that the method has not is refused here, with the reason from its facts.
- The board is made when it is first needed, and closed here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from tincans.contracts import Answers, Board, Note, Policy, Topics
from tincans.errors import UnsupportedError
from tincans.facts import Facts, No, Verb, refused
from tincans.verbs.lock import Lock
from tincans.verbs.messages import Follower, Messages
from tincans.verbs.queue import Queue
from tincans.verbs.state import Flag, State

SUBSCRIPTION_LIMIT = 10_000


class Refusals:
    """What the method at `url` has not, refused with the reason from its facts; for both faces."""

    def __init__(self, facts: Facts, url: str) -> None:
        self._facts = facts
        self._url = url

    def need(self, verb: Verb) -> None:
        """UnsupportedError, with the reason, where the method refuses a verb."""
        verdict = self._facts.verdict(verb)
        if isinstance(verdict, No):
            raise refused(verdict, verb, self._url)

    def need_one_memory(self) -> None:
        """UnsupportedError where an array cannot be the same memory in both programs."""
        if not self._facts.one_memory:
            raise UnsupportedError(
                f"{self._url} cannot share memory for writing: what it moves is copied. Use a bare name, shm or unix.",
                url=self._url,
                operation="share",
            )


class Words(Refusals):
    """The verbs other than call, over one board. A Peer and a Server hand their users to this."""

    def __init__(self, board: Callable[[], Board], facts: Facts, url: str, timeout: float | None) -> None:
        super().__init__(facts, url)
        self._board_maker = board
        self._made: Board | None = None
        self._timeout = timeout
        self._followers: list[Follower] = []
        self._publish: Callable[..., None] | None = None

    def open(self) -> None:
        """Make the board now instead of when it is first needed."""
        _ = self._board

    @property
    def _board(self) -> Board:
        if self._made is None:
            self._made = self._board_maker()
        return self._made

    def close(self) -> None:
        """Close the method's own board, if one was used."""
        if self._made is not None:
            self._made.close()

    def topics(self) -> Topics:
        self.need("publish")
        assert self._board.topics is not None
        return self._board.topics

    def publish(self, topic: str, value: Any) -> None:
        publish = self._publish
        if publish is None:
            publish = self._publish = self.topics().publish
        publish(topic, value, timeout=self._timeout)

    def subscribe(self, pattern: str, *, limit: int = SUBSCRIPTION_LIMIT, on_full: Policy = "drop_oldest") -> Messages:
        return Messages(self.topics().subscribe(pattern, limit=limit, policy=on_full, timeout=self._timeout))

    def queue(self, name: str, **options: Any) -> Queue:
        self.need("queue")
        assert self._board.queues is not None
        return Queue(self._board.queues, name, timeout=self._timeout, **options)

    @cached_property
    def state(self) -> State:
        self.need("state")
        assert self._board.values is not None
        return State(self._board.values, self._timeout)

    def flag(self, name: str) -> Flag:
        self.need("flag")
        assert self._board.values is not None
        return Flag(self._board.values, name, self._timeout)

    def lock(self, name: str, *, timeout: float | None = None) -> Lock:
        self.need("lock")
        assert self._board.locks is not None
        return Lock(self._board.locks, name, timeout)

    def follow(self, pattern: str, function: Callable[[Note], object]) -> None:
        self._followers.append(Follower(self, pattern, function))

    def end_followers(self) -> None:
        """No more of them; before the string is closed, so that they hear no error."""
        for follower in self._followers:
            follower.close()

    def answers(self) -> Answers:
        """The calls left for later; UnsupportedError where the method keeps none."""
        self.need("call")
        found = self._board.answers
        if found is None:
            raise no_answers(self._url)
        return found


def no_answers(url: str) -> UnsupportedError:
    """The method keeps no calls for later."""
    text = f"{url} keeps no calls for later: both programs must run at the same time. A method that keeps them: sqlite."
    return UnsupportedError(text, url=url, operation="leave a call")
