"""A connection through two rings in shared memory: how two ends get hold of the same one.

Rules of this file
- The connecting side makes the memory and offers it over a Unix socket; the accepting side checks it (in C) and joins.
- The socket stays open as proof of life and is watched, never read, by the ring; it may carry descriptors beside it.
- Only set-up is Python: `Ring.send` and `receive` are C, and raise the errors of `tincans.errors`.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

from tincans._speed._core import Ring
from tincans.errors import DisconnectedError, ProtocolError, WaitTimeoutError

__all__ = ["CAPACITY", "LARGEST_CAPACITY", "SPIN", "Ring", "accept", "offer"]

CAPACITY = 512 * 1024
"""Bytes in each direction, taken from the kernel when first used. Messages up to half of it go whole, longer ones
in pieces. Measured: messages of 16 to 300 KiB take twice as long through 128 KiB, small ones take the same."""
LARGEST_CAPACITY = 16 * 1024 * 1024
"""What an accepting side maps at most on a stranger's word."""
SPIN = 50e-6
"""Seconds that a wait spins at most before it sleeps: about twice what sleeping and waking costs."""

_GREETING = b"tincans-ring-1"


def offer(
    connected: socket.socket,
    *,
    capacity: int = CAPACITY,
    max_message: int = 2**46,
    spin: float = SPIN,
    timeout: float | None = 5.0,
) -> Ring:
    """Make the shared memory, pass it to the other end of a Unix socket, and return our end.

    >>> ours, theirs = socket.socketpair()
    >>> client = offer(ours)
    >>> server = accept(theirs)
    >>> client.send([b"hello", b"world"], 1.0), server.receive(1.0)
    (True, [b'hello', b'world'])
    >>> client.close(); server.close(); ours.close(); theirs.close()
    """
    descriptors = Ring.create(capacity)
    try:
        with _patience(connected, timeout):
            socket.send_fds(connected, [_GREETING], descriptors)
        return Ring.attach(*descriptors, connected.fileno(), 0, max_message=max_message, spin=spin)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def accept(
    connected: socket.socket,
    *,
    capacity_limit: int = LARGEST_CAPACITY,
    max_message: int = 2**46,
    spin: float = SPIN,
    timeout: float | None = 5.0,
) -> Ring:
    """Take what the other end offers, check it, and return our end. ProtocolError when it is not what it should be."""
    with _patience(connected, timeout):
        greeting, descriptors, _, _ = socket.recv_fds(connected, len(_GREETING), 3)
    try:
        if not greeting:
            raise DisconnectedError("The other program closed the connection before it offered shared memory.")
        if greeting != _GREETING or len(descriptors) != 3:
            raise ProtocolError("The other program did not offer shared memory of our kind; check its tincans version.")
        memory, to_server, to_client = descriptors
        return Ring.attach(
            memory,
            to_server,
            to_client,
            connected.fileno(),
            1,
            capacity_limit=capacity_limit,
            max_message=max_message,
            spin=spin,
        )
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@contextlib.contextmanager
def _patience(connected: socket.socket, timeout: float | None) -> Iterator[None]:
    """The socket with this timeout for a while, and its errors as ours."""
    before = connected.gettimeout()
    connected.settimeout(timeout)
    try:
        yield
    except TimeoutError:
        raise WaitTimeoutError(f"The other program did not set up shared memory within {timeout} s.") from None
    except OSError as error:
        raise DisconnectedError(f"The other program went away while shared memory was set up: {error}.") from None
    finally:
        connected.settimeout(before)
