"""Deadlines: when a wait that begins now ends, and what is left of it.

Rules of this file
- A timeout is seconds, None for ever; a deadline is a moment of `time.monotonic`, None for never.
- The hot path writes these out: a call more in each call is measurable (pump/calling.py, toolkit/byte_stream.py).
"""

from __future__ import annotations

from time import monotonic

from tincans.core.patience import patience


def deadline_of(timeout: float | None) -> float | None:
    """When a wait that begins now ends.

    >>> deadline_of(None), left_of(None), left_of(deadline_of(0))
    (None, None, 0.0)
    """
    return None if timeout is None else monotonic() + patience(timeout)


def left_of(deadline: float | None, *, least: float = 0.0) -> float | None:
    """Seconds until then, never less than `least`."""
    return None if deadline is None else max(least, deadline - monotonic())
