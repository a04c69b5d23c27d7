"""Which board the serving program's own words use, when its methods have boards of their own.

Rules of this file
- What is published reaches everybody, whatever method they came by. Everything else lives in one place: with the first
  of the URLs that has it, be that the method's own board or the hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from tincans.contracts import Board, Policy, Subscription, Topics
from tincans.facts import HUB, VERBS, Facts, Yes
from tincans.finder import Method

PARTS = {"publish": "topics", "queue": "queues", "state": "values", "flag": "values", "lock": "locks"}
"""The part of a board that a verb uses."""

BOARD_TIMEOUT = 5.0


def server_facts(methods: Sequence[Method]) -> Facts:
    """The verdicts for the serving program itself: what any of its methods has, it has; and what its hub has, when
    anybody can call it."""
    if not methods:
        return Facts("the serving program's own hub")
    found = {verb: _first(methods, verb).facts.verdict(verb) for verb in VERBS}
    if any(method.calls for method in methods):
        found = {verb: verdict if isinstance(verdict, Yes) else HUB for verb, verdict in found.items()}
    return replace(methods[0].facts, **found)


def _first(methods: Sequence[Method], verb: Any) -> Method:
    """The first method that has the verb; the first of all when none has."""
    return next((each for each in methods if isinstance(each.facts.verdict(verb), Yes)), methods[0])


def own_board(methods: Sequence[Method]) -> Board | None:
    """What the methods have of their own and the server shall use; None when the hub has it all. Blocks."""
    boards: dict[int, Board] = {}

    def board_of(method: Method) -> Board:
        number = methods.index(method)
        if number not in boards and method.transport is not None:
            made = method.transport.board(method.address, wire=method.wire, timeout=BOARD_TIMEOUT)
            boards[number] = made or Board()
        return boards.get(number) or Board()

    def native(method: Method, verb: Any) -> bool:
        verdict = method.facts.verdict(verb)
        return isinstance(verdict, Yes) and verdict.by == "native"

    parts: dict[str, Any] = {}
    for verb in ("queue", "state", "flag", "lock"):
        first = _first(methods, verb)
        if native(first, verb) and PARTS[verb] not in parts:
            parts[PARTS[verb]] = getattr(board_of(first), PARTS[verb])
    topics = [found for each in methods if native(each, "publish") and (found := board_of(each).topics) is not None]
    if topics:
        parts["topics"] = topics[0] if len(topics) == 1 else EveryTopic(topics)
    if not boards:
        return None

    def close() -> None:
        for board in boards.values():
            board.close()

    return Board(**parts, close=close)


def speaks_hub(methods: Sequence[Method]) -> bool:
    """Whether somebody may listen at the hub."""
    return any(isinstance(v := each.facts.publish, Yes) and v.by == "hub" for each in methods)


def hub_is_first(methods: Sequence[Method]) -> bool:
    """Whether subscriptions live at the hub."""
    verdict = _first(methods, "publish").facts.publish
    return isinstance(verdict, Yes) and verdict.by == "hub"


class EveryTopic:
    """contracts.Topics: news goes to each, subscriptions live at the first."""

    def __init__(self, topics: Sequence[Topics]) -> None:
        self._topics = topics

    def publish(self, topic: str, value: Any, *, timeout: float | None) -> None:
        for each in self._topics:
            each.publish(topic, value, timeout=timeout)

    def subscribe(self, pattern: str, *, limit: int, policy: Policy, timeout: float | None) -> Subscription:
        return self._topics[0].subscribe(pattern, limit=limit, policy=policy, timeout=timeout)


def completed(hub: Board, own: Board | None, methods: Sequence[Method]) -> Board:
    """The whole board: what the methods have, and the hub for the rest."""
    if own is None:
        return hub
    topics = own.topics
    if topics is not None and hub.topics is not None and speaks_hub(methods):
        topics = EveryTopic([hub.topics, topics] if hub_is_first(methods) else [topics, hub.topics])
    return Board(
        topics=topics or hub.topics,
        queues=own.queues or hub.queues,
        values=own.values or hub.values,
        locks=own.locks or hub.locks,
        close=own.close,
    )
