"""What the users of a queue are told when it is full, or when a job is theirs no more, whoever keeps the queue."""

from __future__ import annotations

from tincans.errors import FullError, LeaseLostError, WaitTimeoutError


def queue_full(queue: str, waiting: int) -> FullError:
    """The policy is "refuse", and there is no room."""
    return FullError(f"The queue {queue!r} is full: {waiting} jobs wait. Try again when some are taken.")


def no_room(queue: str, timeout: float | None) -> WaitTimeoutError:
    """The policy is "wait", and there was no room all the time."""
    return WaitTimeoutError(f"The queue {queue!r} had no room within {timeout or 0:g} s; nothing was put. Try again.")


def lease_lost(queue: str, url: str | None = None) -> LeaseLostError:
    """The job of a delivery is not on lease any more."""
    return LeaseLostError(
        f"This job of the queue {queue!r} is not on lease here any more: its lease ended, or it is done. If it is not"
        " done, somebody else has it or will have it; take with a longer lease.",
        url=url,
    )
