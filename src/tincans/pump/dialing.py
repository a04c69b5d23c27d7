"""Reaching a server once: connect, greet, and the pauses between two attempts.

Rules of this file
- One attempt blocks its thread for its timeout at most, and closes what it opened when it fails.
- Who waits between attempts, and how (a thread sleeps, a task awaits), is not said here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from tincans.contracts import Connection, Transport, Wire
from tincans.core.address import Address
from tincans.core.handshake import GREETING_LIMIT, GREETING_TIMEOUT, NONCE_BYTES, Connecting, Me
from tincans.core.messages import Hello
from tincans.errors import (
    DeniedError,
    DisconnectedError,
    TincansError,
    UnreachableError,
    VersionError,
    WaitTimeoutError,
)
from tincans.finder import find_framing
from tincans.pump.keys import keys_of
from tincans.toolkit.deadline import deadline_of
from tincans.version import VERSION

FIRST_BACKOFF = 0.01
LAST_BACKOFF = 0.25


class Dialer:
    """How to reach one address. Its settings are checked when it is made: AddressError.

    `idempotent`: the functions that the server last reached says may be repeated.
    """

    def __init__(self, address: Address, transport: Transport, wire: Wire) -> None:
        self.address = address
        self.url = str(address)
        self.transport = transport
        self.wire: Wire = getattr(wire, "for_caller", wire)
        self.idempotent: frozenset[str] = frozenset()
        self._framing = find_framing(wire)
        self._keys = keys_of(address)
        self._max_message = int(address.settings(transport.options).get("max_message") or 2**30)

    def dial(self, timeout: float) -> Connection:
        """One attempt: a greeted connection."""
        connection = self.transport.connect(self.address, timeout=timeout, framing=self._framing)
        if hasattr(self.wire, "conversation"):  # loaded by those who need it: connecting should start quickly
            from tincans.pump.conversing import conversing

            connection = conversing(connection, self.wire, connecting=True)
        try:
            if self.wire.greets:
                self._greet(connection, timeout)
        except BaseException:
            connection.close()
            raise
        connection.max_message = self._max_message
        return connection

    def _greet(self, connection: Connection, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        connection.max_message = GREETING_LIMIT
        me = Me(os.getpid(), software=VERSION, max_message=self._max_message, keys=self._keys)
        greeting = Connecting(me, os.urandom(NONCE_BYTES), self.url)
        connection.send(self.wire.encode(greeting.start()), timeout=timeout)
        parts = connection.receive(timeout=max(0.0, deadline - time.monotonic()))
        if parts is None:
            raise WaitTimeoutError(f"{self.url} did not greet within {timeout:g} s.", url=self.url)
        proof = greeting.receive(self.wire.decode(parts))
        if proof is not None:
            connection.send(self.wire.encode(proof), timeout=max(0.0, deadline - time.monotonic()))
        if isinstance(greeting.other, Hello):
            self.idempotent = frozenset(greeting.other.idempotent)


class Attempts:
    """The attempts of one connecting, from now on for `timeout` seconds.

    >>> attempts = Attempts("unix:alice", 5.0)
    >>> 4.9 < attempts.left() <= 5.0
    True
    >>> attempts.pause(UnreachableError("nobody is there")) <= FIRST_BACKOFF
    True
    """

    def __init__(self, url: str, timeout: float | None) -> None:
        self._url = url
        self._timeout = timeout
        self._deadline = deadline_of(timeout)
        self._backoffs = backoffs(FIRST_BACKOFF, LAST_BACKOFF)

    def left(self) -> float:
        """Seconds for the next attempt."""
        left = GREETING_TIMEOUT if self._deadline is None else self._deadline - time.monotonic()
        return max(0.001, min(left, GREETING_TIMEOUT))

    def pause(self, error: TincansError) -> float:
        """Seconds to wait before the next attempt. Raises when the last error is one that waiting does not mend."""
        waits = isinstance(error, UnreachableError | DisconnectedError | WaitTimeoutError)
        if not waits or not error.temporary or isinstance(error, VersionError | DeniedError):
            raise error
        wait = next(self._backoffs)
        if self._deadline is not None and time.monotonic() + wait >= self._deadline:
            # `from None`: it says what the last attempt said, and three tracebacks would hide that.
            raise UnreachableError(
                f"Nobody serves {self._url} (waited {self._timeout:g} s): {error}", url=self._url
            ) from None
        return wait


def jitter() -> float:
    """Between a half and one."""
    import random  # only who has to wait needs it

    return random.uniform(0.5, 1.0)


def backoffs(first: float, last: float) -> Iterator[float]:
    """Longer and longer pauses in seconds, each with jitter, so that many clients do not come back at once."""
    while True:
        yield first * jitter()
        first = min(first * 2, last)
