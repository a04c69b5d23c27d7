"""Message queues of dead programs that no runtime directory knows of any more: it was removed before they were.

Rules of this file
- They are looked for only when the kernel makes no more queues for this user, and only where the kernel lists them
  (mq_overview(7): Linux systems mount it at /dev/mqueue).
- Only a queue of ours is removed that is this user's alone, was not used for `OLD` and whose reader, who locks it as
  soon as he has made it, has no lock on it. The kernel keeps these locks whatever directory a program uses.
- `up` of a pair is locked late, by the server; it goes when `down` has nobody or is not there.
"""

from __future__ import annotations

import re
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from tincans.errors import TincansError
from tincans.toolkit.mq import message_queue

LISTED: Final = Path("/dev/mqueue")
OLD = 10.0
"""Seconds: nobody needs that long between making a queue and locking it."""
_OURS = re.compile(r"tincans-[0-9a-f]{12}-.+")
_END = re.compile(r"(.+\.[0-9a-f]{32})\.(?:down|up)")


def sweep_all(place: Path = LISTED, *, unused_for: float = OLD) -> int:
    """Remove every queue of ours that a dead program left, in whatever runtime directory it ran; how many."""
    try:
        names = [path.name for path in place.iterdir() if _OURS.fullmatch(path.name)]
    except OSError:  # not listed on this system
        return 0
    dead = [name for name in names if _is_dead(name, unused_for)]
    for name in dead:
        message_queue.remove("/" + name)
    return len(dead)


def _is_dead(name: str, unused_for: float) -> bool:
    end = _END.fullmatch(name)
    try:
        if time.time() - _used_at(name) < unused_for:
            return False
        return not _is_owned(name if end is None else end[1] + ".down")
    except FileNotFoundError:  # it has gone meanwhile
        return False
    except TincansError:  # somebody else's, or not to be opened now
        return False


def _used_at(name: str) -> float:
    with closing(message_queue.open_queue("/" + name)) as queue:
        return queue.used_at()


def _is_owned(name: str) -> bool:
    try:
        with closing(message_queue.open_queue("/" + name)) as queue:
            return queue.owned()
    except FileNotFoundError:
        return False
