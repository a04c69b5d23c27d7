"""SIGUSR1 and SIGUSR2 as a doorbell for the threads of this program that wait: whoever rings, everybody looks.

Rules of this file
- No Python runs in a signal's handler. The handler is in C and writes to an eventfd, which one thread waits for; any
  thread may install it. Without the C core the main thread can install one whose only deed is the same write.
- A handler of the user's own for these signals is never replaced: NameInUseError says so. Other signals are not
  touched.
- Ours stays for good: a signal that is still under way must not end the program.
- How signals are handled belongs to the process, so there is one bell in it (`signal_bell()`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from functools import cache
from typing import Any

from tincans import _speed
from tincans.errors import NameInUseError
from tincans.toolkit.files.change_watch import LOOK, LOOK_UNTOLD, ChangeWatch
from tincans.toolkit.fork_guard import abandon_in_child

SET, CLEARED = signal.SIGUSR1, signal.SIGUSR2
SIGNALS = (SET, CLEARED)


class SignalBell:
    """The two signals, and who waits for them. `is_installed`: whether they reach this program."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._watches: list[ChangeWatch] = []
        self._fd = os.eventfd(0, os.EFD_CLOEXEC)
        self.is_installed = self._install(SET) and self._install(CLEARED)
        self.homes: dict[str, int] = {}
        """Directories in which this program has its pid file, and for how many of its users."""
        if self.is_installed:
            threading.Thread(target=self._serve, args=(self._fd,), name="tincans-signals", daemon=True).start()
        abandon_in_child(self)

    def _install(self, number: int) -> bool:
        if not _speed.why_not():
            from tincans._speed import _core

            if _core.ring_on_signal(number, self._fd):
                return True
            raise self._taken(number)
        handler = signal.getsignal(number)
        is_ours = getattr(handler, "__func__", None) is SignalBell._handle  # of our parent's, before a fork
        if handler not in (signal.SIG_DFL, signal.SIG_IGN) and not is_ours:
            raise self._taken(number)
        if threading.current_thread() is not threading.main_thread():
            return False
        signal.signal(number, self._handle)
        return True

    def _handle(self, number: int, frame: Any) -> None:
        if self._fd >= 0:
            os.eventfd_write(self._fd, 1)

    def _taken(self, number: int) -> NameInUseError:
        name = signal.Signals(number).name
        return NameInUseError(
            f"This program handles {name} itself, and signal: needs it. Remove that handler"
            f" (signal.signal(signal.{name}, signal.SIG_DFL)) before connecting, or use another method, such as file:."
        )

    def _serve(self, fd: int) -> None:
        """The thread that waits for the handler."""
        with contextlib.suppress(OSError):
            while os.eventfd_read(fd):
                self.ring()

    def ring(self) -> None:
        """Wake everybody here who waits."""
        with self._guard:
            for watch in self._watches:
                watch.ring()

    def watch(self) -> ChangeWatch:
        """Somebody who waits from now on, until its `close`."""
        watch = ChangeWatch(look=LOOK if self.is_installed else LOOK_UNTOLD)
        with self._guard:
            self._watches = [*(each for each in self._watches if not each.closed), watch]
        return watch

    def abandon(self) -> None:
        """In a forked child: it has no pid file, and the eventfd is its parent's."""
        self._guard = threading.Lock()
        self._watches.clear()
        if not _speed.why_not():
            from tincans._speed import _core

            for number in SIGNALS:
                _core.ring_on_signal(number, -1)
        fd, self._fd = self._fd, -1
        os.close(fd)
        signal_bell.cache_clear()


@cache
def signal_bell() -> SignalBell:
    """This program's bell, installed when it is first asked for."""
    return SignalBell()
