"""The bell of programs that share a file: whoever changed something rings, whoever waits is woken; and their locks.

Rules of this file
- One small file beside the shared one, never removed: 512 slots of 8 bytes. Ringing writes a new number into a slot,
  which the kernel tells to all who watch. A waiter remembers the slot *before* it looks for what it wants, so no ring
  is lost.
- A program that dies between a change and its ring closes the bell by dying, and everybody looks again.
- Bytes far behind the slots are locks (byte_lock.py): who lives, and who holds what.
- Of the threads that wait, one polls and tells the others; nobody polls when nobody waits.
"""

from __future__ import annotations

import itertools
import os
import select
import threading
import time
import zlib
from pathlib import Path

from tincans.errors import ClosedError, KeepError
from tincans.toolkit.deadline import deadline_of
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.files.byte_lock import ByteLock, held_between, is_held
from tincans.toolkit.files.file_watch import FileWatch, watch
from tincans.toolkit.files.private_file import open_private, same_file
from tincans.toolkit.fork_guard import abandon_in_child

SLOTS = 512
_FIRST_NAMED = 16
_SIZE = SLOTS * 8
_LAZY = 5.0
"""Seconds after which a waiter looks again in any case."""

_UNWATCHED = 0.02
"""The same, where the kernel does not tell."""

Seen = tuple[bytes, int]


def slot_of(kind: str, name: str) -> int:
    """The slot of one thing, the same in every program. Two things may share one."""
    return _FIRST_NAMED + zlib.crc32(f"{kind}:{name}".encode(errors="replace")) % (SLOTS - _FIRST_NAMED)


class SharedBell:
    """One program's end of the bell. All may be called by several threads at the same time.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     bob, alice = (SharedBell(Path(place, "bell")) for _ in range(2))
    ...     seen = bob.seen(3)
    ...     alice.ring(3)
    ...     print(bob.wait(3, seen, timeout=1.0), bob.wait(4, bob.seen(4), timeout=0.0))
    ...     for bell in (bob, alice):
    ...         bell.close()
    True False
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = open_private(path, create=True)
        try:
            if os.fstat(self._descriptor).st_size < _SIZE:
                os.posix_fallocate(self._descriptor, 0, _SIZE)
        except OSError as error:
            os.close(self._descriptor)
            raise KeepError(f"{path} cannot be made: {error.strerror}. Free some space.", temporary=True) from error
        self._numbers = itertools.count(int.from_bytes(os.urandom(7), "little"))
        self._watch: FileWatch | None = None
        self._is_watched = False
        self._wake = Doorbell()
        self._changed = threading.Condition()
        self._led = False
        self._looks = self._closings = 0
        self._closed = False
        abandon_in_child(self)

    # -- ringing ---------------------------------------------------------------------------------------------------

    def ring(self, slot: int) -> None:
        """Wake whoever waits for this slot, in any program. Never blocks, never raises."""
        try:
            os.pwrite(self._descriptor, (next(self._numbers) & (1 << 63) - 1).to_bytes(8, "little"), slot * 8)
        except OSError:
            pass  # a full disk of the kind that copies on writing, or closed: waiters look again by themselves

    def seen(self, slot: int) -> Seen:
        """What to give to `wait` later; what is looked for is looked at afterwards."""
        self.watching()
        return self.number(slot), self._closings

    def number(self, slot: int) -> bytes:
        """What stands in a slot; it is another with each ring."""
        try:
            return os.pread(self._descriptor, 8, slot * 8) if not self._closed else b""
        except OSError:
            if not self._closed:
                raise
            return b""  # closed at this very moment

    # -- waiting ---------------------------------------------------------------------------------------------------

    def watching(self) -> FileWatch | None:
        """The watch of this end, begun when it is first needed; None where there is none."""
        if not self._is_watched:
            with self._changed:
                if not self._is_watched and not self._closed:
                    self._watch = watch(self.path)
                    self._is_watched = True
        return self._watch

    def wait(self, slot: int | None, seen: Seen, *, timeout: float | None) -> bool:
        """Until the slot was rung or somebody closed the bell (None: until anything happened), since `seen`.

        False when `timeout` seconds have passed; a True may be false alarm. ClosedError after `close`.
        """
        deadline = deadline_of(timeout)
        patience = time.monotonic() + _LAZY
        while True:
            if self._closed:
                raise ClosedError("This was closed while it waited.")
            looks = self._looks
            if self._closings != seen[1] or (slot is not None and self.number(slot) != seen[0]):
                return True
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return False
            if now >= patience or (slot is None and looks != self._looks):
                return True
            until = patience if deadline is None else min(deadline, patience)
            if self._sleep(looks, until - now) and slot is None:
                return True

    def _sleep(self, looks: int, left: float) -> bool:
        """Until something happened: by polling, or by being told by the thread that polls."""
        with self._changed:
            if self._led:
                return self._changed.wait_for(lambda: self._looks != looks or not self._led, left) and (
                    self._looks != looks
                )
            self._led = True
        happened, closed = False, False
        try:
            happened, closed = self._poll(left)
        finally:
            with self._changed:
                self._led = False
                self._looks += happened
                self._closings += closed
                self._changed.notify_all()
        return happened

    def _poll(self, left: float) -> tuple[bool, bool]:
        poll = select.poll()
        poll.register(self._wake.fileno(), select.POLLIN)
        watching = self.watching()
        if watching is None:
            poll.poll(min(left, _UNWATCHED) * 1000)
            return True, True
        poll.register(watching.fileno(), select.POLLIN)
        poll.poll(left * 1000)
        return watching.drain()

    # -- locks -----------------------------------------------------------------------------------------------------

    def new_lock(self) -> ByteLock:
        """A lock with a descriptor of its own, not taken yet."""
        return ByteLock(self._new_descriptor())

    def hold(self, byte: int) -> ByteLock | None:
        """A byte's lock, taken, whose end all who wait here are told of; None when somebody has it. Never waits."""
        descriptors: list[int] = []
        try:
            while len(descriptors) < 3:
                descriptors.append(self._new_descriptor())
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return held_between(descriptors, byte)

    def _new_descriptor(self) -> int:
        descriptor = open_private(self.path, create=True)
        if same_file(self.path, self._descriptor):
            return descriptor
        os.close(descriptor)
        raise KeepError(f"{self.path} was exchanged while it was in use. End all programs that use it.")

    def is_held(self, byte: int) -> bool:
        """Whether anybody who lives holds a byte. After `close`: nobody can tell, so yes."""
        return self._closed or is_held(self._descriptor, byte)

    # -- the end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Wake everybody who waits here; they raise ClosedError. May be called twice."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._wake.ring()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._led, 1.0)
        self._let_go()

    def abandon(self) -> None:
        """In a forked child: close the descriptors only."""
        if not self._closed:
            self._closed = True
            self._changed = threading.Condition()
            self._let_go()

    def _let_go(self) -> None:
        os.close(self._descriptor)
        if self._watch is not None:
            self._watch.close()
        self._wake.close()

    def __del__(self) -> None:
        if hasattr(self, "_closed"):
            self.close()
