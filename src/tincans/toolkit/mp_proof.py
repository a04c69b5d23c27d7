"""The handshake of `multiprocessing.connection` on a socket: one stranger, bounded in time and memory.

Rules of this file
- Never more is received than the handshake needs, so that what follows it is left for the connection.
- A length is checked before anything is read; the whole handshake has one deadline.
"""

from __future__ import annotations

import select
import socket
import struct
from time import monotonic

from tincans.core.mp_framing import header
from tincans.core.mp_handshake import LIMIT, Handshake
from tincans.errors import DisconnectedError, ProtocolError, UnreachableError
from tincans.toolkit.socket_platform import SEND_FLAGS

PROOF_SECONDS = 5.0
"""For a whole handshake, as for our own greeting (core/handshake.py)."""


class Proof:
    """One handshake under way on `stream`, which stays its owner's."""

    def __init__(self, stream: socket.socket, handshake: Handshake, *, seconds: float = PROOF_SECONDS) -> None:
        self.stream = stream
        self.deadline = monotonic() + seconds
        self._handshake = handshake
        self._got = b""
        stream.setblocking(False)
        self._say(handshake.start())

    def go_on(self) -> bool:
        """Do what is possible now; True when the key is proven both ways.

        ProtocolError, DeniedError, DisconnectedError or OSError: it never will be.
        """
        if monotonic() > self.deadline:
            raise ProtocolError("The other end did not prove the authkey in time.")
        while not self._handshake.done:
            message = self._message()
            if message is None:
                return False
            self._say(self._handshake.receive(message))
            if self._handshake.failure is not None:
                raise self._handshake.failure
        return True

    def _say(self, messages: list[bytes]) -> None:
        for message in messages:
            data = header(len(message)) + message
            if self.stream.send(data, SEND_FLAGS) != len(data):
                raise ProtocolError("The other end does not listen.")

    def _message(self) -> bytes | None:
        """The next message of the handshake, when all of it is here."""
        while True:
            need = 4
            if len(self._got) >= 4:
                (size,) = struct.unpack_from("!i", self._got)
                if not 0 <= size <= LIMIT:
                    raise ProtocolError(f"The other end announces {size} bytes in the handshake; it may have {LIMIT}.")
                need += size
                if len(self._got) == need:
                    message, self._got = self._got[4:], b""
                    return message
            try:
                data = self.stream.recv(need - len(self._got), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            if not data:
                raise DisconnectedError("The other end left during the handshake.")
            self._got += data

    def wait(self, url: str) -> None:
        """Until it is done; UnreachableError at the deadline."""
        poll = select.poll()
        poll.register(self.stream, select.POLLIN)
        while not self.go_on():
            left = self.deadline - monotonic()
            if left <= 0 or not poll.poll(max(1.0, left * 1000)):
                raise UnreachableError(f"The program at {url} did not prove the authkey in time.", url=url)
