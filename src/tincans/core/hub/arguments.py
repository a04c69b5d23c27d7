"""Checks what a request brought, so that nothing strange gets past the hub's door.

Rules of this file
- A check returns what it was given, or raises ArgumentError that names the argument and shows what is wanted.
- A check runs before anything has changed.
"""

from __future__ import annotations

from typing import Any, cast

from tincans.contracts import Policy
from tincans.errors import ArgumentError

LONGEST_NAME = 512
"""Characters in the name of a topic, queue, key or lock: names are kept in memory, so they are bounded."""
LONGEST_TIME = 366 * 86400.0
"""Seconds that a lease or a delay may last: a year, so that a slip (milliseconds for seconds) is noticed."""

LARGEST_NUMBER = (1 << 63) - 1
"""What any wire and file can carry."""


def name(what: str, text: Any) -> str:
    """A name: a text of 1 to 512 characters."""
    if isinstance(text, str) and 0 < len(text) <= LONGEST_NAME:
        return text
    if not isinstance(text, str):
        raise ArgumentError(f"The name of a {what} is a text, not {type(text).__name__}.")
    if not text:
        raise ArgumentError(f"The name of a {what} must not be empty.")
    raise ArgumentError(f"The name of a {what} has at most {LONGEST_NAME} characters; this one has {len(text)}.")


def seconds(what: str, value: Any, *, zero: bool) -> float:
    """A duration, from just above 0 (or 0, with `zero`) up to a year."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0 < value <= LONGEST_TIME or (zero and value == 0):  # also false for what is not finite
            return value
        least = "0" if zero else "more than 0"
        raise ArgumentError(f"{what} is in seconds, from {least} up to {LONGEST_TIME:.0f}; it was {_shown(value)}.")
    raise ArgumentError(f"{what} is a number of seconds, not {type(value).__name__}.")


def count(what: str, value: Any, *, least: int) -> int:
    """A whole number, from `least` up to what 64 bits hold."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST_NUMBER:
        return value
    raise ArgumentError(f"{what} is a whole number, {least} or more; it was {_shown(value)}.")


def policy(value: Any) -> Policy:
    """What to do when a bounded buffer is full."""
    if isinstance(value, str) and value in ("wait", "drop_oldest", "refuse"):
        return cast(Policy, value)
    raise ArgumentError(f"The policy is 'wait', 'drop_oldest' or 'refuse'; it was {_shown(value)}.")


def _shown(value: Any) -> str:
    """A short form that is safe for values of any size and type (Python refuses to write out very large numbers)."""
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        return "far too large"
    return repr(value)[:40] if isinstance(value, (int, float, str)) else type(value).__name__
