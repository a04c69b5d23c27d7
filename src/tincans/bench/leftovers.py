"""What a library leaves in shared memory when its programs have ended, taken away with the run.

Rules of this file
- Only files that were not there when the run began, that fit a pattern their contestant names, and that no program has
  mapped any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

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
