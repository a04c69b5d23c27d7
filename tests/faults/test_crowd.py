"""A crowd on each method for a few seconds; `make faults` lets it loose for longer."""

from __future__ import annotations

import pytest
from faults.crowd import METHODS, crowd

SECONDS = 2.0


@pytest.mark.parametrize("method", METHODS)
def test_in_a_crowd_nobodys_answer_is_lost(method: str) -> None:
    one = crowd(method, SECONDS)
    assert not one.failures
    assert one.done
