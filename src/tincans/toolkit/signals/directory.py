"""Flags in a directory, and the programs that hear of them by signals: the doorbell rings, the truth stands in a file.

Rules of this file
- `flags/NAME` holds "1" or "0", then the number of its last change; a script may write just "1" or "0". It is written
  in place, in one go, and then the bell rings: so whoever looks after the bell sees all of it.
- Every program has a file named by its pid. A change sends SIGUSR1 (set) or SIGUSR2 (cleared) to all who want to hear
  of that flag. A signal that is lost or merged with another loses nothing: who hears one reads the file.
- Writers take turns by a kernel lock on the directory, which ends with its holder.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from tincans.errors import AddressError, TincansError
from tincans.toolkit.files.file_lock import LockedFile
from tincans.toolkit.files.file_trouble import trouble
from tincans.toolkit.files.private_directory import private_directory
from tincans.toolkit.files.private_file import open_private
from tincans.toolkit.fork_guard import abandon_in_child
from tincans.toolkit.signals.bell import CLEARED, SET, signal_bell
from tincans.toolkit.signals.target import SignalTarget, start_ticks, target_of

Held = tuple[int, bool]  # version, value
DIGITS = 19
RESCAN = 1.0
"""Seconds after which the programs are looked up again, though the directory seems to be the same."""

COARSE = 50_000_000
"""Nanoseconds: a directory that was changed so shortly before a look may change again with the same time."""


class SignalDirectory:
    """The directory, in which this program has its pid file until `close`. Any thread may use it."""

    def __init__(self, path: Path) -> None:
        self.path = private_directory(path, "The directory of flags", "or choose another")
        self._flags = private_directory(path / "flags", "The directory of flags", "or choose another")
        self._targets: dict[str, SignalTarget] = {}
        self._scanned = (0, 0.0)
        self.bell = signal_bell()
        self._file = LockedFile(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
        try:
            self._enter()
        except BaseException:
            self._file.abandon()
            raise
        abandon_in_child(self)

    # -- flags -------------------------------------------------------------------------------------------------

    def get(self, flag: str) -> Held | None:
        """Version and value; None for a flag that was never set nor cleared."""
        _ = self._file.descriptor  # ClosedError after the end
        try:
            fd = open_private(self._flags / _file_name(flag), create=False, write=False)
        except FileNotFoundError:
            return None
        try:
            words = os.read(fd, 64).split()
        finally:
            os.close(fd)
        version = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        return version, bool(words) and words[0] not in (b"0", b"false", b"no", b"off")

    def set(self, flag: str, value: bool, *, timeout: float | None) -> None:
        """Write it and tell everybody."""
        name = _file_name(flag)
        with self._file.locked(timeout=timeout):
            held = self.get(flag)
            self._write(name, f"{int(value)} {1 if held is None else held[0] + 1:<{DIGITS}}\n".encode())
            self._tell(flag, SET if value else CLEARED)
        self.bell.ring()

    def delete(self, flag: str, *, timeout: float | None) -> bool:
        """Forget it; False when there was none."""
        with self._file.locked(timeout=timeout):
            if self.get(flag) is None:
                return False
            (self._flags / _file_name(flag)).unlink(missing_ok=True)
            self._tell(flag, CLEARED)
        self.bell.ring()
        return True

    def names(self) -> list[str]:
        """All flags, sorted."""
        return sorted(unquote(name) for path in self._flags.iterdir() if not (name := path.name).startswith("."))

    def _write(self, name: str, data: bytes) -> None:
        try:
            fd = open_private(self._flags / name, create=True)
            try:
                os.pwrite(fd, data, 0)
                if os.fstat(fd).st_size > len(data):  # what another program has written
                    os.ftruncate(fd, len(data))
            finally:
                os.close(fd)
        except TincansError:
            raise
        except OSError as error:
            raise trouble(self._flags / name, error) from error

    # -- programs ----------------------------------------------------------------------------------------------

    def _tell(self, flag: str, number: int) -> None:
        """Send the signal to everybody else who wants it; with the lock."""
        self._look_up()
        for name, target in list(self._targets.items()):
            if target.wants(flag) and not target.send(number):
                self._targets.pop(name).close()
                self._scanned = (0, 0.0)

    def _look_up(self) -> None:
        changed, now = os.fstat(self._file.fd).st_mtime_ns, time.monotonic()
        if changed == self._scanned[0] and now - self._scanned[1] < RESCAN:
            return
        own = str(os.getpid())
        for target in self._targets.values():
            target.close()
        paths = [path for path in self.path.iterdir() if path.name.isdecimal() and path.name != own]
        found = {path.name: target_of(path) for path in paths}
        self._targets = {name: target for name, target in found.items() if target is not None}
        is_settled = time.time_ns() - changed > COARSE and os.fstat(self._file.fd).st_mtime_ns == changed
        self._scanned = (changed if is_settled else 0, now)

    def _enter(self) -> None:
        """Put our pid file there. Not where no signal can reach us: it would end this program."""
        homes, home = self.bell.homes, str(self.path)
        if not self.bell.is_installed:
            return
        with self._file.locked(timeout=None):
            if not homes.get(home):
                fd = open_private(self.path / str(os.getpid()), create=True)
                try:
                    os.ftruncate(fd, 0)
                    os.pwrite(fd, f"* start={start_ticks(os.getpid())}\n".encode(), 0)
                finally:
                    os.close(fd)
            homes[home] = homes.get(home, 0) + 1

    def close(self) -> None:
        """Take our pid file away. May be called twice."""
        homes, home = self.bell.homes, str(self.path)
        with self._file.guard:
            if self._file.fd < 0:
                return
            if self.bell.is_installed:
                homes[home] -= 1
                if not homes[home]:
                    with suppress(OSError):
                        (self.path / str(os.getpid())).unlink()
            self.abandon()

    def abandon(self) -> None:
        """Close the descriptors only (see fork_guard)."""
        self._file.abandon()
        while self._targets:
            self._targets.popitem()[1].close()


def _file_name(flag: str) -> str:
    """The file of a flag: its name, with what no file may be called written as in a URL."""
    name = quote(flag, safe="")
    name = "%2E" + name[1:] if name.startswith(".") else name
    if not 0 < len(name) <= 200:
        raise AddressError(f"A flag's name becomes a file name, so it has 1 to 200 characters; {flag[:40]!r} does not.")
    return name
