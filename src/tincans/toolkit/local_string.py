"""The best string between two programs of one machine: rings in shared memory if both can, else the Unix socket itself.

Rules of this file
- The rendezvous is a Unix socket at a path; credentials, locks and stale files are `toolkit/unix_socket.py`'s.
- Lines of text (a wire for people or foreign programs) always stay on the socket.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tincans.contracts import Connection, Framing, Listener
from tincans.core.address import Option
from tincans.errors import TincansError, UnsupportedError
from tincans.toolkit import memory_pool, unix_socket
from tincans.toolkit.ring_rendezvous import Undecided, connect_ring
from tincans.toolkit.unix_stream import UnixStream

OPTIONS: Final = {
    **unix_socket.OPTIONS,
    "spin": Option(float, 100.0, "microseconds that a receiver looks before it sleeps; 0 saves processor time"),
}


def connect(
    path: Path, settings: Mapping[str, Any], framing: Framing, *, url: str, timeout: float, insist: bool = False
) -> Connection:
    """A connection to the program that listens at `path`. `insist`: UnsupportedError when it cannot use rings."""
    memory_pool.bound(settings)
    stream, _ = unix_socket.connect(path, url=url, users=settings["users"], timeout=timeout)
    make = _maker(settings, framing, url)
    if framing.name != "frames":
        return make(stream)
    try:
        connection = connect_ring(
            stream, make, spin=settings["spin"] / 1e6, max_message=settings["max_message"], timeout=timeout
        )
    except TincansError as error:
        stream.close()
        error.url = error.url or url
        raise
    if insist and isinstance(connection, UnixStream):
        connection.close()
        raise UnsupportedError(f"The program at {url} cannot use shared memory: it has no C core.", url=url)
    return connection


def listen(path: Path, settings: Mapping[str, Any], framing: Framing, *, url: str) -> Listener:
    """Listen at `path`, under its lock, for those whom the option `users` lets in."""
    memory_pool.bound(settings)
    make = _maker(settings, framing, url)

    def admit(stream: socket.socket) -> Connection | None:
        if not unix_socket.admitted(unix_socket.identity_of(stream), settings["users"]):
            return None
        return Undecided(stream, make, spin=settings["spin"] / 1e6) if framing.name == "frames" else make(stream)

    return unix_socket.listen(path, url=url, users=settings["users"], admit=admit)


def _maker(settings: Mapping[str, Any], framing: Framing, url: str) -> Callable[[socket.socket], UnixStream]:
    return lambda stream: unix_socket.byte_stream(stream, unix_socket.identity_of(stream), settings, framing, url)
