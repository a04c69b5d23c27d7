"""Idle clients cost little memory, no thread and no processor time; `make faults` connects 2000."""

from __future__ import annotations

import pytest
from faults.idle import METHOD, cost_of
from two_programs.programs import FACES, Stage

CLIENTS = 400


@pytest.mark.alone
@pytest.mark.parametrize("face", FACES)
def test_an_idle_client_costs_at_most_64_kib_and_no_thread(face: str) -> None:
    stage = Stage(METHOD, face)
    try:
        cost = cost_of(stage, CLIENTS)
    finally:
        stage.close()
    assert cost.memory <= 64 * 1024
    assert cost.threads < 16
    assert cost.processor < 0.1
