"""A writer of an sqlite file killed at some of its system calls on every run; `make faults` takes each of them."""

from __future__ import annotations

from faults.system_calls import sweep
from servers.needed import installed

STEP = 40


def test_a_kill_at_any_system_call_leaves_a_whole_file_and_loses_nothing_that_was_promised() -> None:
    installed("strace", "strace")
    assert sweep(STEP) >= 10
