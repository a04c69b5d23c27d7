"""What Alice of the benchmark exposes: `tincans serve tincans.bench.service --on URL` makes a server to measure.

Rules of this file
- Annotated like a user's own functions, so that every argument is checked.
"""

from __future__ import annotations

import os
from typing import Any


def add(a: int, b: int) -> int:
    """The sum; what everybody calls."""
    return a + b


def size(data: Any) -> int:
    """How many bytes arrived; the last one is touched."""
    view = memoryview(data)
    if view.nbytes:
        view.cast("B")[-1]
    return view.nbytes


def pid() -> int:
    """Which program this is."""
    return os.getpid()
