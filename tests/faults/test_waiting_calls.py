"""A few kills of an Alice who is called over a file, on every run; `make faults` does 200."""

from __future__ import annotations

from faults.waiting_calls import fight

KILLS = 5


def test_no_call_is_run_twice_and_none_that_was_answered_was_not_run() -> None:
    assert fight(KILLS).answered
