"""The stage of the tests with two programs: one for each test, ended with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from two_programs.programs import Stage


@pytest.fixture
def stage(method: str, face: str) -> Iterator[Stage]:
    """The programs of this test; `method` and `face` are what it is parametrized over."""
    made = Stage(method, face)
    yield made
    made.close()
