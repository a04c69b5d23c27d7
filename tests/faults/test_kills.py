"""A few of the kills on every run, with a new seed each time; `make faults` does 200 on each method."""

from __future__ import annotations

import random

import pytest
from faults.kills import fight
from two_programs.programs import ALL_METHODS, method_id

KILLS = 8


@pytest.mark.parametrize("method", [*ALL_METHODS, "sqlite:{dir}/alice.db"], ids=method_id)
def test_kills_at_random_moments_lose_nothing_that_was_promised(method: str) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    ledger = fight(method, KILLS, seed)
    assert ledger.steps > 0
