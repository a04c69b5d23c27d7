"""From a connected Unix socket to a ring, if both sides can: the offer, the answer, and a connection until then.

Rules of this file
- The connecting side offers shared memory (magic word and descriptors); the accepting side answers with one byte, yes
  or no. After "no", or without an offer, the socket itself is the string: without the C core only speed is lost.
- The accepting side never waits for a stranger: it decides when the first byte is here.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from tincans._speed import why_not
from tincans.contracts import Buffer, Connection, Parts
from tincans.errors import ClosedError, DisconnectedError, WaitTimeoutError
from tincans.toolkit.unix_stream import UnixStream

YES, NO = b"y", b"n"
OFFER_BEGINS_WITH = b"t"
OFFER_TIMEOUT = 5.0
_LOOK = 0.05

BECOMES = (
    "send", "receive", "flush", "pending", "fileno", "close", "abandon",
    "prepare_wait", "send_many", "sends_whole",
)  # fmt: skip
"""What the real connection has."""

MakeStream = Callable[[socket.socket], UnixStream]


def connect_ring(
    stream: socket.socket, make: MakeStream, *, spin: float, max_message: int, timeout: float
) -> Connection:
    """Offer a ring; the connection, through it or over the socket as the other side can."""
    if why_not():
        return make(stream)
    from tincans._speed.ring import offer
    from tincans.toolkit.ring_connection import RingConnection

    ring = offer(stream, max_message=max_message, spin=spin, timeout=timeout)
    try:
        answer = _answer(stream, timeout)
    except BaseException:
        ring.close()
        raise
    if answer == YES:
        return RingConnection(ring, make(stream), max_message=max_message)
    ring.close()
    if answer == NO:
        return make(stream)
    raise DisconnectedError("The other program closed the connection when it was offered shared memory.")


def _answer(stream: socket.socket, timeout: float) -> bytes:
    stream.settimeout(timeout)
    try:
        return stream.recv(1)
    except TimeoutError:
        raise WaitTimeoutError(f"The other program did not answer within {timeout:g} s; it may be stopped.") from None
    except OSError as error:
        raise DisconnectedError(f"The other program went away while we connected: {error}.") from None


class Undecided:
    """The accepting side of a connection of which nothing is known yet; it becomes what the first byte says.

    After that its methods are those of the real connection.
    """

    def __init__(self, stream: socket.socket, make: MakeStream, *, spin: float) -> None:
        self._socket = stream
        self._make = make
        self._spin = spin
        self._stream = make(stream)
        self.decided: Connection | None = None
        self._deciding = threading.Lock()
        self.identity = self._stream.identity
        self.weigh = self._stream.weigh

    @property
    def max_message(self) -> int:
        """The largest message in bytes, both ways."""
        return (self.decided or self._stream).max_message

    @max_message.setter
    def max_message(self, size: int) -> None:
        (self.decided or self._stream).max_message = size

    @property
    def shares_memory(self) -> bool:
        """See ByteStream."""
        return self._stream.shares_memory

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        if self.decided is None:
            if not self._first_byte(timeout):
                return None
            self._decide()
        connection: Any = self.decided  # whoever took hold of this method before the first byte comes here again
        parts: list[Buffer] | None = connection.receive(timeout=timeout)
        return parts

    def _first_byte(self, timeout: float | None) -> bool:
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            deadline = None if timeout is None else monotonic() + timeout
            while self.decided is None:  # by the thread that sends, when that one was quicker
                left = _LOOK if deadline is None else deadline - monotonic()
                if poll.poll(max(0.0, min(left, _LOOK)) * 1000):
                    return True
                if left <= 0:
                    return False
            return True
        except (OSError, ValueError):
            raise ClosedError("This connection was closed on this side.") from None

    def _decide(self) -> None:
        with self._deciding:
            if self.decided is None:
                self._become()

    def _become(self) -> None:
        decided: Any = self._stream
        if self._peek() == OFFER_BEGINS_WITH:
            decided = self._answer_offer() or decided
        self.decided = decided
        for name in BECOMES:
            its_own = getattr(decided, name, None)
            if its_own is not None:
                setattr(self, name, its_own)

    def _peek(self) -> bytes:
        try:
            return self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return b""  # the stream will say what is wrong

    def _answer_offer(self) -> Connection | None:
        """Join the ring that is offered, or say no. An offer that lies ends the connection."""
        if why_not():
            self._refuse()
            return None
        from tincans._speed.ring import accept
        from tincans.toolkit.ring_connection import RingConnection

        limit = self.max_message
        ring = accept(self._socket, max_message=limit, spin=self._spin, timeout=OFFER_TIMEOUT)
        try:
            self._socket.send(YES, socket.MSG_DONTWAIT)
            self._socket.settimeout(None)
        except OSError as error:
            ring.close()
            raise DisconnectedError(f"The other program went away while we connected: {error}.") from None
        return RingConnection(ring, self._stream, max_message=limit)

    def _refuse(self) -> None:
        with contextlib.suppress(OSError):
            _, descriptors, _, _ = socket.recv_fds(self._socket, 64, 8)
            for descriptor in descriptors:
                socket.close(descriptor)
            self._socket.send(NO, socket.MSG_DONTWAIT)

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection. The connecting side's offer comes first; it is on its way."""
        if not self._first_byte(timeout):
            raise WaitTimeoutError(f"The other program did not say within {timeout} s how it talks. It may be stopped.")
        self._decide()
        self.send(parts, timeout=timeout)

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        return True

    def pending(self) -> bool:
        """See contracts.Connection."""
        return False

    def prepare_wait(self) -> bool:
        """Nothing is known to be here."""
        return False

    def close(self) -> None:
        """See contracts.Connection."""
        self._stream.close()

    def abandon(self) -> None:
        """See contracts.Connection."""
        self._stream.abandon()

    def fileno(self) -> int | None:
        """See contracts.Connection. It changes when the string is decided: ask again before each wait."""
        return self._stream.fileno()
