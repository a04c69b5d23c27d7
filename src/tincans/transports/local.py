"""The best method there is between programs of one machine, by a bare name: `alice`, which is `local:alice`.

URL: a bare name, or `local:NAME`.
Options: `max_message`, `users`, `descriptors`, `pool`, as for unix; `spin`, as for shm.
Delivery: whole messages in order; a call is answered, fails, or its outcome is reported unknown.
Leaves behind: after kill -9 a socket file and a lock file, which block nobody and are reused by the next server.
Limits: one machine and one user; a name of at most 100 letters, digits, '_', '-', '.'.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tincans.contracts import Board, Connection, Framing, Listener, Transport, Wire
from tincans.core.address import Address, Option
from tincans.errors import AddressError
from tincans.facts import Facts, Yes
from tincans.toolkit import local_string
from tincans.toolkit.files.runtime_directory import path_of

FACTS = Facts(
    summary="the best there is between programs of one machine, found by name",
    share=Yes("native", "1 MiB and more as sealed shared memory, passed by descriptor, mapped by the receiver"),
    one_memory=True,
    untested=("macos",),
    leaves_behind="after kill -9 a socket file and a lock file, which block nobody and are reused by the next server",
)


class LocalTransport:
    """The method. Stateless; one instance serves all."""

    facts: Facts = FACTS
    options: Mapping[str, Option] = local_string.OPTIONS

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> Connection:
        settings = address.settings(self.options)
        return local_string.connect(_path(address), settings, framing, url=str(address), timeout=timeout)

    def listen(self, address: Address, *, framing: Framing) -> Listener:
        settings = address.settings(self.options)
        return local_string.listen(_path(address), settings, framing, url=str(address))

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        return None


def _path(address: Address) -> Path:
    """The rendezvous. Its ending is not that of `unix:`, so that one program may serve a name by both."""
    if address.host or address.port is not None:
        raise AddressError(f"A local address is just a name: {address.host or 'alice'}.", url=str(address))
    return path_of(address.path, ".local")


TRANSPORT: Transport = LocalTransport()
