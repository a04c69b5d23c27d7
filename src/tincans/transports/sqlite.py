"""sqlite: one file between programs that need not run at the same time. Durable queues, state, topics, locks and calls.

URL: `sqlite:PATH`, from the present directory or absolute.
Options: `sync` (full: what was put, set or left is on the disk when it returns, the default; normal: it survives the
programs, and a power cut but for the last moments; off: the system decides), `max_message` (bytes, default 256M).
Delivery: a letter lies in the file until the other program takes it. A call that a serving program took and died with
ends with DisconnectedError (outcome unknown); one that was left (`wait=False`) is answered so by the next serving
program, or run again when its function is idempotent. Queue items are there until they are acknowledged.
Leaves behind: the file, `-wal` and `-shm` beside it while it is in use, and `PATH.lock`, which must not be removed
while a program uses it.
Limits: this machine, this user, no network file system; one serving program at a time for calls. Several writers take
turns. Topics keep 10,000 notes for a day, answers are kept for 30 days. Leases and delays go by the wall clock.

Rules of this file
- The address, the options and the facts; what is in the file is the business of toolkit/sqlite.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tincans.contracts import Board, Connection, Framing, Listener, Wire
from tincans.core.address import Address, Option
from tincans.core.framing import framing as framing_of
from tincans.errors import AddressError
from tincans.facts import NATIVE, Facts, Yes

FACTS = Facts(
    summary="one file: durable queues, state and calls between programs that need not run at the same time",
    publish=Yes("native", "a bounded table of notes, read from a position on; losses are counted"),
    queue=NATIVE,
    state=NATIVE,
    flag=NATIVE,
    lock=Yes("native", "a kernel lock; the file keeps its token"),
    share=Yes("native", "a large buffer is copied into the file and out of it"),
    delivery="a call is answered, fails, or its outcome is reported unknown; a queue item is there until acknowledged",
    survives="everything survives the programs; with sync=full (the default) queues, state and left calls a power cut",
    leaves_behind="the file, and PATH.lock beside it",
    largest_message=990_000_000,
    stored=True,
)

OPTIONS: Mapping[str, Option] = {
    "sync": Option(str, "full", "when a change is safe: full, normal or off", ("full", "normal", "off")),
    "max_message": Option(int, 256 * 1024**2, "largest message in bytes"),
}


class SqliteTransport:
    """The method `sqlite`."""

    facts = FACTS
    options = OPTIONS
    wires = ("native", "json")

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> Connection:
        """See contracts.Transport. Whether anybody serves does not matter."""
        from tincans.toolkit.sqlite.box import BoxConnection
        from tincans.toolkit.sqlite.store import Store

        settings, path = address.settings(OPTIONS), _path(address)
        store = Store(path, sync=settings["sync"])
        try:
            return BoxConnection(store, framing, _plain(address, path), settings["max_message"])
        except BaseException:
            store.close()
            raise

    def listen(self, address: Address, *, framing: Framing) -> Listener:
        """See contracts.Transport."""
        from tincans.toolkit.sqlite.door import StoreListener
        from tincans.toolkit.sqlite.store import Store

        settings, path = address.settings(OPTIONS), _path(address)
        store = Store(path, sync=settings["sync"])
        try:
            return StoreListener(store, framing, _plain(address, path), settings["max_message"])
        except BaseException:
            store.close()
            raise

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        """See contracts.Transport."""
        from tincans.toolkit.sqlite.board import stored_board

        settings: dict[str, Any] = address.settings(OPTIONS)
        return stored_board(_path(address), settings["sync"], wire, framing_of(wire.framing))


TRANSPORT = SqliteTransport()


def _path(address: Address) -> Path:
    if not address.path or address.host:
        raise AddressError(f"{address} names no file: say sqlite:PATH, such as sqlite:alice.db.", url=str(address))
    return Path(address.path).absolute()


def _plain(address: Address, path: Path) -> str:
    """The URL from anywhere on this machine. What `sync` is asked for goes along: whoever copies it gets the same."""
    from urllib.parse import quote

    start = f"{address.wire}+sqlite:" if address.wire else "sqlite:"
    sync = address.options.get("sync")
    return start + quote(str(path)) + (f"?sync={sync}" if sync else "")
