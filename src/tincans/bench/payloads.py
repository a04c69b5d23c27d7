"""One round of large payloads: as an argument, and published.

Rules of this file
- From one size to the next the time is foreseen from the bytes; what would take too long is left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from tincans.bench.boards import tuned_in
from tincans.bench.plan import GIB, KIB, MIB, Plan
from tincans.bench.programs import Failure, Partly, Program
from tincans.bench.stage import Stage

SHARED = "shared"
SETTLING = 0.2
"""Seconds of the first payloads, which do not count: a thread of numpy spins for a while after its import."""
SILENCES = 5
"""A large array takes longer than a subscriber's patience to be made."""
IN_A_ROW = {SHARED: 25, "plain": 1}
"""Times that an array is published without a pause; a plain one waits until all have had the last copy."""
PUBLISHED = {SHARED: 1, "plain": 7}
"""So often."""


def deliver(stage: Stage, plan: Plan) -> Mapping[str, dict[str, float]]:
    """See measures.py. A variant is a number of bytes, with the word "shared" for memory that is shareable already."""
    figures: dict[str, dict[str, float]] = {}
    before, taken = 1, 0.0
    _delivered(stage, KIB, SETTLING)
    for size in plan.sizes:
        if taken * size / before > plan.too_slow * 1e6 and size > MIB:
            break
        try:
            figures[str(size)] = _delivered(stage, size, plan.seconds / 5)
            before, taken = size, figures[str(size)]["min"]
            if "share" in stage.contestant.can and size >= MIB:
                figures[f"{size} {SHARED}"] = _delivered(stage, size, plan.seconds / 5, shared=True)
        except Failure as failure:
            raise Partly(figures, f"at {size:,} bytes: {failure}") from None
    return figures


def _delivered(stage: Stage, size: int, seconds: float, *, shared: bool = False) -> dict[str, float]:
    told = stage.bob.ask("deliver", size=size, seconds=seconds, shared=shared)
    return {"value": told["median"], "min": told["min"], "p99": told["p99"]}


def gibibyte(stage: Stage, plan: Plan) -> Mapping[str, dict[str, float]]:
    """See measures.py."""
    return {"": _delivered(stage, GIB if plan.big >= 256 * MIB else plan.big, 0)}


def publish_array(stage: Stage, plan: Plan) -> Mapping[str, dict[str, float]]:
    """See measures.py. A variant is "plain 1", "shared 4" and so on."""
    figures = {}
    for count in (1, 4):
        with tuned_in(stage, count) as subscribers:
            for kind, times in IN_A_ROW.items():
                _published(stage, subscribers, plan.big, kind, times)  # takes memory that was never used
                each = [_published(stage, subscribers, plan.big, kind, times) for _ in range(PUBLISHED[kind])]
                figures[f"{kind} {count}"] = {name: statistics.median(one[name] for one in each) for name in each[0]}
    return figures


def _published(stage: Stage, subscribers: list[Program], size: int, kind: str, times: int) -> dict[str, float]:
    for bob in subscribers:
        bob.tell("hear", first=0, count=1, silences=SILENCES, messages=times)
    told = stage.alice.ask("publish_array", size=size, shared=kind == SHARED, times=times)
    heard = [bob.answer() for bob in subscribers]
    if not all(each["heard"] == times for each in heard):
        raise Failure("a subscriber did not get the array")
    return {
        "value": told["median"],
        "heard": (max(each["ended"] for each in heard) - told["began"]) / 1000 / times,
    }
