"""One round of large payloads: as an argument, and published.

Rules of this file
- From one size to the next the time is foreseen from the bytes; what would take too long is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from tincans.bench.boards import tuned_in
from tincans.bench.plan import GIB, MIB, Plan
from tincans.bench.programs import Failure, Partly, Program
from tincans.bench.stage import Stage

SHARED = "shared"
SILENCES = 5
"""A large array takes longer than a subscriber's patience to be made."""


def deliver(stage: Stage, plan: Plan) -> Mapping[str, dict[str, float]]:
    """See measures.py. A variant is a number of bytes, with the word "shared" for memory that is shareable already."""
    figures: dict[str, dict[str, float]] = {}
    before, taken = 1, 0.0
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
            for kind in ("plain", SHARED):
                _published(stage, subscribers, plan.big, kind)  # takes memory that was never used
                figures[f"{kind} {count}"] = _published(stage, subscribers, plan.big, kind)
    return figures


def _published(stage: Stage, subscribers: list[Program], size: int, kind: str) -> dict[str, float]:
    first, stage.next_number = stage.next_number, stage.next_number + 1
    for bob in subscribers:
        bob.tell("hear", first=first, count=1, silences=SILENCES)
    told = stage.alice.ask("publish_array", first=first, size=size, shared=kind == SHARED)
    heard = [bob.answer() for bob in subscribers]
    if not all(each["heard"] for each in heard):
        raise Failure("a subscriber did not get the array")
    return {
        "value": (told["ended"] - told["began"]) / 1000,
        "heard": (max(each["ended"] for each in heard) - told["began"]) / 1000,
    }
