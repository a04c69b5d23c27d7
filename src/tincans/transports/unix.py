"""Unix sockets: `unix:NAME` in the private runtime directory, or `unix:/a/path/of/your/own.sock`.

URL: `unix:alice` for programs of one user, `unix:/run/app/alice.sock` (also `unix:///run/...`) for a path of your own.
Options: `max_message` bytes (default 1 GiB), `users` same (default; the same user, and root) or any (everybody whom the
    path's permissions let in), `descriptors` yes (default) or no (large buffers then go through the socket too), `pool`
    bytes of shared memory that this program takes at most, all its connections together (default: a quarter of all).
Delivery: whole messages in order; a call is answered, fails, or its outcome is reported unknown. Buffers of 1 MiB and
    more go as sealed shared memory by descriptor where the system has it; nothing is copied at the receiver, and they
    do not count against `max_message`.
Leaves behind: after kill -9 a socket file and a lock file, which block nobody; the next server that starts by any
    name removes them.
Limits: one machine; a path of at most 107 bytes; 1024 buffers beside a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tincans.contracts import Board, Connection, Framing, Listener, Transport, Wire
from tincans.core.address import Address, Option
from tincans.errors import AddressError
from tincans.facts import Facts, Yes
from tincans.toolkit import unix_socket
from tincans.toolkit.files.runtime_directory import path_of

FACTS = Facts(
    summary="Unix sockets between programs of one machine, found by a name or a path",
    share=Yes("native", "1 MiB and more as sealed shared memory, passed by descriptor, mapped by the receiver"),
    one_memory=True,
    untested=("macos",),
    leaves_behind="after kill -9 a socket file and a lock file, which block nobody and are reused by the next server",
)


class UnixTransport:
    """The method. Stateless; one instance serves all."""

    facts: Facts = FACTS
    options: Mapping[str, Option] = unix_socket.OPTIONS

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> Connection:
        settings = address.settings(self.options)
        return unix_socket.connect_stream(_path(address), settings, framing, url=str(address), timeout=timeout)

    def listen(self, address: Address, *, framing: Framing) -> Listener:
        settings = address.settings(self.options)
        return unix_socket.listen_streams(_path(address), settings, framing, url=str(address))

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        return None


def _path(address: Address) -> Path:
    """Where the socket is: a name's in the runtime directory, a path's where it says."""
    if address.host or address.port is not None:
        raise AddressError(
            "A unix address is a name, unix:alice, or a whole path, unix:/run/alice.sock (or unix:///run/alice.sock).",
            url=str(address),
        )
    if address.path.startswith("/") and "\0" not in address.path:
        return Path(address.path)
    return path_of(address.path, ".sock")


TRANSPORT: Transport = UnixTransport()
