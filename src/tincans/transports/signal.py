"""signal: flags for programs that can share nothing else: a directory of small files, and two signals as the doorbell.

URL: `signal:/absolute/directory`, `signal:./relative/directory` or `signal:NAME` (in the private runtime directory).
Options: none.
Delivery: a flag is what its file says. Signals may be lost or merged; who hears one reads the file, so nobody ends up
with the wrong state.
Leaves behind: the directory with its flags; the pid file of a killed program until the next change.
Limits: Linux, this machine, this user. Flags only. SIGUSR1 and SIGUSR2 must not be handled by the program itself.

A program of any kind takes part so (see toolkit/signals/target.py for the words that may stand in the pid file):

    trap 'read state version < "$dir/flags/default"' USR1 USR2     # 1 or 0: SIGUSR1 says set, SIGUSR2 cleared
    : > "$dir/$$"                                                  # after the handlers: now signals come

An empty pid file hears of the flag "default", `echo paused > "$dir/$$"` of the flag "paused". To set a flag a program
writes 1 into its file (0 to clear it), and sends SIGUSR1 (SIGUSR2) to the pids whose files are there.

Rules of this file
- Only the place and the keys; the directory is toolkit/signals/directory.py, the doorbell toolkit/signals/bell.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from tincans.contracts import Board, Change, Framing, Wire
from tincans.core.address import Address, Option
from tincans.errors import UnsupportedError
from tincans.facts import NATIVE, Facts, No
from tincans.toolkit.files.local_path import local_path
from tincans.toolkit.files.value_watch import ValueWatch
from tincans.toolkit.signals.directory import SignalDirectory

_ONE_BIT = "a signal says that something has changed, and nothing more"

FACTS = Facts(
    summary="flags by signals, for programs that can share nothing else",
    call=No(_ONE_BIT, "file"),
    publish=No(_ONE_BIT, "unix"),
    queue=No(_ONE_BIT, "file"),
    state=No("its files hold one bit each, set or cleared", "file"),
    flag=NATIVE,
    lock=No("a signal cannot tell that a holder has died", "file"),
    share=No(_ONE_BIT, "shm"),
    order="the last change wins",
    delivery="the flag is what its file says; a signal that is lost or merged loses nothing",
    survives="the end of all programs and of the machine, but not a power cut a moment after the change",
    leaves_behind="the directory with its flags; a killed program's pid file until the next change",
)

OPTIONS: Mapping[str, Option] = {}
FLAG = "flag:"


class SignalTransport:
    """The method `signal`."""

    facts = FACTS
    options = OPTIONS
    wires = ("native",)

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> NoReturn:
        """Never called: there are no calls."""
        raise UnsupportedError(f"{address} has flags only, no calls.", url=str(address))

    listen = connect

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board:
        """See contracts.Transport."""
        flags = SignalFlags(SignalDirectory(_place(address)))
        return Board(values=flags, close=flags.close)


TRANSPORT = SignalTransport()


class SignalFlags:
    """contracts.Values whose keys are flags and nothing else."""

    def __init__(self, directory: SignalDirectory) -> None:
        self.close = directory.close
        self._directory = directory

    def get(self, key: str, *, timeout: float | None = None) -> Change | None:
        """See contracts.Values."""
        held = self._directory.get(_flag(key))
        return None if held is None else Change(key, held[1], held[0])

    def set(self, key: str, value: Any, *, timeout: float | None) -> None:
        """See contracts.Values."""
        self._directory.set(_flag(key), bool(value), timeout=timeout)

    def delete(self, key: str, *, timeout: float | None) -> bool:
        """See contracts.Values."""
        return self._directory.delete(_flag(key), timeout=timeout)

    def keys(self, *, timeout: float | None) -> list[str]:
        """See contracts.Values."""
        return [FLAG + name for name in self._directory.names()]

    def watch(self, key: str, *, timeout: float | None) -> ValueWatch:
        """See contracts.Values."""
        _flag(key)
        return ValueWatch(key, lambda: self.get(key), self._directory.bell.watch())


def _flag(key: str) -> str:
    if not key.startswith(FLAG):
        verdict = FACTS.state
        reason = verdict.reason if isinstance(verdict, No) else ""
        raise UnsupportedError(f"signal: keeps no value for {key!r}: {reason}. A method that can: file.")
    return key[len(FLAG) :]


def _place(address: Address) -> Path:
    return local_path(address, suffix=".flags", example="signal:/directory/name")
