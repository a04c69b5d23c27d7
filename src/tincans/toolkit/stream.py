"""What a ByteStream stands on: a socket, or what behaves like one, and a way for large parts beside it.

Rules of this file
- Protocols, and what stands in for a method that one of them need not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from tincans.contracts import Buffer, Parts
from tincans.core.deframing import FrameReader, Passed

BATCH_BYTES: Final = 8
"""What carries the descriptors of a message whose other parts go another way: the batch's number."""


class Stream(Protocol):
    """What a ByteStream needs of a socket; `toolkit/tls_socket.py` has it too."""

    def send(self, data: Any, flags: int = ..., /) -> int: ...
    def sendmsg(self, buffers: Any, ancillary: Any = ..., flags: int = ..., /) -> int: ...
    def recv(self, count: int, flags: int = ..., /) -> bytes: ...
    def recv_into(self, buffer: Any, count: int = ..., flags: int = ..., /) -> int: ...
    def fileno(self) -> int: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class Passing(Protocol):
    """Large parts that travel beside the stream (`toolkit/descriptor_passing.py`)."""

    @property
    def trusted(self) -> bool: ...
    def outgoing(self, parts: Parts) -> tuple[Sequence[Any], list[int]]: ...
    def in_place(self, part: Buffer) -> tuple[int, int, int] | None: ...
    def incoming(self, reader: FrameReader, stream: Any, flags: int) -> None: ...
    def weigh(self, parts: Parts) -> tuple[int, int]: ...
    def receive_batch(self, stream: Any, number: int, wanted: Sequence[Passed], flags: int) -> list[memoryview]: ...


def nothing_held() -> int:
    """A socket keeps no bytes back that a poll would not tell of. TLS does: the rest of a record."""
    return 0
