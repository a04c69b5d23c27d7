"""TCP sockets at a host and port: connecting within a deadline, and listening; what `tcp:` and `mp:` share.

Rules of this file
- Without a host it is loopback. A name is resolved by the system, for as long as that takes.
- Errors say what to do; whoever calls adds what his method demands of those beyond this machine.
"""

from __future__ import annotations

import errno
import socket
from time import monotonic
from typing import Any

from tincans.core.address import Address
from tincans.errors import AddressError, DeniedError, NameInUseError, TincansError, UnreachableError
from tincans.toolkit import socket_platform
from tincans.toolkit.socket_listener import BACKLOG

DEFAULT_HOST = "127.0.0.1"
_GONE_AFTER = 20
"""Seconds, as gRPC's keepalive (20 s); shorter cuts people off who change networks."""


def resolve(address: Address) -> list[tuple[int, Any]]:
    """The addresses behind the host, as (family, socket address)."""
    if address.path not in ("", "/"):
        raise AddressError(
            f"A {address.method} address with a port has no path: remove {address.path!r}.", url=str(address)
        )
    try:
        found = socket.getaddrinfo(address.host or DEFAULT_HOST, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreachableError(
            f"The host {address.host!r} cannot be found ({error}). Check its name.", url=str(address)
        ) from error
    return [(family, place) for family, _type, _protocol, _name, place in found]


def connect(address: Address, deadline: float) -> socket.socket:
    """A connected socket: the first of the host's addresses that answers in time."""
    problem: OSError | None = None
    for family, place in resolve(address):
        stream = socket.socket(family, socket.SOCK_STREAM)
        try:
            stream.settimeout(max(0.001, deadline - monotonic()))
            stream.connect(place)
            if stream.getsockname() != stream.getpeername():
                return stream
            # Nobody listens, and the kernel gave us that very port as our own: we have reached ourselves.
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there")
        except OSError as error:
            stream.close()
            problem = error
    why = "no answer in time" if isinstance(problem, TimeoutError) else getattr(problem, "strerror", None)
    raise UnreachableError(
        f"No program answers at {address.host or DEFAULT_HOST}:{address.port} ({why})."
        " Start the server, or check host, port and firewall.",
        url=str(address),
    ) from problem


def listen(family: int, place: Any, url: str) -> socket.socket:
    """A listening socket. NameInUseError, DeniedError, AddressError."""
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not to wait for old connections' last packets
        listening.bind(place)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannotlisten(error, place, url) from error
    return listening


def _cannotlisten(error: OSError, place: Any, url: str) -> TincansError:
    where = show(place)
    if error.errno == errno.EADDRINUSE:
        return NameInUseError(f"Another program listens on {where}. Choose another port, or 0 for a free one.", url=url)
    if error.errno in (errno.EACCES, errno.EPERM):
        return DeniedError(f"This user may not listen on {where}. Choose a port above 1023.", url=url)
    return AddressError(f"Cannot listen on {where}: {error.strerror}. Use an address of this machine.", url=url)


def tune(stream: socket.socket) -> None:
    """Send small messages at once, and notice a peer whose machine is gone."""
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    socket_platform.keep_alive(stream, _GONE_AFTER)


def show(place: Any) -> str:
    """A socket address for people."""
    host, port = place[0], place[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
