"""What programs leave in shared memory and in the kernel when they have ended, taken away with them.

Rules of this file
- Message queues of killed programs are the kernel's until somebody removes them, and a user may have few.
- Only files that were not there when the run began, that fit a pattern their contestant names, and that no program has
  mapped any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tincans.toolkit.mq import rendezvous as queue_rendezvous

SHARED_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def taken_away(patterns: Iterable[str], *, place: Path = SHARED_MEMORY) -> Iterator[None]:
    """Around a run."""
    wanted = tuple(patterns)
    before = set(matching(wanted, place))
    try:
        yield
    finally:
        for path in matching(wanted, place):
            if path not in before and not in_use(path):
                path.unlink(missing_ok=True)


def without_queues(place: Path) -> None:
    """Remove the message queues of the dead programs whose runtime directory this is."""
    if place.is_dir():
        queue_rendezvous.sweep(place)


def matching(patterns: Iterable[str], place: Path) -> list[Path]:
    """The files that fit one of them."""
    return [path for pattern in patterns for path in place.glob(pattern)] if place.is_dir() else []


def in_use(path: Path) -> bool:
    """Whether a program has it mapped. One that we may not look into counts for nobody."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if str(path) in maps.read_text():
                return True
    return False
