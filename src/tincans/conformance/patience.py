"""Waiting for a condition with a deadline: a test never sleeps and hopes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], *, timeout: float = 10.0) -> T:
    """The first true value of `condition()`; AssertionError when there is none within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s"
        time.sleep(0.002)
    return found
