"""Who is inside a connection of the shared file: its descriptors stay until nobody is, whoever closes it meanwhile.

Rules of this file
- `close` wakes who waits; the last one who leaves lets go, or `close` itself when nobody is inside.
- Who was inside is told that the connection was closed, whatever error the close made for him.
"""

from __future__ import annotations

import select
import threading
from typing import Any, Protocol

from tincans.errors import ClosedError, TincansError
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.files.file_watch import FileWatch

_LOOK_AGAIN = 5.0
_UNWATCHED = 0.02


class Closable(Protocol):
    """What is given back at the end."""

    def close(self) -> None: ...


class Use:
    """`with use: ...` while somebody sends or receives. What it `holds` is closed once, in order, at the end."""

    def __init__(self, address: str, bell: Doorbell, *holds: Closable) -> None:
        self.closed = False
        self.guard = threading.Lock()
        self._address = address
        self._bell = bell
        self.holds: list[Closable] = [*holds, bell]
        self._inside = 0

    def _let_go(self) -> None:
        for each in self.holds:
            each.close()

    def check_open(self) -> None:
        """ClosedError after `close`."""
        if self.closed:
            raise self._closed_error()

    def _closed_error(self) -> ClosedError:
        return ClosedError(f"This connection of {self._address} was closed here. Connect, or serve, again to go on.")

    def __enter__(self) -> None:
        with self.guard:
            self.check_open()
            self._inside += 1

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        with self.guard:
            closed = self.closed
            self._inside -= 1
            last = closed and not self._inside
        if last:
            self._let_go()
        if closed and kind is not None and issubclass(kind, TincansError | OSError) and kind is not ClosedError:
            raise self._closed_error() from error

    def close(self) -> bool:
        """End it; False when that was done before."""
        with self.guard:
            if self.closed:
                return False
            self.closed = True
            self._bell.ring()
            idle = not self._inside
        if idle:
            self._let_go()
        return True

    def abandon(self) -> None:
        """In a forked child: give the bell's copies back."""
        self.guard = threading.Lock()
        if not self.closed:
            self.closed = True
            self._bell.close()


def doze(bell: Doorbell, watch: FileWatch | None, left: float | None) -> bool:
    """Until the bell rings, the kernel tells of a change, or `left` seconds have passed.

    True when it is time to look at everything, told or not.
    """
    poll = select.poll()
    poll.register(bell.fileno(), select.POLLIN)
    longest = _UNWATCHED
    if watch is not None:
        poll.register(watch.fileno(), select.POLLIN)
        longest = _LOOK_AGAIN
    look = watch is None or left is None or left > longest
    poll.poll(1000 * (longest if left is None else min(left, longest)))
    return look
