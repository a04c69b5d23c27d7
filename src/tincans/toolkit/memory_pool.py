"""Sealed segments that are used again: taking fresh pages costs several times what copying into them does.

Rules of this file
- A segment is rewritten only when nobody holds it any more, and the kernel says so: every descriptor that leaves
  is an opening of its own under a shared lock (flock). That lock lives as long as the descriptor, also in flight, or
  any mapping made from it, in whatever program. We get an exclusive one only when all are gone, be it by kill -9.
- All memory that was taken and is not back with the kernel counts against `limit`, whoever holds it. A segment that
  is still held somewhere keeps its place here until it is free.
- Idle memory goes back to the kernel when room is needed, or after `_IDLE` seconds (seen at the next use).
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, Final

from tincans.contracts import Buffer
from tincans.errors import AddressError, FullError
from tincans.toolkit import sealed_memory
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.live_memory import Held
from tincans.toolkit.sealed_memory import OPEN, SEAL_FUTURE_WRITE, SEAL_GROW, SEAL_SEAL, SEAL_SHRINK

_OURS_ONLY: Final = SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_FUTURE_WRITE
_LOOK_AT = 64  # segments tried for one request; each costs two system calls at most
_IDLE = 60.0
_LOOK_AGAIN = 1.0
_FEWEST_SEGMENTS = 64
_SHARE_OF_DESCRIPTORS = 4  # a quarter of what this program may open: each segment costs one here, as long as it lives


class Segment:
    """Sealed memory of `size` bytes, mapped here; `fill` it, then `lend` it. `writable`: also by whom it is lent to."""

    def __init__(self, size: int, *, writable: bool) -> None:
        descriptor = sealed_memory.make()
        try:
            os.ftruncate(descriptor, size)
            self._memory = mmap.mmap(descriptor, size, **sealed_memory.UNTRACKED)
            sealed_memory.seal(descriptor, OPEN if writable else _OURS_ONLY)
        except BaseException:
            os.close(descriptor)
            raise
        self.size = size
        self.writable = writable
        self.used = monotonic()
        self._descriptor = descriptor
        self._fresh = True

    def fill(self, data: Buffer) -> None:
        """Put data at its beginning; only when it is free. FullError when there are no pages for it."""
        from tincans.toolkit import raw_buffer

        if not self._fresh:
            raw_buffer.copy(self._memory, data)
            return
        try:
            raw_buffer.fill_fresh(self._memory, self.size, data)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise sealed_memory.no_room(self.size, error) from error
            os.posix_fallocate(self._descriptor, 0, self.size)  # Linux before 5.14
            raw_buffer.copy(self._memory, data)
        self._fresh = False

    def free(self) -> bool:
        """Whether no descriptor and no mapping of it is left anywhere but here."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return True

    def lend(self) -> int:
        """A new descriptor for somebody else; the segment is not free until that is gone."""
        access = os.O_RDWR if self.writable else os.O_RDONLY
        descriptor = os.open(f"/proc/self/fd/{self._descriptor}", access | os.O_CLOEXEC)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def hold(self) -> Held:
        """The memory itself, for this program to write to."""
        from tincans.toolkit.raw_buffer import address_of

        return Held(self._memory, *address_of(self._memory), self.lend(), writable=self.writable)

    def close(self) -> None:
        """Let go of it here; who holds it keeps it. (Its mapping goes with the last array over it.)"""
        os.close(self._descriptor)
        del self._memory


class Pool:
    """Segments of this program, in use and idle. All methods may be called by any thread.

    `limit` is in bytes and may be changed at any time; what is in use stays.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._segments: dict[Segment, None] = {}  # the one that was lent longest ago first
        self._taken = 0
        self._count = 0
        self._looked = 0.0
        self._lock = threading.Lock()
        abandon_in_child(self)

    def lend(self, data: Buffer) -> int | None:
        """A descriptor of sealed memory that begins with a copy of `data` (flat bytes); the caller closes it.

        FullError when `limit` or the system's memory is reached. None when so many segments are out that descriptors
        grow scarce: then `data` had better go another way.
        """
        try:
            with self._prepared(len(data), writable=False) as segment:
                segment.fill(data)
                return segment.lend()
        except TooManyError:
            return None
        except OSError:  # no /proc, a Linux before 5.1, no descriptor left: then without ever using it again
            return sealed_memory.frozen_copy(data)

    def take(self, size: int, *, writable: bool) -> Held:
        """Memory of at least `size` bytes to write to and pass on. FullError when there is none."""
        try:
            with self._prepared(size, writable=writable) as segment:
                segment.fill(b"")
                return segment.hold()
        except OSError as error:
            raise sealed_memory.no_room(size, error) from error

    @contextmanager
    def _prepared(self, size: int, *, writable: bool) -> Iterator[Segment]:
        """A free segment that nobody else gets meanwhile. It comes back into the pool if all goes well."""
        segment = self._find(size, writable) or self._make(_rounded(size), writable)
        try:
            yield segment
        except BaseException:
            self._drop(segment)
            raise
        segment.used = monotonic()
        with self._lock:
            self._segments[segment] = None

    def _find(self, size: int, writable: bool) -> Segment | None:
        """A free segment that fits, out of the pool; the one that was lent longest ago is asked first."""
        with self._lock:
            self._let_idle_go()
            looked = 0
            for segment in self._segments:
                if segment.writable is writable and size <= segment.size <= 2 * size + _PAGE:
                    if segment.free():
                        del self._segments[segment]
                        return segment
                    looked += 1
                    if looked == _LOOK_AT:
                        break
        return None

    def _make(self, size: int, writable: bool) -> Segment:
        with self._lock:
            self._make_room(size)
            self._taken += size
            self._count += 1
        try:
            return Segment(size, writable=writable)
        except BaseException:
            with self._lock:
                self._taken -= size
                self._count -= 1
            raise

    def _make_room(self, size: int) -> None:
        """Let free segments go until another one of `size` may be made."""
        most = _most_segments()
        for segment in list(self._segments) if size <= self.limit else ():
            if self._taken + size <= self.limit and self._count < most:
                return
            if segment.free():
                self._let_go(segment)
        if self._taken + size > self.limit:
            raise FullError(
                f"Shared memory of {size:,} bytes cannot be had: the pool of this program is bounded to {self.limit:,}"
                f" bytes, and {self._taken:,} are in use by arrays that it or the programs it sent them to still hold."
                " Nothing was sent. Drop arrays there or here, or raise the bound with ?pool= (such as ?pool=4G)."
            )
        if self._count >= most:
            raise TooManyError(
                f"Shared memory of {size:,} bytes cannot be had: {self._count} arrays in shared memory are in use, and"
                " this program may open few files. Drop some, or raise its limit of open files (ulimit -n)."
            )

    def _let_idle_go(self) -> None:
        """Give back what has not been used for long."""
        now = monotonic()
        if now - self._looked < _LOOK_AGAIN:
            return
        self._looked = now
        for segment in [each for each in self._segments if each.used < now - _IDLE]:
            if segment.free():
                self._let_go(segment)

    def _let_go(self, segment: Segment) -> None:
        del self._segments[segment]
        self._taken -= segment.size
        self._count -= 1
        segment.close()

    def _drop(self, segment: Segment) -> None:
        with self._lock:
            self._segments[segment] = None
            self._let_go(segment)

    def in_use(self) -> int:
        """Bytes that somebody holds now, here or elsewhere. Idle memory, which is kept warm, does not count."""
        with self._lock:
            idle = sum(segment.size for segment in self._segments if segment.free())
            return self._taken - idle

    def clear(self) -> None:
        """Give all memory back now that nobody holds; what is held goes back when it is dropped, uncounted."""
        with self._lock:
            for segment in list(self._segments):
                self._let_go(segment)

    def abandon(self) -> None:
        """In a forked child: the segments are the parent's, who will rewrite them."""
        self._lock = threading.Lock()
        self.clear()
        self._taken = self._count = 0


class TooManyError(FullError):
    """More segments are in use than there are descriptors to spare."""


_PAGE: Final = mmap.PAGESIZE
_STEP: Final = 1 << 20


def _rounded(size: int) -> int:
    """To whole pages; large segments to whole MiB, so that one serves arrays of about the same size."""
    step = _STEP if size > 8 * _STEP else _PAGE
    return -(-size // step) * step


def _most_segments() -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(_FEWEST_SEGMENTS, soft // _SHARE_OF_DESCRIPTORS) if soft != resource.RLIM_INFINITY else 1 << 16


def default_limit() -> int:
    """Bytes: a quarter of the memory that this program may have."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # in a container; "max" where there is no bound
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory // 4


POOL: Final = Pool(default_limit())
"""The one pool of this program: a segment can serve any connection."""


def bound(settings: Any) -> None:
    """Set the pool's limit where a URL's option `pool` says so; the last one that does counts."""
    limit = settings.get("pool") or 0
    if limit < 0:
        raise AddressError(f"The option pool={limit} is not a number of bytes, such as 512M or 4G.")
    if limit:
        POOL.limit = limit
