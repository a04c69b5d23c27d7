"""What is open on one connection: calls both ways, streams both ways. It does no I/O and knows no clock.

Rules of this file
- The connecting side opens odd ids, the accepting side even ones; a peer that breaks this is cut (ProtocolError).
- Single dictionary operations only, so that several threads may use a session without a lock of its own.
- A message about an id that is closed already is normal (it crossed a cancel) and is ignored.
- The number of things a peer may have open at once is bounded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tincans.errors import ProtocolError

MAX_OPEN = 100_000


class Session:
    """The tables of one connection.

    `calls`: our calls, id to whoever waits. `running`: the other side's calls that we work on. `inlets`: streams
    we receive. `outlets`: streams we send. `functions`: our functions that the other side may call back.

    >>> session = Session(connecting=True)
    >>> session.new_id(), session.new_id()
    (1, 3)
    """

    __slots__ = ("_parity", "calls", "functions", "inlets", "new_id", "other_id", "other_parity", "outlets", "running")

    def __init__(self, *, connecting: bool) -> None:
        first = 1 if connecting else 2
        self.new_id: Callable[[], int] = itertools.count(first, 2).__next__
        self.other_id = itertools.count(3 - first, 2).__next__  # for wires without ids: as the other side would count
        self._parity = first & 1
        self.other_parity = 1 - self._parity
        self.calls: dict[int, Any] = {}
        self.running: dict[int, Any] = {}
        self.inlets: dict[int, Any] = {}
        self.outlets: dict[int, Any] = {}
        self.functions: dict[int, Any] = {}

    def check_opening(self, id: int) -> None:
        """ProtocolError when the other side opens an id that is not its own, or too many."""
        if id and (id < 0 or id & 1 == self._parity or id in self.running):
            raise ProtocolError(f"The other side opened a call with id {id}, which is not its to open.")
        if len(self.running) + len(self.outlets) >= MAX_OPEN:
            raise ProtocolError(f"The other side has more than {MAX_OPEN} calls or streams open at once.")

    def everything_open(self) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """Calls, running, inlets and outlets at the end of the connection, each once; the tables are empty then."""
        taken = []
        for table in (self.calls, self.running, self.inlets, self.outlets):
            entries = []
            while table:
                try:
                    entries.append(table.popitem()[1])
                except KeyError:
                    break
            taken.append(entries)
        return taken[0], taken[1], taken[2], taken[3]
