"""Sealed segments that are used again: taking fresh pages costs several times what copying into them does.

Rules of this file
- A segment is rewritten only when nobody holds it any more, and the kernel says so: every descriptor that leaves
  is an opening of its own under a shared lock (flock). That lock lives as long as the descriptor, also in flight, or
  any mapping made from it, in whatever program. We get an exclusive one only when all are gone, be it by kill -9.
- Only what has been written before is rewritten, so that no page is ever first taken through a mapping.
- Idle memory is bounded by `limit` bytes, `_MOST_SEGMENTS`, and `_IDLE` seconds (seen at the next use).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from collections import deque
from time import monotonic
from typing import Final

from tincans.contracts import Buffer
from tincans.toolkit import sealed_memory
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.sealed_memory import SEAL_FUTURE_WRITE, SEAL_GROW, SEAL_SEAL, SEAL_SHRINK

_OURS_ONLY: Final = SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_FUTURE_WRITE
_MOST_SEGMENTS = 64
_LOOK_AT = 16  # segments tried for one request; each costs a system call
_IDLE = 60.0


class Segment:
    """Sealed memory that only the mapping made here can write to."""

    def __init__(self, data: Buffer) -> None:
        size = len(data)
        descriptor = sealed_memory.make()
        try:
            sealed_memory.fill(descriptor, data)
            self._memory = mmap.mmap(descriptor, size, **sealed_memory.UNTRACKED)
            sealed_memory.seal(descriptor, _OURS_ONLY)
        except BaseException:
            os.close(descriptor)
            raise
        self.size = size
        self.used = monotonic()
        self._descriptor = descriptor

    def free(self) -> bool:
        """Whether no descriptor and no mapping of it is left anywhere but here."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return True

    def rewrite(self, data: Buffer) -> None:
        """Put other data into it; only when it is `free`."""
        from tincans.toolkit.raw_buffer import copy

        copy(self._memory, data)

    def lend(self) -> int:
        """A new descriptor for somebody else to read from; the segment is not free until that is gone."""
        descriptor = os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def close(self) -> None:
        """Let go of it here; who holds it keeps it."""
        self._memory.close()
        os.close(self._descriptor)


class Pool:
    """Segments of this program, in use and idle. All methods may be called by any thread."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._segments: deque[Segment] = deque()
        self._lock = threading.Lock()
        abandon_in_child(self)

    def lend(self, data: Buffer) -> int:
        """A descriptor of sealed memory that begins with a copy of `data` (flat bytes); the caller closes it.

        FullError when there is no memory or descriptor to be had.
        """
        size = len(data)
        if not 0 < size <= self.limit:
            return sealed_memory.frozen_copy(data)
        segment = self._take(size)
        try:
            if segment is None:
                segment = Segment(data)
            else:
                segment.rewrite(data)
            descriptor = segment.lend()
        except OSError:  # no /proc, a Linux before 5.1, no descriptor left: then without ever using it again
            if segment is not None:
                segment.close()
            return sealed_memory.frozen_copy(data)
        self._put_back(segment)
        return descriptor

    def _take(self, size: int) -> Segment | None:
        """A free segment that fits, out of the pool; the one that was lent longest ago is asked first."""
        with self._lock:
            looked = 0
            for segment in self._segments:
                if size <= segment.size <= 2 * size:
                    looked += 1
                    if segment.free():
                        self._segments.remove(segment)
                        return segment
                if looked == _LOOK_AT:
                    break
        return None

    def _put_back(self, segment: Segment) -> None:
        segment.used = monotonic()
        with self._lock:
            self._segments.append(segment)
            self._trim(segment.used - _IDLE)

    def _trim(self, oldest: float) -> None:
        held = sum(segment.size for segment in self._segments)
        while held > self.limit or len(self._segments) > _MOST_SEGMENTS or self._segments[0].used < oldest:
            segment = self._segments.popleft()
            held -= segment.size
            segment.close()

    def clear(self) -> None:
        """Give all idle memory back now."""
        with self._lock:
            while self._segments:
                self._segments.pop().close()

    def abandon(self) -> None:
        """In a forked child: the segments are the parent's, who will rewrite them."""
        self._lock = threading.Lock()
        self.clear()


def _default_limit() -> int:
    """An eighth of the machine's memory, at most 1 GiB."""
    return min(1 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)


POOL: Final = Pool(_default_limit())
"""The one pool of this program: a segment can serve any connection."""
