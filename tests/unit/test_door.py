"""A door that closes while somebody is at it."""

from __future__ import annotations

import threading
from typing import Any

from tincans.core.address import parse
from tincans.pump.door import Door, DoorKeeper
from tincans.wires.native import WIRE


class ClosingListener:
    """The server is closed while a connection is looked for."""

    address = "unix:closing"
    keeper: DoorKeeper

    def fileno(self) -> int:
        return 1_000

    def accept(self, *, timeout: float | None) -> None:
        self.keeper.close()

    def close(self) -> None:
        """The number of the descriptor may be another connection's from now on."""


class StagedHost:
    """The part of a host and of its reactor that a keeper needs."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.reactor: Any = self
        self.armed: list[int] = []

    def arm(self, fd: int, link: Any) -> None:
        self.armed.append(fd)

    def forget(self, fd: int, link: Any) -> None:
        self.armed.clear()


def test_the_descriptor_of_a_closed_door_is_not_watched_again() -> None:
    host, listener = StagedHost(), ClosingListener()
    listener.keeper = DoorKeeper(host, Door(parse("unix:closing"), WIRE, listener, {}, 1000))
    listener.keeper.begin()
    listener.keeper.ready()
    assert host.armed == []
