"""Topics: news for whoever listens now. Nothing is kept.

Rules of this file
- A topic is words between dots. In a pattern `*` stands for exactly one word, and a final `>` for one or more.
- A pattern without either is found by one look-up; the others are matched once per topic, and the finding is kept
  until the subscriptions change.
- Holding back for slow subscribers is not done here: `limit` and `policy` go with `Opened` to the stream's owner.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from tincans.core.hub import arguments
from tincans.core.hub.claims import Claim, Claims, Home
from tincans.core.hub.outcomes import Done, News, Opened, Outcome
from tincans.errors import ArgumentError

_MOST_FOUND = 65536  # remembered subscribers of topics; without a bound, a publisher of endless topics uses up memory

Match = Callable[[str], object]


@dataclass(slots=True, eq=False)
class Subscribed:
    """One running subscription."""

    home: Home
    owner: Hashable
    ticket: Hashable
    pattern: str


@dataclass(slots=True, eq=False)
class Listeners:
    """The subscriptions with one pattern that has wildcards."""

    matches: Match
    tickets: dict[Hashable, None]


def matcher(pattern: str) -> Match | None:
    """A function that says whether a topic fits; None for a pattern that only fits itself.

    >>> fits = matcher("sensors.*.>")
    >>> bool(fits("sensors.hall.temperature.inside")), bool(fits("sensors.hall"))
    (True, False)
    """
    words = arguments.name("topic", pattern).split(".")
    parts: list[str] = []
    for place, word in enumerate(words):
        if word == ">" and place == len(words) - 1:
            parts.append(r".+")
        elif word == "*":
            parts.append(r"[^.]+")
        elif word and "*" not in word and ">" not in word:
            parts.append(re.escape(word))
        else:
            raise ArgumentError(
                f"{pattern!r} is no pattern for topics: it is words between dots, '*' may stand for one whole word, "
                "'>' only at the end for all the rest."
            )
    if "*" not in words and words[-1] != ">":
        return None
    return re.compile(r"\.".join(parts), re.DOTALL).fullmatch


def one_topic(topic: str) -> str:
    """The topic, for publishing. ArgumentError for a pattern."""
    if matcher(topic) is not None:
        raise ArgumentError(f"{topic!r} is a pattern: publish to one topic, without '*' and '>'.")
    return topic


class Topics:
    """The subscriptions of one hub."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._exact: dict[str, dict[Hashable, None]] = {}
        self._patterns: dict[str, Listeners] = {}
        self._found: dict[str, list[Hashable]] = {}
        self._found_size = 0

    def publish(
        self, owner: Hashable, ticket: Hashable, now: float, out: list[Outcome], topic: str, value: Any
    ) -> None:
        """$publish(topic, value) -> how many subscriptions it went to."""
        listeners = self.listeners(topic)
        out.extend([News(listener, topic, value) for listener in listeners])
        out.append(Done(ticket, len(listeners)))

    def lone_listener(self, topic: str) -> Any:
        """The ticket of the only one who listens to a topic, if that is known already, or None. For any thread."""
        found = self._found.get(topic) if type(topic) is str else None
        return found[0] if found is not None and len(found) == 1 else None

    def listeners(self, topic: str) -> list[Hashable]:
        """The tickets of those who listen to a topic. ArgumentError for a pattern."""
        found = self._found.get(topic) if isinstance(topic, str) else None
        return found if found is not None else self._find(topic)

    def subscribe(
        self,
        owner: Hashable,
        ticket: Hashable,
        now: float,
        out: list[Outcome],
        pattern: str,
        limit: int = 1000,
        policy: str = "drop_oldest",
    ) -> None:
        """$subscribe(pattern, limit=1000, policy="drop_oldest") -> a stream of news."""
        matches = matcher(pattern)
        opened = Opened(ticket, arguments.count("limit", limit, least=1), arguments.policy(policy))
        self._claims.check_room(owner)
        self._claims.add(Subscribed(self, owner, ticket, pattern))
        if matches is None:
            self._exact.setdefault(pattern, {})[ticket] = None
            self._found.pop(pattern, None)
        else:
            self._patterns.setdefault(pattern, Listeners(matches, {})).tickets[ticket] = None
            self._forget_found()
        out.append(opened)

    def withdraw(self, claim: Claim, *, seen: bool) -> None:
        """End a subscription."""
        assert isinstance(claim, Subscribed)
        self._claims.remove(claim)
        listeners = self._patterns.get(claim.pattern)
        tickets = self._exact[claim.pattern] if listeners is None else listeners.tickets
        del tickets[claim.ticket]
        if listeners is None:
            self._found.pop(claim.pattern, None)
        else:
            self._forget_found()
        if not tickets:
            self._exact.pop(claim.pattern, None)
            self._patterns.pop(claim.pattern, None)

    def _find(self, topic: str) -> list[Hashable]:
        one_topic(topic)
        found = list(self._exact.get(topic, ()))
        for listeners in self._patterns.values():
            if listeners.matches(topic):
                found += listeners.tickets
        self._found_size += 1 + len(found)
        if self._found_size > _MOST_FOUND:
            self._forget_found()
            self._found_size = 1 + len(found)
        self._found[topic] = found
        return found

    def _forget_found(self) -> None:
        self._found.clear()
        self._found_size = 0
