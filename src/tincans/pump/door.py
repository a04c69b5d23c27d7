"""The doors of a serving program: where connections come in, and who accepts them.

Rules of this file
- A listener with a descriptor is watched by the reactor; one without costs a thread.
- An accept that fails (out of descriptors or memory) is tried again; a listener that has ended by itself is told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from tincans.contracts import Listener, Wire
from tincans.core.address import Address
from tincans.core.log import log
from tincans.errors import ClosedError

if TYPE_CHECKING:
    from tincans.pump.host import Host

ACCEPTS_AT_ONCE = 64


class Door(Struct):
    """One address that a host listens on."""

    address: Address
    wire: Wire
    listener: Listener
    keys: Mapping[str, bytes]
    max_message: int
    stored: bool = False
    """Whether messages wait in a store (facts.stored)."""


class Keeper(Protocol):
    """Who accepts at a door."""

    def close(self) -> None: ...


class DoorKeeper:
    """Accepts connections on one listener: by the reactor where it has a descriptor, else by a thread."""

    def __init__(self, host: Host, door: Door) -> None:
        self.host = host
        self.door = door
        self._fd = door.listener.fileno()
        self._watching = threading.Lock()
        self._closed = False

    def begin(self) -> None:
        if self._fd is None:
            threading.Thread(target=self._accept_for_ever, name="tincans-accept", daemon=True).start()
        else:
            self._watch(self._fd)

    def _watch(self, fd: int) -> None:
        with self._watching:  # who closes waits: a closed descriptor's number may be another connection's
            if not self._closed:
                self.host.reactor.arm(fd, self)

    def ready(self) -> None:
        """A worker's job: accept who is there."""
        try:
            for _ in range(ACCEPTS_AT_ONCE):
                connection = self.door.listener.accept(timeout=0)
                if connection is None:
                    break
                self.host.admit(self.door, connection)
        except ClosedError:
            self.host.door_over(self)
            return
        except Exception as error:  # out of descriptors or memory: others may leave, so try again
            log().warning("Could not accept on %s: %s", self.door.listener.address, error)
            self.host.reactor.call_at(time.monotonic() + 0.1, self.begin)
            return
        if self._fd is not None:
            self._watch(self._fd)

    def rest(self) -> bool:
        return True

    def _accept_for_ever(self) -> None:
        while not self.host.closed.is_set():
            try:
                connection = self.door.listener.accept(timeout=None)
                if connection is not None:
                    self.host.admit(self.door, connection)
            except ClosedError:
                self.host.door_over(self)
                return
            except Exception as error:
                log().warning("Could not accept on %s: %s", self.door.listener.address, error)
                self.host.closed.wait(0.1)

    def close(self) -> None:
        with self._watching:
            self._closed = True
            if self._fd is not None:
                self.host.reactor.forget(self._fd, self)
        self.door.listener.close()
