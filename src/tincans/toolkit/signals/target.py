"""One program that has put its pid file into a directory, and signals that reach it and nobody else.

Rules of this file
- A program is a pidfd, opened before it is checked: it is the one that made the file, by its start time, or it is none.
- A signal is only sent to who catches, ignores or blocks it: to anybody else it would be the end.
- A pid file's words are the names of the flags that it wants to hear of, `*` for all, `start=N` for its start time in
  clock ticks. An empty file wants the flag named "default".
"""

from __future__ import annotations

import os
import re
import select
import signal
import time
from pathlib import Path
from typing import Any

from tincans.errors import TincansError
from tincans.toolkit.files.private_file import open_private

DEFAULT = "default"
LATER = 0.05
"""Seconds by which a program may seem to have started after it made its file: clocks are coarse."""

_MASKS = re.compile(rb"^Sig(?:Blk|Ign|Cgt):\s*([0-9a-f]+)$", re.MULTILINE)


class SignalTarget:
    """The living program of a pid file. Made by `target_of`."""

    def __init__(self, pidfd: int, status: int, words: frozenset[str]) -> None:
        self.words = words
        self._pidfd = pidfd
        self._status = status

    def wants(self, flag: str) -> bool:
        """Whether it wants to hear of this flag."""
        return "*" in self.words or flag in self.words

    def send(self, number: int) -> bool:
        """Send it; False when the program is gone. One that the signal would end is left in peace."""
        try:
            if self._minds(number):
                signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            return False
        return not _has_ended(self._pidfd)

    def _minds(self, number: int) -> bool:
        masks = _MASKS.findall(os.pread(self._status, 8192, 0))
        return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._pidfd)
        os.close(self._status)


def target_of(path: Path) -> SignalTarget | None:
    """The program that made this pid file; None when it is gone, or the file is not a pid file of this user.

    What is left of a program that is gone is removed.
    """
    try:
        fd = open_private(path, create=False, write=False)
    except (FileNotFoundError, TincansError):
        return None
    try:
        words = frozenset(os.read(fd, 4096).decode("utf-8", "replace").split())
        made = os.fstat(fd).st_mtime
    finally:
        os.close(fd)
    pid = int(path.name)
    pidfd = status = -1
    try:
        pidfd = os.pidfd_open(pid)
        status = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
        is_maker = _is_maker(pid, pidfd, words, made)
    except (ProcessLookupError, FileNotFoundError):
        is_maker = False
    except (OSError, OverflowError):  # no process can have this number, or we can open nothing more now
        is_maker = None
    if is_maker:
        return SignalTarget(pidfd, status, words if _names(words) else words | {DEFAULT})
    for fd in (pidfd, status):
        if fd >= 0:
            os.close(fd)
    if is_maker is False:
        path.unlink(missing_ok=True)
    return None


def _is_maker(pid: int, pidfd: int, words: frozenset[str], made: float) -> bool | None:
    """Whether it made the file; None when that is only unlikely, by a clock that may have been set."""
    started = start_ticks(pid)
    if _has_ended(pidfd):
        return False
    told = [word.partition("=")[2] for word in words if word.startswith("start=")]
    if told:
        return told == [str(started)]
    born = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + started / os.sysconf("SC_CLK_TCK")
    return True if born <= made + LATER else None


def _names(words: frozenset[str]) -> frozenset[str]:
    return frozenset(word for word in words if not word.startswith("start="))


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since the machine did. OSError when there is none.

    >>> start_ticks(os.getpid()) > 0
    True
    """
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])


def _has_ended(pidfd: int) -> bool:
    poll: Any = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
