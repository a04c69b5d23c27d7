"""Transport, Listener, Connection: how one method moves whole messages between two programs.

Rules of this file
- Protocols and small records only, no code: nothing here does I/O.
- Every method says what may block, who may call it at the same time, and what a kill leaves behind.
- A timeout is in seconds; 0 means "only what is possible at once", None means "as long as it takes".

A message is a list of parts: the envelope, then raw buffers (large values travel beside the envelope).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec import Struct

from tincans.facts import Facts

if TYPE_CHECKING:  # core stands above this room; only the names of its types are needed here
    from tincans.contracts.board import Board
    from tincans.contracts.wire import Wire
    from tincans.core.address import Address, Option

Buffer = bytes | bytearray | memoryview
Parts = Sequence[Buffer]


class Identity(Struct, frozen=True):
    """Who the other end is, as the operating system or the key exchange says (never as it says itself).

    `pid` and `uid` are None where the kernel cannot tell; `address` is for people; `key_name` is the name of
    the key that it proved to have, or "".
    """

    pid: int | None = None
    uid: int | None = None
    address: str = ""
    key_name: str = ""


@runtime_checkable
class Connection(Protocol):
    """Whole messages, in order, between two programs.

    One thread may be in `send` while another is in `receive`; two threads are never in the same one (the
    session's owner sees to that). `close` may be called by anyone, at any time, twice.
    A kill of either program leaves nothing behind that blocks the next connection.

    A connection may also have `send_many(messages, *, timeout)`: several short messages of one part each, in order,
    with as few system calls as possible; like one message for `send` (WaitTimeoutError: none of them has left);
    `sends_whole = True`, when a short message leaves whole or not at all and without a system call, so that nothing is
    won by sending several at once;
    `prepare_wait() -> bool`, called before each wait for its descriptor: True when there is something already;
    `finish() -> None`, where half of it can be closed: the other end hears that nothing more comes;
    `sends_apart = True`, when its descriptor says nothing about room to send; and, where parts can be passed as memory,
    `weigh(parts) -> (counted, copied)`: the bytes that count against `max_message`, and those that sending will copy,
    and `shares_memory`: whether an array may go as it lies in memory.

    A serving program's connection over a store (facts.stored) may have `age() -> float`, the seconds that the message
    received last lay there, and `redelivered = True` when a program took its request before and died with it.
    """

    identity: Identity
    max_message: int
    """Bytes; a larger message is refused by `send` (TooLargeError, nothing sent) and ends a `receive` with
    ProtocolError before memory is taken. The owner may change it at any time."""

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """Send one whole message; the caller may reuse the buffers when it returns.

        Blocks while the other end does not read, at most `timeout`. When the time is up and nothing has left yet:
        WaitTimeoutError. When a part of the message has left: returns, keeps a copy of the rest, and
        finishes it before anything else (see `flush`), for a message is never sent half.
        DisconnectedError when the other end is gone, ClosedError after `close`, TooLargeError.
        """
        ...

    def flush(self, *, timeout: float | None) -> bool:
        """Send what an earlier `send` had to keep. True when nothing is left. Same errors as `send`."""
        ...

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """The next message's parts; None when `timeout` has passed without a whole one.

        DisconnectedError when the other end is gone, always, also for a waiter; but messages that arrived
        before are handed out first. ClosedError after `close` on this side. ProtocolError for
        garbage. The parts belong to the caller; large ones may be read-only views of shared memory.
        """
        ...

    def pending(self) -> bool:
        """Whether a whole message has already been taken in, so that `receive` needs no system call. Never blocks."""
        ...

    def close(self) -> None:
        """Close, wake a waiting `receive` and `send` (they raise ClosedError). Never blocks, never raises."""
        ...

    def abandon(self) -> None:
        """In a forked child: let go of the descriptors without a word to the other end, whose peer is the parent."""
        ...

    def fileno(self) -> int | None:
        """A descriptor that polls readable when `receive(timeout=0)` may get something, or None.

        With a descriptor, one thread (or event loop) can wait for thousands of connections; without one, each
        connection that must be watched in the background costs a thread. After a wake-up the owner calls
        `receive(timeout=0)` until it gets None.
        """
        ...


class Listener(Protocol):
    """Where connections come in. Owned by one server."""

    address: str
    """The URL to connect to, with the real port or path (what a user may copy)."""

    def accept(self, *, timeout: float | None) -> Connection | None:
        """The next connection, None when `timeout` has passed. Never waits for a silent stranger, and survives
        a connection that breaks while it is accepted. ClosedError after `close`."""
        ...

    def close(self) -> None:
        """Stop listening, wake `accept`, and remove every file or name that `listen` made. May be called twice."""
        ...

    def fileno(self) -> int | None:
        """A descriptor that polls readable when `accept(timeout=0)` may get a connection, or None."""
        ...


class Transport(Protocol):
    """One method. Its file is `transports/<scheme>.py` and has one instance named TRANSPORT.

    A method that refuses calls in its facts is never asked to connect or listen; its board is made at once instead. It
    may also have `wires`, the names of the wires that it can carry, the first of which is its default.
    """

    facts: Facts
    options: Mapping[str, Option]

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> Connection:
        """Open the string to a server that is there; UnreachableError at once when it is not (the pump waits and
        tries again), DeniedError when we may not. `timeout` bounds the handshake of the method itself."""
        ...

    def listen(self, address: Address, *, framing: Framing) -> Listener:
        """Be reachable at this address. NameInUseError when a live program is; what a killed one left behind is
        cleaned up and never blocks."""
        ...

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        """The method's own topics, queues, values and locks, or None when it has none.

        Values are written with `wire.pack` and read with `wire.unpack`. Called once by each Peer and Server that uses
        it; both ends get their own. `Board.close` ends it.
        """
        ...


class Framing(Protocol):
    """How messages are told apart on a byte stream. Frames by default; lines for people and foreign programs."""

    name: str

    def encode(self, parts: Parts) -> list[Buffer]:
        """The buffers to write for one message. ValueError when it cannot be framed so."""
        ...

    def decoder(self, max_message: int) -> Deframer:
        """A new reader for one connection."""
        ...


class Deframer(Protocol):
    """Turns the bytes of one stream into messages. No I/O: it is given bytes."""

    max_message: int

    def feed(self, data: Buffer) -> None:
        """Take in bytes as they came. ProtocolError when they cannot be a message, or one too large."""
        ...

    def next(self) -> list[Buffer] | None:
        """The next whole message, or None."""
        ...

    def space(self) -> memoryview | None:
        """Where the next bytes should be received into directly (a large part under way), or None.

        Memory for a large part is taken as its bytes arrive, never on the word of a header alone.
        """
        ...

    def filled(self, count: int) -> None:
        """`count` bytes were received into `space()`."""
        ...
