"""One round of publishing and of queues: several programs at once.

Rules of this file
- How much is published or put follows from a short burst before, so that slow and fast ones take the same time.
- Times are stamps of one clock, taken in the programs themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from tincans.bench.plan import MESSAGE, Plan
from tincans.bench.programs import Failure, Program
from tincans.bench.stage import Stage

BURST, MOST = 300, 200_000
TUNING = 10
"""How often a first message is sent until all subscribers hear: some libraries connect in the background."""


def publish_to_one(stage: Stage, plan: Plan) -> Mapping[str, dict[str, float]]:
    """See measures.py."""
    return {"": _publish(stage, plan, 1)}


def publish_to_four(stage: Stage, plan: Plan) -> Mapping[str, dict[str, float]]:
    """See measures.py."""
    return {"": _publish(stage, plan, 4)}


def _publish(stage: Stage, plan: Plan, count: int) -> dict[str, float]:
    with tuned_in(stage, count) as subscribers:
        rate, _ = _burst(stage, subscribers, BURST)
        rate, lost = _burst(stage, subscribers, _as_many(rate, plan))
        return {"value": rate, "lost": lost}


def _as_many(rate: float, plan: Plan) -> int:
    return max(BURST, min(MOST, int(rate * plan.seconds)))


@contextlib.contextmanager
def tuned_in(stage: Stage, count: int) -> Iterator[list[Program]]:
    """So many clients that have subscribed, and hear what is published. The first client is none of them: what it is
    measured with must not change because it once listened."""
    subscribers = stage.bobs(count + 1)[1:]
    for bob in subscribers:
        bob.ask("subscribe")
    for _ in range(TUNING):
        if all(told["heard"] for told in publish(stage, subscribers, 1)[0]):
            break
    else:
        raise Failure("not all subscribers heard what was published")
    yield subscribers
    for bob in subscribers:
        bob.ask("unsubscribe")


def publish(stage: Stage, bobs: list[Program], count: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Publish so many messages: what each subscriber tells, and what the publisher does."""
    first, stage.next_number = stage.next_number, stage.next_number + count
    for bob in bobs:
        bob.tell("hear", first=first, count=count)
    told = stage.publisher.ask("publish", first=first, count=count, size=MESSAGE)
    return [bob.answer() for bob in bobs], told


def _burst(stage: Stage, bobs: list[Program], count: int) -> tuple[float, float]:
    """Messages per second, and the part of them that was lost."""
    heard, told = publish(stage, bobs, count)
    seconds = (max(each["ended"] for each in heard) - told["began"]) / 1e9
    mean = sum(each["heard"] for each in heard) / len(heard)
    return mean / seconds, 1 - mean / count


def queue(stage: Stage, plan: Plan) -> Mapping[str, dict[str, float]]:
    """See measures.py."""
    rate = _queued(stage, BURST // 3)
    return {"": {"value": _queued(stage, _as_many(rate, plan))}}


def _queued(stage: Stage, count: int) -> float:
    """Items per second."""
    taker, putter = stage.bobs(1)[0], stage.putter
    if putter is taker:  # its own child puts
        began = taker.ask("produce", count=count, size=MESSAGE)["began"]
        ended = taker.ask("consume", count=count)["ended"]
    else:
        taker.tell("consume", count=count)
        began = putter.ask("produce", count=count, size=MESSAGE)["began"]
        ended = taker.answer()["ended"]
    return count * 1e9 / float(ended - began)
