"""The words of the seven verbs, the same on both ends: queues and jobs, state, flags, locks, subscriptions.

Rules of this room
- Faces only: each word is a line or two over a board (contracts/board.py), whatever keeps the board.
- Every wait takes `timeout` in seconds; None waits as long as the other end lives.
- A lock or a job is given back when its `with` block ends, also by an exception.
"""

from tincans.contracts import Change, Note
from tincans.verbs.lock import Lock
from tincans.verbs.messages import Follower, Messages
from tincans.verbs.queue import LEASE, MAX_DELIVERIES, Job, Queue
from tincans.verbs.state import FLAG_PREFIX, Flag, State
from tincans.verbs.words import SUBSCRIPTION_LIMIT, Refusals, Words, no_answers

__all__ = [
    "FLAG_PREFIX",
    "LEASE",
    "MAX_DELIVERIES",
    "SUBSCRIPTION_LIMIT",
    "Change",
    "Flag",
    "Follower",
    "Job",
    "Lock",
    "Messages",
    "Note",
    "Queue",
    "Refusals",
    "State",
    "Words",
    "no_answers",
]
