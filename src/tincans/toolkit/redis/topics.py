"""Topics of a Redis: its own channels. A subscription is a line of its own, read by whoever receives.

Rules of this file
- Our pattern becomes Redis's, which matches more; what does not fit exactly is left out here.
- Nothing is received before somebody asks, then everything that is there; what is over the limit is dropped, counted.
- A line that was cut is told once; the next `receive` makes a new one, and marks the gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from tincans.contracts import Buffer, Note, Parts, Policy, Wire
from tincans.core.hub import arguments
from tincans.core.hub.topics import matcher, one_topic
from tincans.errors import ClosedError, DisconnectedError, FullError, TincansError, UnreachableError
from tincans.toolkit.deadline import deadline_of, left_of
from tincans.toolkit.redis.client import FIRST_PAUSE, GRACE, LAST_PAUSE, RedisClient
from tincans.toolkit.redis.line import Line, Place, dial
from tincans.toolkit.redis.mail import LARGEST
from tincans.toolkit.redis.resp import Replies

OURS = ("tincans@", "tincans:")
"""How our own channels and keys begin, among the plain names of other programs."""

_AT_ONCE = 100_000
_SPECIAL = frozenset("*?[]\\^-")


class News:
    """The framing of a line that listens: what Redis pushes."""

    name = "frames"

    def encode(self, parts: Parts) -> list[Buffer]:
        return list(parts)

    def decoder(self, max_message: int) -> Replies:
        return Replies(max_message)


class Listening:
    """One line that listens to a channel or pattern, made again when it was cut. One thread receives, anyone closes."""

    def __init__(self, place: Place, channel: str, *, patterns: bool, timeout: float | None) -> None:
        self._place, self._channel, self._patterns = place, channel, patterns
        self._closed = False
        self._line: Line | None = None
        self.open(timeout=timeout)

    def open(self, *, timeout: float | None) -> bool:
        """Listen from now on, waiting for a Redis that is away. Whether it had to begin anew."""
        deadline = monotonic() + (GRACE if timeout is None else min(max(timeout, 0.05), GRACE))
        pause = FIRST_PAUSE
        while self._line is None:
            self._check_open()
            try:
                self._line = dial(
                    self._place,
                    News(),
                    presence=self._channel,
                    patterns=self._patterns,
                    max_message=LARGEST,
                    timeout=max(0.05, deadline - monotonic()),
                )
            except UnreachableError:
                if monotonic() + pause >= deadline:
                    raise
                sleep(pause)
                pause = min(2 * pause, LAST_PAUSE)
                continue
            if self._closed:
                self._line.close()
            return True
        return False

    def receive(self, *, timeout: float | None) -> tuple[str, bytes] | None:
        """The next (channel, payload), None at the timeout. DisconnectedError once when it was cut."""
        self._check_open()
        line = self._line
        if line is None:
            raise DisconnectedError("The subscription was cut; receive again to subscribe again.", url=self._place.url)
        deadline = deadline_of(timeout)
        while True:
            left = left_of(deadline)
            try:
                pushed: list[Any] | None = line.receive(timeout=left)
            except ClosedError:
                raise
            except TincansError as error:
                line.close()
                self._line = None
                self._check_open()
                raise DisconnectedError(
                    f"The subscription was cut: {error} Receive again to subscribe again.", url=self._place.url
                ) from error
            if pushed is None:
                return None
            if pushed[0] in (b"message", b"pmessage"):
                return bytes(pushed[-2]).decode(errors="replace"), pushed[-1]

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("This subscription was closed.", url=self._place.url)

    def close(self) -> None:
        """No more of it; wakes who waits. May be called twice."""
        self._closed = True
        if self._line is not None:
            self._line.close()


class RedisSubscription:
    """contracts.Subscription to a topic or pattern."""

    def __init__(
        self, listening: Listening, topic_in: Callable[[str], str | None], wire: Wire, limit: int, policy: Policy
    ) -> None:
        self.dropped = 0
        self._listening = listening
        self._topic_in = topic_in
        self._wire = wire
        self._limit, self._policy = limit, policy
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._missed: int | None = 0
        self._cut: DisconnectedError | None = None
        self._full = False
        self._closed = False

    def receive(self, *, timeout: float | None) -> Note | None:
        """See contracts.Subscription."""
        if self._closed:
            raise ClosedError("This subscription was closed.")
        deadline = deadline_of(timeout)
        while not self._waiting:
            self._raise_what_happened()
            if self._listening.open(timeout=timeout):
                self._missed = None
            left = left_of(deadline)
            if not self._take_in(left) and deadline is not None and monotonic() >= deadline:
                return None
        topic, payload = self._waiting.popleft()
        missed, self._missed = self._missed, 0
        return Note(topic, self._wire.unpack(payload), missed)

    def _raise_what_happened(self) -> None:
        """What ended the stream, once everything that came before has been handed out."""
        cut, self._cut = self._cut, None
        if cut is not None:
            raise cut
        if self._full:
            self._full = False
            self._missed = None
            raise FullError(f"More than {self._limit} messages waited for this subscriber, so it lost some.")

    def _take_in(self, timeout: float | None) -> bool:
        """Wait for one, and take in all that is there. False when none came in time."""
        pushed = self._listening.receive(timeout=timeout)
        if pushed is None:
            return False
        for _ in range(_AT_ONCE):
            self._admit(*pushed)
            try:
                pushed = self._listening.receive(timeout=0)
            except DisconnectedError as error:
                self._cut = error
                break
            if pushed is None:
                break
        return True

    def _admit(self, channel: str, payload: bytes) -> None:
        topic = self._topic_in(channel)
        if topic is None or self._full:
            return
        if len(self._waiting) >= self._limit:
            if self._policy == "refuse":
                self._full = True
                return
            if self._policy == "drop_oldest":
                self._waiting.popleft()
                self.dropped += 1
                self._missed = None if self._missed is None else self._missed + 1
        self._waiting.append((topic, payload))

    def close(self) -> None:
        """See contracts.Subscription."""
        self._closed = True
        self._listening.close()


class RedisTopics:
    """contracts.Topics by Redis's channels; with the place's name "" by their plain names."""

    def __init__(self, client: RedisClient, wire: Wire) -> None:
        self._client, self._place, self._wire = client, client.place, wire
        self._prefix = client.place.channel("topic", "") if client.place.name else ""

    def publish(self, topic: str, value: Any, *, timeout: float | None) -> None:
        """See contracts.Topics."""
        one_topic(topic)
        self._client.ask("PUBLISH", self._prefix + topic, self._wire.pack(value), timeout=timeout)

    def subscribe(self, pattern: str, *, limit: int, policy: Policy, timeout: float | None) -> RedisSubscription:
        """See contracts.Topics."""
        fits = matcher(pattern)
        limit, policy = arguments.count("limit", limit, least=1), arguments.policy(policy)
        channel = self._prefix + pattern if fits is None else _escaped(self._prefix) + _loosely(pattern)
        listening = Listening(self._place, channel, patterns=fits is not None, timeout=timeout)

        def topic_in(channel: str) -> str | None:
            topic = channel[len(self._prefix) :]
            hidden = not self._prefix and topic.startswith(OURS)
            return None if hidden or (fits is not None and not fits(topic)) else topic

        return RedisSubscription(listening, topic_in, self._wire, limit, policy)


def _loosely(pattern: str) -> str:
    """Redis's pattern that matches all that ours does, and more.

    >>> _loosely("news.*.a[1].>")
    'news.*.a\\\\[1\\\\].*'
    """
    words = pattern.split(".")
    return ".".join("*" if word in ("*", ">") else _escaped(word) for word in words)


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in text)
