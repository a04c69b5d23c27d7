"""A ByteStream over a Unix socket, which can send the memory of a message alone: the message goes another way.

Rules of this file
- A batch is nothing but descriptors, with a number by which its message finds them (ring_connection.py); it leaves
  before that message, so it is here when that is read.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from tincans.contracts import Parts
from tincans.core.deframing import Passed
from tincans.errors import ProtocolError, TincansError
from tincans.toolkit.byte_stream import ByteStream
from tincans.toolkit.outgoing import Outgoing
from tincans.toolkit.socket_platform import SEND_FLAGS
from tincans.toolkit.stream import BATCH_BYTES

_DONT_WAIT = int(socket.MSG_DONTWAIT)
_DESCRIPTOR = struct.Struct("i")


class UnixStream(ByteStream):
    """A ByteStream that may pass memory without a message of its own: a ring has that."""

    __slots__ = ()

    def send_batch(self, number: int, descriptors: list[int], *, timeout: float | None) -> None:
        """Send nothing but descriptors, which are closed, with a number by which `receive_batch` finds them. The
        message that they belong to goes another way (ring_connection.py). Like `send` otherwise."""
        self._sending = True
        rest = Outgoing([number.to_bytes(BATCH_BYTES, "little")], descriptors, head=False)
        try:
            self._check_open()
            if self._kept is not None and not self._flush(timeout):
                raise self._too_slow(timeout)
            self._finish(rest, timeout)
        except BaseException as error:
            if self._kept is not rest:
                rest.close()
            if isinstance(error, OSError) and not isinstance(error, TincansError):
                raise self._gone(error, outcome="not_sent") from error
            raise
        finally:
            self._sending = False
            if self._closed:
                self._dispose()

    def lies_in_memory(self, parts: Parts) -> tuple[int, int, int] | None:
        """Where the second of two parts lies in shareable memory (`segment_of`), if it may be passed on from there."""
        passing = self._passing
        if passing is None or self._kept is not None or not self.shares_memory or len(parts[0]) > self._max_message:
            return None
        return passing.in_place(parts[1])

    def send_one(self, number: int, descriptor: int) -> bool:
        """`send_batch` of one descriptor, which stays the caller's, if it can leave at once; else nothing is sent."""
        self._sending = True
        try:
            self._check_open()
            data = number.to_bytes(BATCH_BYTES, "little")
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, _DESCRIPTOR.pack(descriptor))
            sent = self._stream.sendmsg((data,), (rights,), SEND_FLAGS)
        except OSError:  # whoever sends otherwise finds it again
            return False
        finally:
            self._sending = False
            if self._closed:
                self._dispose()
        if sent < BATCH_BYTES:
            self._keep(Outgoing([data[sent:]], begun=True))
        return True

    def receive_batch(self, number: int, wanted: Sequence[Passed]) -> list[memoryview]:
        """The memory behind the descriptors of a batch, which was sent before it was announced and so must be here."""
        self._receiving = True
        try:
            self._check_open()
            if self._passing is None or not self.passes_memory:  # or it is a stranger
                raise ProtocolError("The other end announces descriptors, which cannot travel here.")
            return self._passing.receive_batch(self._stream, number, wanted, _DONT_WAIT)
        except BlockingIOError:
            raise ProtocolError("The other end announced descriptors beside a message and did not send them.") from None
        except OSError as error:
            raise error if isinstance(error, TincansError) else self._gone(error) from error
        finally:
            self._receiving = False
            if self._closed:
                self._dispose()
