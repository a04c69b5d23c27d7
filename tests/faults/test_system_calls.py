"""A writer of an sqlite file killed at some of its system calls on every run; `make faults` takes each of them."""

from __future__ import annotations

import os
import shutil

import pytest
from faults.system_calls import MISSING, sweep

STEP = 40


@pytest.mark.skipif(shutil.which("strace") is None and not os.environ.get("CI"), reason=MISSING)
def test_a_kill_at_any_system_call_leaves_a_whole_file_and_loses_nothing_that_was_promised() -> None:
    assert sweep(STEP) >= 10
