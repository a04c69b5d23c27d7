"""A dead letter: what a job becomes that was delivered too often, the same whoever keeps the queue.

Rules of this file
- It lies in the queue `NAME.dead` as {"queue", "value", "deliveries", "reason"}, and dies no second time.
"""

from __future__ import annotations

from typing import Any

DEAD = ".dead"
"""What the name of a queue of dead letters ends in."""


def is_spent(queue: str, deliveries: int, most: int) -> bool:
    """Whether a job that was delivered so often is to be buried; `most` 0 means without end.

    >>> is_spent("jobs", 3, 3), is_spent("jobs", 3, 0), is_spent("jobs.dead", 3, 3)
    (True, False, False)
    """
    return 0 < most <= deliveries and not queue.endswith(DEAD)


def dead_letter(queue: str, value: Any, deliveries: int, last: str = "") -> dict[str, Any]:
    """The letter; `last` says how its last delivery ended, where that is known.

    >>> dead_letter("jobs", 5, 3, "its lease ended")["reason"]
    'delivered 3 times and never acknowledged; the last time its lease ended'
    """
    reason = f"delivered {deliveries} times and never acknowledged" + (f"; the last time {last}" if last else "")
    return {"queue": queue, "value": value, "deliveries": deliveries, "reason": reason}
