"""file: everything in one JSON file that a person can open and a shell script can write.

URL: `file:/absolute/path.json`, `file:./relative/path.json` or `file:NAME` (in the private runtime directory).
Options: `fsync` (default yes: what was acknowledged survives a power cut), `keep` (finished commands that stay, default
100), `keep_seconds` (for how long at most, default 3600), `max_message` (bytes of a call, default 16M), `size` (bytes
of the whole file at most, default 64M).
Delivery: a call waits in the file until a program serves it; one that was being done when its program was killed is
done again. Jobs come at least once, in order.
Leaves behind: the file, PATH.lock (under which it is changed) and PATH.locks (which holds the named locks), both empty.
Limits: this machine, this user, a local disk. Each change writes the whole file: some hundred changes a second at
most. Best kept in a directory of its own, for whoever waits is woken by every change in the directory.

A call stands in the file as `{"commands": {"<uuid>": {"command": "add", "args": [2, 5], "result": 7}}}`, with "error"
in place of "result" when it failed, and "kwargs" where there are any. A program that takes the lock (flock on
PATH.lock) and follows this may be either side. State is `{"state": {"mood": "good"}}`, flags are
`{"flags": {"paused": true}}`, jobs `{"queues": {"jobs": [{"value": 5}]}}`.

Rules of this file
- Only the place, the options and the two ends; what stands where in the document is the business of toolkit/document.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tincans.contracts import Board, Framing, Wire
from tincans.core.address import Address, Option
from tincans.errors import ClosedError, NameInUseError
from tincans.facts import NATIVE, Facts, No
from tincans.toolkit.document.answers import DocumentAnswers
from tincans.toolkit.document.caller import CallingConnection
from tincans.toolkit.document.connection import Keeping
from tincans.toolkit.document.json_document import JsonDocument
from tincans.toolkit.document.locks import DocumentLocks
from tincans.toolkit.document.queues import DocumentQueues
from tincans.toolkit.document.server import ServingConnection
from tincans.toolkit.document.values import DocumentValues
from tincans.toolkit.doorbell import Doorbell
from tincans.toolkit.files import name_lock
from tincans.toolkit.files.local_path import local_path

FACTS = Facts(
    summary="a JSON file that a person can open and a shell script can write",
    call=NATIVE,
    publish=No("a file keeps what is, not what was said: who looks late would never hear of it", "unix"),
    queue=NATIVE,
    state=NATIVE,
    flag=NATIVE,
    lock=NATIVE,
    share=No("a JSON file that people read is no place for large buffers", "shm"),
    order="calls begin in the order in which they were written",
    delivery="a call waits for its server; one that was being done when its server was killed is done again",
    survives="everything, also a power cut (fsync), until finished commands are cleaned up",
    leaves_behind="the file, and beside it PATH.lock and PATH.locks, both empty",
    two_way=False,
    stored=True,
)

OPTIONS: Mapping[str, Option] = {
    "fsync": Option(bool, True, "whether each change is on the disk before it is acknowledged"),
    "keep": Option(int, 100, "finished commands that stay in the file"),
    "keep_seconds": Option(float, 3600.0, "seconds after which finished commands go"),
    "max_message": Option(int, 16 * 1024**2, "largest call or answer in bytes"),
    "size": Option(int, 64 * 1024**2, "largest file in bytes"),
}

_PARTS = ("commands", "finished", "queues", "state", "flags", "versions")


class FileTransport:
    """The method `file`."""

    facts = FACTS
    options = OPTIONS
    wires = ("commands",)

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> CallingConnection:
        """See contracts.Transport. Nobody need be there."""
        return CallingConnection(*_ends(address))

    def listen(self, address: Address, *, framing: Framing) -> FileListener:
        """See contracts.Transport."""
        return FileListener(address)

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board:
        """See contracts.Transport."""
        document = _document(address)
        locks = DocumentLocks(document)

        def close() -> None:
            locks.close()
            document.close()

        return Board(
            queues=DocumentQueues(document, wire),
            values=DocumentValues(document, wire),
            locks=locks,
            answers=DocumentAnswers(document),
            close=close,
        )


class FileListener:
    """See contracts.Listener. One connection brings the commands of everybody."""

    def __init__(self, address: Address) -> None:
        self.address = str(replace(address, options={}))
        place = _place(address)
        try:
            self._lock = name_lock.acquire(place.with_name(f"{place.name}.serving"), {"method": "file"})
        except NameInUseError as error:
            raise NameInUseError(f"{self.address} is served already: {error}", url=self.address) from None
        try:
            self._connection = ServingConnection(*_ends(address))
        except BaseException:
            self._lock.release()
            raise
        self._bell = Doorbell()
        self._bell.ring()
        self._accepted = self._closed = False

    def accept(self, *, timeout: float | None) -> ServingConnection | None:
        """See contracts.Listener."""
        if self._closed:
            raise ClosedError(f"{self.address} is no longer served here.", url=self.address)
        if self._accepted:
            return None
        self._accepted = True
        self._bell.silence()
        return self._connection

    def close(self) -> None:
        """See contracts.Listener."""
        if not self._closed:
            self._closed = True
            self._bell.close()
            self._connection.at_end = self._lock.release
            if not self._accepted or self._connection.is_closed():
                self._connection.close()

    def fileno(self) -> int | None:
        """Readable until the one connection was accepted."""
        return self._bell.fileno()


TRANSPORT = FileTransport()


def _ends(address: Address) -> tuple[JsonDocument, Keeping, str, int, int]:
    settings = address.settings(OPTIONS)
    keeping = Keeping(settings["keep"], settings["keep_seconds"])
    url = str(replace(address, options={}))
    return _document(address), keeping, url, settings["max_message"], os.geteuid()


def _document(address: Address) -> JsonDocument:
    settings: dict[str, Any] = address.settings(OPTIONS)
    return JsonDocument(_place(address), fsync=settings["fsync"], largest=settings["size"], parts=_PARTS)


def _place(address: Address) -> Path:
    return local_path(address, suffix=".json", example="file:/directory/name.json")
