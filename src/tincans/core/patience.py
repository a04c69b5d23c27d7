"""How long somebody wants to wait, as the clocks, polls and locks below can bear it.

Rules of this file
- What a user gives is looked at once, where it comes in: a slip is told there, not as an OverflowError from a poll.
"""

from __future__ import annotations

from typing import overload

from tincans.errors import ArgumentError

LONGEST_WAIT = 21 * 86_400.0
"""Seconds: a wait that was to be longer (infinite, say) is cut to three weeks; poll(2) counts 2**31 milliseconds."""


@overload
def patience(timeout: float) -> float: ...
@overload
def patience(timeout: float | None) -> float | None: ...
def patience(timeout: float | None) -> float | None:
    """A timeout in seconds, between 0 and LONGEST_WAIT; None stays. ArgumentError for what is no number.

    >>> patience(1.5), patience(-1), patience(float("inf")), patience(None)
    (1.5, 0.0, 1814400.0, None)
    """
    if timeout is None or (type(timeout) is float and 0.0 <= timeout <= LONGEST_WAIT):
        return timeout
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout != timeout:
        raise ArgumentError(f"A timeout is a number of seconds, or None for no bound; it was {timeout!r:.60}.")
    return timeout if 0 <= timeout <= LONGEST_WAIT else min(max(0.0, timeout), LONGEST_WAIT)
