"""Looking at a socket for a moment, then sleeping, in one call.

Rules of this file
- With two processors an answer often comes sooner than a sleeping program can be woken, so a look pays; when it does
  not, it is soon left out (patience.h).
"""

from __future__ import annotations

from collections.abc import Callable

from tincans._speed._ring import Patience, receive_ready


def looker(descriptor: int, size: int, seconds: float) -> Callable[[float], bytes | None]:
    """A function of a timeout in seconds: at most `size` bytes, b"" at the end, None when none came in time."""
    patience = Patience(seconds)
    return lambda timeout: receive_ready(descriptor, size, patience, timeout)
