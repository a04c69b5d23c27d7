"""What calls leave behind in this program's memory."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable


def blocks_left_by(calls: Callable[[int], object]) -> int:
    """Blocks of memory that `calls(300)` leaves, after `calls(50)` has filled what is kept on purpose."""
    calls(50)
    gc.collect()
    before = sys.getallocatedblocks()
    calls(300)
    gc.collect()
    return sys.getallocatedblocks() - before
