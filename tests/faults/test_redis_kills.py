"""A few kills of Redis on every run, with a new seed each time; `make faults` does more."""

from __future__ import annotations

import random

from faults.redis_kills import RESUMES, fight
from servers.needed import needed
from servers.redis import redis_server

KILLS = 3


def test_redis_killed_under_load_loses_nothing_that_was_acknowledged_and_calls_go_on() -> None:
    with needed(redis_server):
        pass  # one is installed
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    books, slowest = fight(KILLS, seed)
    assert books.lost == set()
    assert books.put
    assert slowest < RESUMES
