"""mmap: values and flags in the pages of one file, for programs on one machine that read them very often.

URL: `mmap:/absolute/path`, `mmap:./relative/path` or `mmap:NAME` (in the private runtime directory).
Options: `size` (bytes of the whole file, when it is made; default 1M, of which values can take half).
Delivery: a value that was set is there for everybody when `set` returns; the last write wins.
Leaves behind: the file, which is what it is for. A writer killed in the middle of writing has changed nothing.
Limits: this machine, this user. The values of all keys together fit into half of the file.

`json+mmap:` keeps plain JSON. `text+mmap:` keeps one line of text at the start of the file, less than 4096 bytes, for
programs that map it and read or write a line: the value of the key "line", or words such as `mood=sunny n=5`.

Rules of this file
- Nothing but the file's place and the values' wire; the layouts are in toolkit/mapped/store.py and line.py.
- Who watches sleeps in inotify, which tells of each pwrite. A program that writes its line through a mapping is seen at
  the next look, LINE_LOOK later.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn

from tincans.contracts import Board, Change, Framing, Wire
from tincans.core.address import Address, Option
from tincans.core.hub import arguments
from tincans.errors import UnsupportedError
from tincans.facts import NATIVE, Facts, No
from tincans.toolkit.files.change_watch import LOOK, watch_path
from tincans.toolkit.files.local_path import local_path
from tincans.toolkit.files.value_watch import ValueWatch
from tincans.toolkit.mapped.line import MappedLine
from tincans.toolkit.mapped.store import Held, MappedStore

FACTS = Facts(
    summary="values and flags in the pages of a file, read in microseconds without asking anybody",
    call=No("a page of memory answers nothing", "file"),
    publish=No("only the latest value stands in the file, so news would be lost unseen", "unix"),
    queue=No("a file of fixed size holds values, not jobs", "file"),
    state=NATIVE,
    flag=NATIVE,
    lock=No("a lock would have to be written into a page, where it outlives a holder that is killed", "file"),
    share=No("the file has one fixed size, and large buffers would fill it", "shm"),
    order="the last write wins; everybody sees each key's changes in the same order",
    delivery="a value that was set is seen by every later read; a slow watcher sees the latest",
    survives="the end of all programs, also by kill -9; after the machine went down the file may be refused as damaged",
    leaves_behind="the file: its values are kept until it is removed",
    largest_message=None,
)

OPTIONS: Mapping[str, Option] = {
    "size": Option(int, 1024**2, "bytes of the whole file when it is made; values can take half of it"),
}

LINE_LOOK = 0.1
"""Seconds between two looks at a line that another program may write through a mapping."""

_UNCHANGEABLE = frozenset({bool, int, float, str, bytes, NoneType})


class MmapTransport:
    """The method `mmap`."""

    facts = FACTS
    options = OPTIONS
    wires = ("native", "json", "text")

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> NoReturn:
        """Never called: there are no calls."""
        raise UnsupportedError(f"{address} has values only, no calls.", url=str(address))

    listen = connect

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board:
        """See contracts.Transport."""
        settings, path = address.settings(OPTIONS), _place(address)
        if wire.name == "text":
            values = MmapValues(MappedLine(path), wire, LINE_LOOK)
        else:
            values = MmapValues(MappedStore(path, size=settings["size"], wire=wire.name), wire, LOOK)
        return Board(values=values, close=values.close)


TRANSPORT = MmapTransport()


class MmapValues:
    """contracts.Values over a store of bytes. Reading takes no lock."""

    def __init__(self, store: MappedStore | MappedLine, wire: Wire, look: float) -> None:
        self.close = store.close
        self._store = store
        self._wire = wire
        self._look = look
        self._known: dict[str, tuple[Held, Change]] = {}

    def get(self, key: str, *, timeout: float | None = None) -> Change | None:
        """See contracts.Values."""
        held = self._store.get(key)
        if held is None:
            self._known.pop(key, None)
            return None
        known = self._known.get(key)
        if known is not None and known[0] is held:
            return known[1]
        change = Change(key, self._wire.unpack(held[1]), held[0])
        if type(change.value) in _UNCHANGEABLE:  # of anything else each reader gets a value of his own
            self._known[key] = held, change
        return change

    def set(self, key: str, value: Any, *, timeout: float | None) -> None:
        """See contracts.Values."""
        self._store.set(arguments.name("key", key), self._wire.pack(value), timeout=timeout)

    def delete(self, key: str, *, timeout: float | None) -> bool:
        """See contracts.Values."""
        return self._store.delete(key, timeout=timeout)

    def keys(self, *, timeout: float | None) -> list[str]:
        """See contracts.Values."""
        return self._store.keys()

    def watch(self, key: str, *, timeout: float | None) -> ValueWatch:
        """See contracts.Values."""
        watch = watch_path(self._store.path, look=self._look)
        return ValueWatch(key, lambda: self.get(key), watch)


def _place(address: Address) -> Path:
    return local_path(address, suffix=".mmap", example="mmap:/directory/name")
