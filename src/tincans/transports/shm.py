"""Shared memory: two rings between two programs of one machine, agreed on over a Unix socket.

URL: `shm:NAME`
Options: `max_message`, `users`, `descriptors`, `pool`, as for unix; `spin` (microseconds that a receiver looks before
it sleeps).
Delivery: whole messages in order; a call is answered, fails, or its outcome is reported unknown.
Leaves behind: after kill -9 a socket file and a lock file, which block nobody and are reused by the next server.
Limits: one machine and one user; a name of at most 100 letters, digits, '_', '-', '.'; the C core must have been built.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tincans._speed import why_not
from tincans.contracts import Board, Connection, Framing, Listener, Transport, Wire
from tincans.core.address import Address, Option
from tincans.errors import AddressError, UnsupportedError
from tincans.facts import Facts, Yes
from tincans.toolkit import local_string
from tincans.toolkit.files.runtime_directory import path_of

FACTS = Facts(
    summary="shared memory: the fastest between two programs of one machine",
    share=Yes("native", "1 MiB and more as sealed shared memory, passed by descriptor, mapped by the receiver"),
    one_memory=True,
    untested=(),
    leaves_behind="after kill -9 a socket file and a lock file, which block nobody and are reused by the next server",
    library="the C core of this package",
)


class SharedMemoryTransport:
    """The method. Stateless; one instance serves all."""

    facts: Facts = FACTS
    options: Mapping[str, Option] = local_string.OPTIONS

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> Connection:
        _need_core(address)
        settings = address.settings(self.options)
        return local_string.connect(_path(address), settings, framing, url=str(address), timeout=timeout, insist=True)

    def listen(self, address: Address, *, framing: Framing) -> Listener:
        _need_core(address)
        settings = address.settings(self.options)
        return local_string.listen(_path(address), settings, framing, url=str(address))

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        return None


def _need_core(address: Address) -> None:
    reason = why_not()
    if reason:
        raise UnsupportedError(
            f"shm needs the C core, and {reason}. Use a bare name: it does without.", url=str(address)
        )


def _path(address: Address) -> Path:
    if address.host or address.port is not None:
        raise AddressError(f"A shm address is just a name: shm:{address.host or 'alice'}.", url=str(address))
    return path_of(address.path, ".shm")


TRANSPORT: Transport = SharedMemoryTransport()
