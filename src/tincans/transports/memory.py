"""memory: both ends in one program. Strict, for tests: whatever a real string might do to a message, it does.

URL: `memory:NAME`.
Options: `max_message` (bytes, default 1G), `capacity` (messages that wait for the receiver, each way, default 1024),
`descriptor` (default yes; no: `fileno()` is None, to test what methods without a descriptor need).
Delivery: in order, while both ends are open.
Leaves behind: nothing.
Limits: one program; a forked child has none of its parent's.

Rules of this file
- Every part is copied when it is sent, so that a test sees who keeps a buffer, or changes one, that is not his.
- The names are the one module global: they are this program's own memory, guarded by their lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from tincans.contracts import Board, Buffer, Framing, Identity, Parts, Wire
from tincans.core.address import Address, Option
from tincans.core.sizes import size_of
from tincans.errors import (
    AddressError,
    ClosedError,
    DisconnectedError,
    NameInUseError,
    ProtocolError,
    TincansError,
    TooLargeError,
    UnreachableError,
    UnsendableError,
    WaitTimeoutError,
)
from tincans.facts import Facts
from tincans.toolkit.bounded_queue import BoundedQueue
from tincans.toolkit.fork_guard import abandon_in_child

FACTS = Facts(summary="both ends in one program, strict, for tests", reach="one program", untested=())

OPTIONS: Mapping[str, Option] = {
    "max_message": Option(int, 1024**3, "largest message in bytes"),
    "capacity": Option(int, 1024, "messages that wait for the receiver, each way"),
    "descriptor": Option(bool, True, "whether a connection has a file descriptor to poll"),
}

_BACKLOG = 128


class MemoryConnection:
    """See contracts.Connection. One end of two channels."""

    def __init__(
        self,
        inbox: BoundedQueue,
        outbox: BoundedQueue,
        framing: Framing,
        identity: Identity,
        settings: Mapping[str, Any],
    ) -> None:
        self.identity = identity
        self.max_message: int = settings["max_message"]
        self._inbox = inbox
        self._outbox = outbox
        self._framing = framing
        self._has_descriptor: bool = settings["descriptor"]
        abandon_in_child(self)

    def send(self, parts: Parts, *, timeout: float | None) -> None:
        """See contracts.Connection."""
        self._outbox.put(self._copied(parts), timeout=timeout)

    def _copied(self, parts: Parts) -> list[Buffer]:
        self._check_size(size_of(parts), "was not sent", TooLargeError)
        try:
            self._framing.encode(parts)  # what cannot be said on a real string is refused here too
        except UnsendableError:
            raise
        except ValueError as error:
            raise UnsendableError(f"This message cannot be framed: {error}. Nothing was sent.") from None
        return [bytes(part) for part in parts]

    def flush(self, *, timeout: float | None) -> bool:
        """See contracts.Connection."""
        self._outbox.check_sender()
        return True

    def receive(self, *, timeout: float | None) -> list[Buffer] | None:
        """See contracts.Connection."""
        parts: list[Buffer] | None = self._inbox.take(timeout=timeout)
        if parts is not None:
            self._check_size(size_of(parts), "came from the other end", ProtocolError)
        return parts

    def _check_size(self, total: int, what: str, error: type[TincansError]) -> None:
        if total > self.max_message:
            raise error(
                f"A message of {total:,} bytes {what}; the limit is {self.max_message:,}."
                " Send it in pieces, or raise the option max_message on both sides."
            )

    def pending(self) -> bool:
        """See contracts.Connection."""
        return self._inbox.waiting()

    def close(self) -> None:
        """See contracts.Connection."""
        self._outbox.leave_sender()
        self._inbox.leave_receiver()

    def abandon(self) -> None:
        """See contracts.Connection."""
        self._outbox.abandon()
        self._inbox.abandon()

    def fileno(self) -> int | None:
        """See contracts.Connection."""
        return self._inbox.fileno() if self._has_descriptor else None

    def __del__(self) -> None:
        self.close()


class MemoryListener:
    """See contracts.Listener."""

    def __init__(self, name: str, framing: Framing, settings: Mapping[str, Any]) -> None:
        self.address = f"memory:{name}"
        self._name = name
        self._framing = framing
        self._settings = settings
        self._backlog = BoundedQueue(_BACKLOG)
        abandon_in_child(self)

    def accept(self, *, timeout: float | None) -> MemoryConnection | None:
        """See contracts.Listener."""
        connection: MemoryConnection | None = self._backlog.take(timeout=timeout)
        return connection

    def admit(self, theirs: Framing, settings: Mapping[str, Any], *, timeout: float) -> MemoryConnection:
        """A pair of ends: one waits here to be accepted, the other is the caller's."""
        identity = Identity(os.getpid(), os.geteuid(), self.address)
        up, down = BoundedQueue(settings["capacity"]), BoundedQueue(self._settings["capacity"])
        ours = MemoryConnection(up, down, self._framing, identity, self._settings)
        self._backlog.put(ours, timeout=timeout)
        return MemoryConnection(down, up, theirs, identity, settings)

    def close(self) -> None:
        """See contracts.Listener."""
        _NAMES.forget(self._name, self)
        for connection in self._backlog.leave_receiver():
            connection.close()

    def abandon(self) -> None:
        """In a forked child: count as closed."""
        self._backlog.abandon()

    def fileno(self) -> int | None:
        """See contracts.Listener."""
        return self._backlog.fileno() if self._settings["descriptor"] else None


class _Names:
    """Who serves which name in this program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, MemoryListener] = {}
        abandon_in_child(self)

    def add(self, name: str, listener: MemoryListener) -> None:
        with self._lock:
            if self._listeners.setdefault(name, listener) is not listener:
                raise NameInUseError(
                    f"memory:{name} is served in this program already. Choose another name, or close that server.",
                    url=f"memory:{name}",
                )

    def find(self, name: str) -> MemoryListener | None:
        with self._lock:
            return self._listeners.get(name)

    def forget(self, name: str, listener: MemoryListener) -> None:
        with self._lock:
            if self._listeners.get(name) is listener:
                del self._listeners[name]

    def abandon(self) -> None:
        """In a forked child: its parent's names are not its own."""
        self._lock = threading.Lock()
        self._listeners = {}


_NAMES = _Names()


class MemoryTransport:
    """The method `memory`."""

    facts = FACTS
    options = OPTIONS

    def connect(self, address: Address, *, framing: Framing, timeout: float) -> MemoryConnection:
        """See contracts.Transport."""
        settings, listener = _settings(address), _NAMES.find(address.path)
        if listener is None:
            raise UnreachableError(
                f"Nobody serves memory:{address.path} in this program. It reaches no other program: use unix:"
                f"{address.path} for that.",
                url=str(address),
            )
        try:
            return listener.admit(framing, settings, timeout=timeout)
        except (DisconnectedError, WaitTimeoutError, ClosedError):
            raise UnreachableError(
                f"The server of memory:{address.path} accepted nobody within {timeout:g} s, or was closed. Try again.",
                url=str(address),
            ) from None

    def listen(self, address: Address, *, framing: Framing) -> MemoryListener:
        """See contracts.Transport."""
        listener = MemoryListener(address.path, framing, _settings(address))
        _NAMES.add(address.path, listener)
        return listener

    def board(self, address: Address, *, wire: Wire, timeout: float) -> Board | None:
        """None: the serving side keeps everything."""
        return None


TRANSPORT = MemoryTransport()


def _settings(address: Address) -> dict[str, Any]:
    if not address.path or address.host:
        raise AddressError(f"{address} names nothing: say memory:NAME.", url=str(address))
    settings = address.settings(OPTIONS)
    if settings["capacity"] < 1:
        raise AddressError(f"The option capacity of {address} must be at least 1.", url=str(address))
    return settings
