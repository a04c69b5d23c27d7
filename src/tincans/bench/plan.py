"""How much is measured: rounds, seconds and sizes of one run.

Rules of this file
- Numbers only. `FULL` is what the papers show; `QUICK` is for a look; `SMOKE` only shows that everything runs.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1024, 1024**2, 1024**3
BIG = 256 * MIB
MESSAGE = 64
"""Bytes of a published message and of an item in a queue."""


@dataclass(frozen=True)
class Plan:
    """One run. Seconds are those of one contestant in one round of one measure."""

    rounds: int
    seconds: float
    few_rounds: int
    """For measures that take long: payloads, crowds, published arrays."""
    sizes: tuple[int, ...]
    big: int
    crowd: int
    crowd_seconds: float
    """Long enough for each of the clients to be served many times: with a hundred calls under way each, and as many
    clients, a lap of all of them takes 20 to 50 ms here."""
    lap: int = 1000
    """Calls under way at most in the pipelined measure."""
    too_slow: float = 1.0
    """Seconds: a payload that would take longer is left out."""


LADDER = (8, 64, KIB, 16 * KIB, 256 * KIB, 4 * MIB, 64 * MIB, BIG)
FULL = Plan(rounds=5, seconds=0.25, few_rounds=3, sizes=LADDER, big=BIG, crowd=64, crowd_seconds=2.0)
QUICK = Plan(
    rounds=2, seconds=0.04, few_rounds=1, sizes=(8, KIB, 256 * KIB, 8 * MIB, BIG), big=BIG, crowd=64, crowd_seconds=1.5
)
SMOKE = Plan(
    rounds=2, seconds=0.01, few_rounds=1, sizes=(8, 2 * MIB), big=2 * MIB, crowd=4, crowd_seconds=0.05, lap=100
)
