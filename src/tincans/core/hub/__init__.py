"""The hub: topics, queues, values and locks of the methods that have none, kept inside the serving program.

Rules of this room
- No I/O, no threads, no clock: `now` (seconds, never going back) is passed in, outcomes are handed out.
- One caller at a time: whoever owns a hub guards it with one lock.
- What is bad raises before anything has changed; nothing is dropped without being counted.
- One noun per file: hub (the door), topics, queues (with queue), values, locks; claims, timers and journal serve them.
"""

from tincans.core.hub.hub import Hub, Limits
from tincans.core.hub.journal import (
    JobBuried,
    JobCounted,
    JobDelayed,
    JobPut,
    JobRemoved,
    Kept,
    KeptChange,
    ValueDeleted,
    ValueForgotten,
    ValueSet,
)
from tincans.core.hub.outcomes import Done, Failed, News, Opened, Outcome

__all__ = [
    "Done",
    "Failed",
    "Hub",
    "JobBuried",
    "JobCounted",
    "JobDelayed",
    "JobPut",
    "JobRemoved",
    "Kept",
    "KeptChange",
    "Limits",
    "News",
    "Opened",
    "Outcome",
    "ValueDeleted",
    "ValueForgotten",
    "ValueSet",
]
