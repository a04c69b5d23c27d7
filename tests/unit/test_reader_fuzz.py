"""A little of tests/fuzz/web.py, files.py and handshake.py on every run; `make fuzz` does a lot."""

from __future__ import annotations

import random

import pytest
from fuzz import files, handshake, web

SEED = random.SystemRandom().randrange(1 << 32)


@pytest.mark.parametrize("name", web.READERS)
def test_a_mutated_text_is_read_or_refused(name: str) -> None:
    assert 0 < web.fuzz(name, 3_000, SEED) < 3_000


@pytest.mark.parametrize("name", files.READERS)
def test_a_damaged_file_is_read_or_refused(name: str) -> None:
    files.fuzz(name, 300, SEED)


def test_lies_let_nobody_in() -> None:
    assert handshake.fuzz(2_000, SEED) >= 2_000
