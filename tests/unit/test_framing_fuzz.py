"""A short run of tests/fuzz/framing.py with a new seed each time; `make fuzz` does the long one."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest

PLACE = Path(__file__).parents[1] / "fuzz" / "framing.py"


@pytest.mark.parametrize("name", ["frames", "lines", "mp", "mp of bytes", "content-length"])
def test_mutated_streams_give_messages_or_protocol_errors(name: str) -> None:
    spec = importlib.util.spec_from_file_location("fuzz_framing", PLACE)
    assert spec is not None and spec.loader is not None
    fuzzing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzzing)
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    assert 0 < fuzzing.fuzz(name, 10_000, seed) < 10_000
