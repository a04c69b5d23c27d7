"""What differs between operating systems about sockets, in one place.

Rules of this file
- Everything above this file is the same everywhere; whoever ports Tincans begins here.
- Linux is tested. The macOS branches are written from its manual pages and headers and are untested (the
  facts of each method say so); Windows has none of it.
"""

from __future__ import annotations

import math
import socket
import struct
import sys
from contextlib import suppress
from typing import Any, Final

from tincans.errors import UnsupportedError

LINUX: Final = sys.platform == "linux"

SEND_FLAGS: Final = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)
"""Never block inside the kernel, never raise SIGPIPE."""
RECEIVE_DESCRIPTOR_FLAGS: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)

_TIMEVAL = struct.Struct("@ll")
_SHORTEST = 1e-6  # 0 would mean "for ever" to the kernel
_LONGEST = 10.0 * 365 * 86400

# sys/un.h and sys/ucred.h of macOS: getsockopt(SOL_LOCAL, LOCAL_PEERCRED) fills a struct xucred.
_SOL_LOCAL, _LOCAL_PEERCRED, _LOCAL_PEERPID = 0, 1, 2
_XUCRED = struct.Struct("@IIh16I")
_SO_NOSIGPIPE = 0x1022  # sys/socket.h of macOS, which has no MSG_NOSIGNAL


def set_receive_timeout(stream: socket.socket, seconds: float | None) -> None:
    """How long a blocking `recv` may wait, in seconds; None: as long as it takes."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(seconds))


def set_connect_timeout(stream: socket.socket, seconds: float | None) -> None:
    """How long `connect` may wait for room in the other end's backlog."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(seconds))


def _timeval(seconds: float | None) -> bytes:
    if seconds is None:
        return _TIMEVAL.pack(0, 0)
    fraction, whole = math.modf(min(max(seconds, _SHORTEST), _LONGEST))
    return _TIMEVAL.pack(int(whole), int(fraction * 1e6))


def close_half(stream: Any) -> None:
    """Let the other end know that nothing more comes. UnsupportedError where TLS is between."""
    if not isinstance(stream, socket.socket):
        raise UnsupportedError("Half of a TLS connection cannot be closed. Say the end inside it.")
    with suppress(OSError):  # gone already: the next receive tells
        stream.shutdown(socket.SHUT_WR)


def never_signal(stream: socket.socket) -> None:
    """Make a write to a gone peer an error and not a signal, where no flag of `send` does it."""
    if not hasattr(socket, "MSG_NOSIGNAL"):
        stream.setsockopt(socket.SOL_SOCKET, _SO_NOSIGPIPE, 1)


def peer_of(stream: socket.socket) -> tuple[int | None, int | None]:
    """The pid and uid of the program at the other end of a Unix socket, at the time it connected or listened.

    >>> here, there = socket.socketpair()
    >>> import os
    >>> peer_of(here) == (os.getpid(), os.geteuid())
    True
    >>> here.close(); there.close()
    """
    if LINUX:
        credentials = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid, _group = struct.unpack("iii", credentials)
        return pid or None, uid
    pid = stream.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID)
    _version, uid, *_groups = _XUCRED.unpack(stream.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED.size))
    return pid or None, uid


def keep_alive(stream: socket.socket, seconds: int) -> None:
    """Have the kernel notice within about `seconds` that a TCP peer's machine or network is gone."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", seconds),
        ("TCP_KEEPALIVE", seconds),  # macOS's name for TCP_KEEPIDLE
        ("TCP_KEEPINTVL", max(1, seconds // 4)),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", seconds * 1000),
    ):
        if hasattr(socket, name):
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
