"""A Connection through two rings in shared memory, beside the Unix socket over which they were agreed on.

Rules of this file
- Ordinary messages go through the ring. A message with a large part goes over the socket, which can pass the part's
  memory by descriptor; a word in the ring says "the next one is there", so the order is kept.
- The socket is proof of life and credentials; while it is open, the ring is trusted to have an end.
- Who polls `fileno()` calls `prepare_wait()` first, for a writer rings only for a reader that said it sleeps.
"""

from __future__ import annotations

from time import monotonic

from tincans._speed.ring import Ring
from tincans.contracts import Buffer, Identity, Parts
from tincans.errors import ProtocolError, WaitTimeoutError
from tincans.toolkit.byte_stream import ByteStream
from tincans.toolkit.fork_guard import abandon_in_child

BESIDE = 1024 * 1024
"""Bytes: a part of this size or more may travel as memory, so its message goes over the socket."""

NEXT_IS_BESIDE: list[Buffer] = [b""]
"""The word in the ring. A message of this very form goes over the socket as well."""

BESIDE_TIMEOUT = 30.0
"""Seconds after its word in which a message beside the ring must be here; it was sent before the word."""

A_LITTLE = 0.001
"""Seconds that even a receive "at once" waits for an announced message: nothing else tells a poller of its arrival."""


class RingConnection:
    """contracts.Connection over a Ring and the stream beside it; both belong to this object from now on.

    `ring`, `owes_word`, `beside_by` and `announced` are for who uses the ring directly (pump/quick.py): not for sending
    while a word is owed, not for receiving while a message beside the ring is awaited.
    """

    sends_whole = True

    def __init__(self, ring: Ring, stream: ByteStream, *, max_message: int) -> None:
        self.identity: Identity = stream.identity
        self.ring = ring
        self._stream = stream
        self._ring_receive = ring.receive
        self._ring_send = ring.send
        self._ring_prepare_wait = ring.prepare_wait
        self.pending = ring.pending
        self.owes_word = False  # a message has left beside the ring, and the ring had no room to say so
        self.beside_by: float | None = None  # when a message that was announced must be here (monotonic)
        self.max_message = max_message
        abandon_in_child(self)

    @property
    def max_message(self) -> int:
        """The largest message in bytes, both ways."""
        return self._stream.max_message

    @max_message.setter
    def max_message(self, size: int) -> None:
        self.ring.max_message = self._stream.max_message = size

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection."""
        if self.owes_word and not self._say_word(timeout):
            raise _no_room()
        if (len(parts) > 1 or not parts[0]) and _goes_beside(parts):
            self._stream.send(parts, timeout=timeout)
            self._say_word(timeout)  # now or before anything else: the message has left
        elif not self._ring_send(parts, timeout):
            raise _no_room()

    def _say_word(self, timeout: float | None) -> bool:
        self.owes_word = not self._ring_send(NEXT_IS_BESIDE, timeout)
        return not self.owes_word

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        if self.owes_word and not self._say_word(timeout):
            return False
        return self.ring.flush(timeout) and self._stream.flush(timeout=timeout)

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection. The time counts anew from the word that announces a message beside the ring."""
        if self.beside_by is not None:
            return self._receive_beside(timeout)
        parts: list[Buffer] | None = self._ring_receive(timeout)  # type: ignore[assignment]
        if parts is not None and not parts[0] and len(parts) == 1:
            self.announced()
            return self._receive_beside(timeout)
        return parts

    def announced(self) -> None:
        """The ring had the word for a message beside it: that one is next."""
        self.beside_by = monotonic() + BESIDE_TIMEOUT

    def _receive_beside(self, timeout: float | None) -> list[Buffer] | None:
        assert self.beside_by is not None
        left = max(0.0, self.beside_by - monotonic())
        parts = self._stream.receive(timeout=left if timeout is None else min(left, max(timeout, A_LITTLE)))
        if parts is not None:
            self.beside_by = None
        elif monotonic() > self.beside_by:
            raise ProtocolError("The other end announced a message beside the ring and did not send it.")
        return parts

    def prepare_wait(self) -> bool:
        """See contracts.Connection. The ring's descriptor does not tell of what comes beside it."""
        return self.beside_by is not None or self._ring_prepare_wait()

    def close(self) -> None:
        """See contracts.Connection."""
        self.ring.close()
        self._stream.close()

    def abandon(self) -> None:
        """See contracts.Connection. The ring knows by itself that it is in another process."""
        self.ring.close()
        self._stream.abandon()

    def fileno(self) -> int | None:
        """See contracts.Connection."""
        return self.ring.fileno()


def _no_room() -> WaitTimeoutError:
    return WaitTimeoutError("The other end took nothing within the timeout. It may be busy or stopped.")


def _goes_beside(parts: Parts) -> bool:
    return not parts[0] or any(memoryview(part).nbytes >= BESIDE for part in parts[1:])
